"""Choosing among candidates: better rows, the same shares, and a function of the row's number."""

from __future__ import annotations

import functools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import ks_2samp

from fingan import Synthesizer
from fingan.data import infer_schema
from fingan.errors import BundleError, ConfigError
from fingan.fitting import finish, start
from fingan.generator import BLOCK, Generator, load
from fingan.generator.density import DensityRatio
from fingan.generator.refine import (
    FEWEST_KEPT,
    FEWEST_REAL,
    KEPT_PER_REAL,
    MADE_PER_REAL,
    MOST_KEPT,
    MOST_KEPT_OF_RARE,
    RAREST_MADE,
    fit_density,
    raked_rows,
)
from fingan.generator.resampling import GROUP, chosen
from fingan.preparation import prepare
from tests.registry.helpers import alter
from tests.tiny import RARE, SECRET, arrow, config, generator


def ring(rows: int, rng: np.random.Generator) -> pa.Table:
    """Two numbers on a thin ring and a class: easy marginals, no linear relation."""
    angle = rng.uniform(0, 2 * np.pi, rows)
    radius = rng.normal(3.0, 0.1, rows)
    label = np.where(rng.random(rows) < 0.1, "yes", "no")
    return pa.table({"a": radius * np.cos(angle), "b": radius * np.sin(angle), "label": label})


def shuffled(rows: int, rng: np.random.Generator) -> pa.Table:
    """The ring's columns, each on its own."""
    made = ring(rows, rng)
    return pa.table({name: made[name].take(rng.permutation(rows)) for name in made.column_names})


def off_ring(table: pa.Table) -> float:
    radius = np.hypot(table["a"].to_numpy(), table["b"].to_numpy())
    return float((np.abs(radius - 3.0) > 0.4).mean())


def kept_rows(density: DensityRatio, made: pa.Table, candidates: int, rng: np.random.Generator) -> pa.Table:
    """Choose among rows, group by group."""
    ratios = density(made.combine_chunks().to_batches()[0]).reshape(-1, candidates * GROUP)
    kept = chosen(ratios, rng.random(len(ratios)), GROUP) + np.arange(len(ratios))[:, None] * ratios.shape[1]
    return made.take(pa.array(kept.ravel()))


def test_chosen_rows_come_nearer_to_the_real_ones_and_keep_the_shares():
    rng = np.random.default_rng(0)
    real = ring(6000, rng)
    pool = shuffled(450_000, rng)
    density = fit_density(
        lambda offset, rows: pool.slice(offset, rows), infer_schema(real), real, None, "label", 8, 0, 1
    )
    assert density is not None
    fresh = shuffled(81_920, rng)
    rows = kept_rows(density, fresh, 8, rng)
    assert off_ring(fresh) > 0.55
    assert off_ring(rows) < 0.25
    share = np.mean(rows["label"].to_numpy(zero_copy_only=False) == "yes")
    assert share == pytest.approx(0.1, abs=0.012)


def test_more_candidates_are_looked_at_where_a_class_is_rare():
    labels = np.zeros((200_000, 2), dtype=np.float32)
    labels[:500, 1] = 1.0
    labels[:30, 1] = np.nan
    assert raked_rows(labels, None, 4) == MOST_KEPT
    assert raked_rows(labels[:1000], 1, 4) == FEWEST_KEPT
    labels[470:, 1] = np.nan
    labels[470:200_000, 1] = 0.0
    assert raked_rows(labels, 1, 4) == RAREST_MADE * 200_000 // (440 * 4)
    labels[:485, 1] = 0.0
    labels[485:500, 1] = 1.0
    assert raked_rows(labels, 1, 4) == MOST_KEPT_OF_RARE
    # A class of a few rows is not worth it where the table is small.
    assert raked_rows(labels[480:10_480], 1, 4) == KEPT_PER_REAL * 10_000
    assert raked_rows(labels[480:50_480], 1, 4) == MADE_PER_REAL * 50_000 // 4
    labels[:, 1] = np.nan
    assert raked_rows(labels, 1, 4) == MOST_KEPT


def test_what_hangs_on_the_label_is_restored():
    rng = np.random.default_rng(4)

    def table(rows: int, slope: float) -> pa.Table:
        noise = rng.normal(size=(rows, 6))
        label = rng.random(rows) < 1 / (1 + np.exp(-slope * noise[:, 0]))
        columns = {f"x{i}": noise[:, i] for i in range(6)}
        return pa.table({**columns, "label": np.where(label, "yes", "no")})

    def follows(rows: pa.Table) -> float:
        return float(np.corrcoef(rows["x0"].to_numpy(), pc.equal(rows["label"], "yes").to_numpy())[0, 1])

    real, pool = table(4000, 0.7), table(400_000, 0.2)
    density = fit_density(
        lambda offset, rows: pool.slice(offset, rows), infer_schema(real), real, None, "label", 4, 0, 1
    )
    assert density is not None
    assert density.labels is not None
    fresh = table(81_920, 0.2)
    rows = kept_rows(density, fresh, 4, rng)
    assert follows(fresh) < 0.15
    assert follows(rows) > 0.8 * follows(real)


def test_few_rows_give_no_ratio():
    real = ring(FEWEST_REAL - 1, np.random.default_rng(0))
    assert fit_density(lambda *_: real, infer_schema(real), real, None, None, 4, 0, 1) is None


@functools.cache
def refined() -> Generator:
    made = generator("sampling.candidates=4")
    assert made.density is not None, "40 steps leave much to choose from"
    return made


def test_a_trained_generator_chooses_and_one_candidate_is_the_plain_sample():
    plain = refined().sample(3000, seed=1, candidates=1)
    better = refined().sample(3000, seed=1)
    assert better.equals(refined().sample(3000, seed=1, candidates=4))
    assert not better.equals(plain)
    without = Generator(refined().engine, refined().config)
    assert without.sample(3000, seed=1).equals(plain)
    # Identifiers count rows, not candidates.
    assert better["customer"].equals(plain["customer"])


@pytest.mark.parametrize("where", [None, {"label": "bad"}])
def test_row_i_is_still_a_function_of_bundle_seed_and_i(where):
    whole = refined().sample(2 * BLOCK + 50, where, seed=3, candidates=3)
    for offset, rows, threads in ((0, 10, 1), (BLOCK - 1, 2, 2), (BLOCK + 7, BLOCK, 2)):
        found = refined().sample(rows, where, seed=3, offset=offset, threads=threads, candidates=3)
        assert found.equals(whole.slice(offset, rows))
    if where:
        assert set(whole["label"].to_pylist()) == {"bad"}


def test_the_rare_class_stays_rare():
    labels = refined().sample(40_000, seed=2)["label"].to_numpy(zero_copy_only=False)
    truth = np.mean(arrow()["label"].to_numpy(zero_copy_only=False) == "bad")
    assert np.mean(labels == "bad") == pytest.approx(truth, rel=0.3)
    assert truth == pytest.approx(RARE, rel=0.5)


def test_a_bundle_keeps_the_ratio(tmp_path):
    refined().save(tmp_path / "bundle")
    again = load(tmp_path / "bundle")
    assert again.sample(2000, seed=5).equals(refined().sample(2000, seed=5))


def test_another_choice_or_ratio_than_when_it_was_saved_does_not_replay(tmp_path):
    for name in ("kept", "ratio"):
        refined().save(tmp_path / name)
    alter(tmp_path / "kept", "replay", "kept", lambda kept: kept[:, ::-1].copy())
    with pytest.raises(BundleError, match="that chose among candidates in another way"):
        load(tmp_path / "kept")
    alter(tmp_path / "ratio", "replay", "ratio", lambda ratio: ratio + 0.01)
    with pytest.raises(BundleError, match="ratio of densities gives other values"):
        load(tmp_path / "ratio")


def test_a_table_of_a_label_alone_has_no_ratio_of_labels():
    rng = np.random.default_rng(0)
    real, made = (
        pa.table({"label": np.where(rng.random(n) < share, "yes", "no")})
        for n, share in ((1000, 0.1), (400_000, 0.6))
    )
    density = fit_density(
        lambda offset, rows: made.slice(offset, rows), infer_schema(real), real, None, "label", 4, 0, 1
    )
    assert density is not None
    assert density.labels is None


def test_rows_of_a_condition_are_kept_as_like_the_real_ones_of_it_as_without_refinement():
    """The ratio knows nothing of conditions: it must not pull rows under one towards all rows."""
    rng = np.random.default_rng(1)

    def table(rows: int, bad: float) -> pa.Table:
        label = rng.random(rows) < bad
        amount = np.exp(rng.normal(np.where(label, 2.0, 0.0), 0.6, rows)).round(2)
        return pa.table(
            {
                "amount": amount,
                "fee": (amount * 0.1 + rng.normal(size=rows)).round(2),
                "label": np.where(label, "bad", "good"),
            }
        )

    real = table(4000, 0.1)
    prepared = prepare(real, config("sampling.candidates=4", "training.steps=300", "network.width=64"))
    made = finish(prepared, start(prepared).train())
    assert made.density is not None
    truth = real.filter(pc.equal(real["label"], "bad"))["amount"].to_numpy()

    def distance(candidates: int) -> float:
        rows = made.sample(4000, {"label": "bad"}, seed=1, candidates=candidates)
        assert set(rows["label"].to_pylist()) == {"bad"}
        return float(ks_2samp(rows["amount"].to_numpy(), truth).statistic)

    assert distance(4) < distance(1) + 0.03


def test_the_bundle_of_a_ratio_holds_no_identifier_and_no_rare_value(tmp_path):
    refined().save(tmp_path / "bundle")
    customers = [value.encode() for value in arrow()["customer"].to_pylist()]
    for path in (tmp_path / "bundle").iterdir():
        data = path.read_bytes()
        # Rare values are the encoder's, which makes them; the ratio knows nothing of them.
        assert path.name.startswith("encoder") or SECRET.encode() not in data, path.name
        assert not [value for value in customers if value in data], path.name


def test_a_flipped_bit_in_the_ratio_is_found(tmp_path):
    refined().save(tmp_path / "bundle")
    for name in ("density.json", "density.safetensors"):
        path = tmp_path / "bundle" / name
        whole = path.read_bytes()
        broken = bytearray(whole)
        broken[len(broken) // 2] ^= 1
        path.write_bytes(broken)
        with pytest.raises(BundleError, match=name):
            load(tmp_path / "bundle")
        path.write_bytes(whole)


def test_one_configured_candidate_learns_no_ratio():
    assert generator().density is None


@pytest.mark.parametrize("number", [0, 65, -1])
def test_a_number_of_candidates_out_of_range_is_refused(number):
    with pytest.raises(ConfigError, match=f"candidates must be from 1 to 64, got {number}"):
        refined().sample(10, candidates=number)


def test_the_facade_takes_candidates_too():
    synth = Synthesizer(config=config("sampling.candidates=4")).fit(arrow())
    plain = synth.sample(500, seed=1, candidates=1)
    assert not synth.sample(500, seed=1).equals(plain)
    assert plain.equals(synth.generator.sample(500, seed=1, candidates=1).to_pandas())
