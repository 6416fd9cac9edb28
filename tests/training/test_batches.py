"""The batch of a step is a function of (seed, step), however many workers share it."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fingan.encoding.layout import Layout
from fingan.encoding.table import EncodedTable
from fingan.errors import ConfigError, DataError
from fingan.networks import Batch
from fingan.training import BatchSource, Conditioning, conditioning_of
from fingan.training.batches import shard_bounds
from tests.training.toys import CONDITIONING, FREE, LABEL_UNIT, LAYOUT, NONE, make_source, settings, table

ONE_NUMBER = Layout(1, (), 1, (0,), (NONE,))


def numbered(rows: int) -> EncodedTable:
    """A table whose row i is the number (i + ½) / rows."""
    lower = ((np.arange(rows) + 0.5) / rows).astype(np.float32)[:, None]
    return EncodedTable(lower, np.zeros_like(lower), np.zeros((rows, 0), np.int32))


def row_numbers(batch: Batch, rows: int) -> np.ndarray:
    return np.rint(torch.special.ndtr(batch.rows[:, 0].double()).numpy() * rows - 0.5).astype(int)


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """All tensors of a batch by name, those of the steps by side."""
    plain = ("rows", "mask", "noise", "gumbel", "mix", "penalised")
    found = {name: getattr(batch, name) for name in plain} | {"towards": batch.steps.towards}
    for name in ("numbers", "ways", "weights"):
        real, fake = getattr(batch.steps, name).chunk(2)
        found |= {f"{name}_real": real, f"{name}_fake": fake}
    return found


def join(parts: list[Batch], name: str) -> torch.Tensor:
    return torch.cat([tensors(part)[name] for part in parts])


@pytest.mark.parametrize("world", [2, 3, 4, 5, 16])
def test_workers_together_draw_what_one_draws(world):
    config = settings()
    alone = make_source(config)
    peers = [make_source(config, rank=rank, world=world) for rank in range(world)]
    for step, attempt in [(0, 0), (7, 0), (7, 2), (1000, 0)]:
        whole = alone.batch(step, 0, attempt)
        parts = [peer.batch(step, 0, attempt) for peer in peers]
        for name, values in tensors(whole).items():
            if name != "penalised":
                assert torch.equal(values, join(parts, name)), name
        paying = torch.cat([p.rows[p.penalised] for p in parts])
        assert torch.equal(whole.rows[whole.penalised], paying)
        assert all(part.global_size == 62 for part in parts)


def test_a_batch_does_not_depend_on_the_ones_before():
    config = settings()
    warm, fresh = make_source(config), make_source(config)
    for step in range(30):
        warm.batch(step)
    again = tensors(fresh.batch(3))
    for name, values in tensors(warm.batch(3)).items():
        assert torch.equal(values, again[name]), name


@given(st.integers(1, 10_000), st.integers(1, 64), st.data())
def test_shards_tile_the_batch(total, shards, data):
    shards = min(shards, total)
    world = data.draw(st.integers(1, shards))
    bounds = [b for rank in range(world) for b in shard_bounds(total, shards, rank, world)]
    assert [s for s, _, _ in bounds] == list(range(shards))
    assert bounds[0][1] == 0
    assert bounds[-1][2] == total
    assert all(left[2] == right[1] for left, right in itertools.pairwise(bounds))
    assert all(last > first for _, first, last in bounds)


@examples(max_examples=15)
@given(st.integers(20, 300), st.integers(2, 20), st.integers(1, 3), st.integers(1, 5))
def test_every_epoch_visits_every_row_once(rows, size, parts, world):
    config = settings(f"training.batch_size={size}", f"objective.discriminator_steps={parts}")
    free = Conditioning(torch.zeros(1, dtype=torch.bool), torch.zeros(1))
    world = min(world, size)
    sources = [BatchSource(numbered(rows), ONE_NUMBER, config, free, r, world) for r in range(world)]
    steps = -(-2 * rows // (size * parts))
    seen = np.concatenate(
        [
            row_numbers(source.batch(step, part), rows)
            for step in range(steps)
            for part in range(parts)
            for source in sources
        ]
    )
    first, second = seen[:rows], seen[rows : 2 * rows]
    assert sorted(first) == sorted(second) == list(range(rows))
    assert rows < 8 or (first != second).any()


def test_a_repeated_step_visits_the_same_rows_with_new_draws():
    source = BatchSource(numbered(100), ONE_NUMBER, settings(), FREE_ONE)
    before, after = source.batch(5, 0, 0), source.batch(5, 0, 1)
    assert (row_numbers(before, 100) == row_numbers(after, 100)).all()
    assert not torch.equal(before.noise, after.noise)
    assert not torch.equal(source.batch(5, 1).noise, before.noise)


FREE_ONE = Conditioning(torch.zeros(1, dtype=torch.bool), torch.zeros(1))


def many(source: BatchSource, steps: int = 150) -> tuple[torch.Tensor, torch.Tensor]:
    batches = [source.batch(step) for step in range(steps)]
    return join(batches, "mask"), join(batches, "rows")


@pytest.mark.statistical
def test_mask_statistics():
    # 9 300 rows, so a share is off by less than .025 but once in 10^5 runs; the seed is fixed.
    config = settings("conditioning.unconditional_share=0.4")
    plain = dataclasses.replace(CONDITIONING, favoured=torch.zeros(5), label=None, label_unit=None)
    mask, _ = many(make_source(config, plain))
    # A uniform chance leaves all five open with probability 1/6, and makes any count equally common.
    assert float((mask.sum(1) == 0).double().mean()) == pytest.approx(0.4 + 0.6 / 6, abs=0.025)
    counts = torch.bincount(mask.sum(1).long(), minlength=6)[1:] / len(mask)
    torch.testing.assert_close(counts, torch.full((5,), 0.1), atol=0.02, rtol=0)

    favoured, _ = many(make_source(config, dataclasses.replace(plain, favoured=CONDITIONING.favoured)))
    given_share = favoured.mean(dim=0)
    assert float(given_share[LABEL_UNIT]) == pytest.approx(0.6 * 0.625, abs=0.025)
    assert float(given_share[0]) == pytest.approx(0.6 * 0.5, abs=0.025)

    labelled, _ = many(make_source(config))
    assert float(labelled[:, LABEL_UNIT].mean()) == pytest.approx(0.6 * (0.5 + 0.5 * 0.625), abs=0.025)
    # A quarter of the conditional rows, and by chance a few of the others.
    alone = (labelled.sum(dim=1) == 1) & (labelled[:, LABEL_UNIT] == 1)
    assert 0.6 * 0.25 < float(alone.double().mean()) < 0.6 * 0.4


@pytest.mark.parametrize(("share", "given_share"), [(1.0, 0.0), (0.0, 0.5)])
def test_extreme_shares(share, given_share):
    config = settings(f"conditioning.unconditional_share={share}")
    mask, _ = many(make_source(config, dataclasses.replace(CONDITIONING, label=None, label_unit=None)), 60)
    assert float(mask[:, 0].mean()) == pytest.approx(given_share, abs=0.03)


def test_only_eligible_units_are_given():
    eligible = torch.tensor([True, False, True, False, False])
    mask, _ = many(make_source(settings(), dataclasses.replace(CONDITIONING, eligible=eligible)), 30)
    assert mask[:, ~eligible].sum() == 0
    assert (mask[:, eligible].sum(0) > 0).all()
    nothing, _ = many(make_source(settings(), FREE), 5)
    assert nothing.sum() == 0


def test_rare_classes_are_shown_as_conditions_and_nowhere_else():
    """Rows whose label is not given are those of a run without resampling, bit for bit."""
    config = settings()
    plain = dataclasses.replace(CONDITIONING, label=None, label_unit=None)
    (mask, rows), (plain_mask, plain_rows) = many(make_source(config)), many(make_source(config, plain))
    is_open = mask[:, LABEL_UNIT] == 0
    assert 0.5 < float(is_open.double().mean()) < 0.7
    assert torch.equal(rows[is_open], plain_rows[is_open])
    assert torch.equal(mask[is_open], plain_mask[is_open])
    rare = rows[:, LAYOUT.numeric + 1]
    # Weights log(1 + n): 13 rows against 387 are drawn 30.7 % of the time where the label is drawn.
    drawn = ~is_open & (rows != plain_rows).any(1)
    assert float(rare[is_open].mean()) == pytest.approx(13 / 400, abs=0.01)
    assert float(rare[drawn].mean()) == pytest.approx(0.307, abs=0.04)


def test_dense_rows_hold_the_fields():
    batch = make_source(settings(), FREE).batch(0)
    assert batch.rows.dtype == batch.noise.dtype == batch.mask.dtype == torch.float64
    blocks = batch.rows[:, LAYOUT.numeric :].split(LAYOUT.widths, dim=1)
    assert all((block.sum(1) == 1).all() and set(block.unique().tolist()) <= {0.0, 1.0} for block in blocks)
    assert all(torch.isfinite(values).all() for values in tensors(batch).values())
    for other in ("objective.penalty=none", "objective.name=wasserstein_gp"):
        assert make_source(settings(other)).batch(0).steps.numbers.shape == (32, 0)


def test_every_row_of_a_batch_pays_once_in_turn():
    source = make_source(settings("objective.penalty_every=4"))
    turns = [source.batch(step).penalised.tolist() for step in range(4)]
    assert sorted(itertools.chain(*turns)) == list(range(62))
    assert turns[1] == list(range(1, 62, 4))
    assert source.batch(5).penalised.tolist() == turns[1]


@pytest.mark.parametrize(
    ("size", "every"), [(2, 4), (4, 4), (5, 4), (12, 4), (62, 4), (6, 3), (3, 1), (7, 64)]
)
def test_rows_pay_in_numbers_as_often_as_in_categories(size, every):
    """Also where a batch has an odd number of paying rows, or a single one."""
    source = make_source(settings(f"training.batch_size={size}", f"objective.penalty_every={every}"))
    numbers = torch.cat([source.batch(step).steps.numbers.any(1) for step in range(2 * every)])
    assert numbers.double().mean() == 0.5


def test_even_numbers_of_paying_rows_take_turns_from_the_first():
    source = make_source(settings("training.batch_size=64", "objective.penalty_every=4"))
    for step in (0, 1, 4, 9):
        assert source.batch(step).steps.numbers.any(1).tolist() == 16 * [True, False]


@pytest.mark.statistical
def test_noise_is_normal_and_gumbel_is_gumbel():
    source = make_source(settings())
    batches = [source.batch(step) for step in range(100)]
    noise = join(batches, "noise")
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.02)
    assert float(noise.std()) == pytest.approx(1.0, abs=0.02)
    gumbel = join(batches, "gumbel")
    assert float(gumbel.mean()) == pytest.approx(0.5772, abs=0.02)
    assert float(gumbel.std()) == pytest.approx(1.2825, abs=0.03)
    mix = join(batches, "mix")
    assert float(mix.mean()) == pytest.approx(0.5, abs=0.02)
    assert mix.shape[1] == 1


def test_a_table_in_shared_memory_is_read_without_a_warning_and_never_written():
    shared = table()
    for array in (shared.lower, shared.width, shared.codes):
        array.flags.writeable = False
    batch = BatchSource(shared, LAYOUT, settings(), CONDITIONING).batch(0)
    assert torch.equal(batch.rows, make_source(settings("compute.precision=fp32")).batch(0).rows)


def test_too_few_rows_and_too_many_workers():
    with pytest.raises(DataError, match=r"400 training rows are fewer than a batch of 401.*at most 400"):
        make_source(settings("training.batch_size=401"))
    with pytest.raises(ConfigError, match=r"17 workers need at least as many training\.shards, which is 16"):
        make_source(settings(), world=17)
    with pytest.raises(ConfigError, match="which is 3"):
        make_source(settings("training.batch_size=3"), world=4)


UNITS = [("age",), ("income",), ("class", "class_name"), ("city", "zip")]


def test_conditioning_of_any_none_and_named_columns():
    label = (1, 2)
    every = conditioning_of(settings(), UNITS, label, "class")
    assert every.eligible.tolist() == [True] * 4
    assert every.favoured.tolist() == [0, 0, 1, 0]
    assert (every.label, every.label_unit) == (1, 2)

    nothing = conditioning_of(settings("conditioning.columns=none"), UNITS, label, "class")
    assert not nothing.eligible.any()
    assert nothing.label is None
    assert nothing.label_unit is None

    named = conditioning_of(settings("conditioning.columns=[zip, age]"), UNITS, label, "class")
    assert named.eligible.tolist() == [True, False, False, True]
    assert named.favoured.tolist() == [1, 0, 1, 1]
    assert named.label is None

    only = conditioning_of(settings("conditioning.unconditional_share=1.0"), UNITS, label, "class")
    assert only.label is None
    untargeted = conditioning_of(settings(), UNITS, None, None)
    assert untargeted.label is None
    assert untargeted.favoured.sum() == 0
