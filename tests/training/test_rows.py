"""Rows in memory and rows in files: each is visited once an epoch, whoever and however many visit."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fingan.encoding.stored import StoredTable, write_block
from fingan.encoding.table import EncodedTable
from fingan.networks import Batch
from fingan.rng import key, permute
from fingan.training import BatchSource
from fingan.training import rows as rows_module
from fingan.training.batches import shard_bounds
from fingan.training.rows import Bounds, Draws, MemoryRows, RareCodes, Rows, StoredRows
from tests.training.toys import CONDITIONING, FREE, LABEL_UNIT, LAYOUT, settings, table

SHARDS = 4


def numbered(rows: int, label: np.ndarray | None = None) -> EncodedTable:
    """A table whose rows hold their number as the first code, and a label as the second."""
    label = np.zeros(rows, np.int32) if label is None else label.astype(np.int32)
    empty = np.zeros((rows, 0), np.float32)
    return EncodedTable(empty, empty, np.stack([np.arange(rows, dtype=np.int32), label], axis=1))


def stored(folder: Path, whole: EncodedTable, size: int = 37) -> StoredTable:
    """The table in files of at most `size` rows."""
    blocks = []
    for first in range(0, len(whole), size):
        part = whole.take(np.arange(first, min(first + size, len(whole))))
        blocks.append(write_block(folder, f"rows-{first:06d}", part, 0))
    return StoredTable(folder, tuple(blocks), whole.take(np.arange(0, len(whole), 3)))


def nothing_drawn(rows: int) -> Draws:
    none = torch.zeros(0)
    return Draws(np.zeros(rows, bool), torch.zeros(rows), torch.zeros(rows), np.zeros(0, np.int64), none)


def drawn(rows: int, number: int, labelled: float = 0.0) -> Draws:
    """Draws that depend on the batch alone; every third row pays."""
    keyed = torch.Generator().manual_seed(number)
    by_label, code, row, other = torch.rand(4, rows, generator=keyed)
    paying = np.arange(number % 3, rows, 3)
    return Draws((by_label < labelled).numpy(), code, row, paying, other[: paying.size])


def local(draws: Draws, bounds: Bounds) -> Draws:
    return draws.part(bounds[0][1], bounds[-1][2])


def of_workers(
    whole: StoredTable, size: int, world: int, label: int | None = None
) -> list[tuple[Bounds, Rows]]:
    bounds = [shard_bounds(size, SHARDS, rank, world) for rank in range(world)]
    return [(b, StoredRows(whole, b, size, label, 1)) for b in bounds]


def shard_rows(bounds: Bounds, rows: int, size: int) -> list[set[int]]:
    return [set(range(rows * first // size, rows * last // size)) for _, first, last in bounds]


@examples(max_examples=25)
@given(st.integers(12, 200), st.integers(4, 12), st.integers(3, 60), st.integers(5, 50))
def test_every_shard_visits_each_of_its_rows_once_an_epoch(tmp_path_factory, rows, size, window, block):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "WINDOW_ROWS", window)
        whole = stored(tmp_path_factory.mktemp("rows"), numbered(rows), block)
        [(bounds, walker)] = of_workers(whole, size, 1)
        batches = [walker.meet(k, nothing_drawn(size))[0].codes[:, 0] for k in range(2 * (rows // size + 2))]
    own = shard_rows(bounds, rows, size)
    assert set().union(*own) == set(range(rows))
    for (_, first, last), mine in zip(bounds, own, strict=True):
        walk = np.concatenate([batch[first:last] for batch in batches]).tolist()
        epochs = [walk[k * len(mine) : (k + 1) * len(mine)] for k in range(2)]
        assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(mine)
        assert len(mine) < 8 or epochs[0] != epochs[1]


def test_all_rows_are_visited_equally_often_where_shards_have_batches_of_different_sizes(
    tmp_path: Path,
) -> None:
    """Shards of 2 and of 3 of a batch's 10 rows have 2 and 3 tenths of the table."""
    whole = stored(tmp_path, numbered(200))
    [(bounds, walker)] = of_workers(whole, 10, 1)
    assert {last - first for _, first, last in bounds} == {2, 3}
    seen = np.concatenate([walker.meet(k, nothing_drawn(10))[0].codes[:, 0] for k in range(20)])
    assert sorted(seen) == list(range(200))


@examples(max_examples=15)
@given(st.integers(20, 300), st.integers(4, 19), st.integers(3, 60), st.integers(0, 10**6))
def test_batches_are_the_same_for_any_number_of_workers_and_in_any_order(
    tmp_path_factory, rows, size, window, seed
):
    label = np.random.default_rng(seed).integers(0, 4, rows)
    order = np.random.default_rng(seed).permutation(25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_module, "WINDOW_ROWS", window)
        whole = stored(tmp_path_factory.mktemp("rows"), numbered(rows, label))
        [(_, alone)] = of_workers(whole, size, 1, label=1)
        wanted = [alone.meet(k, drawn(size, k, 0.4)) for k in range(25)]
        for world in (2, 4):
            peers = of_workers(whole, size, world, label=1)
            for number in order.tolist():
                draws = drawn(size, number, 0.4)
                met = [peer.meet(number, local(draws, bounds)) for bounds, peer in peers]
                assert np.array_equal(np.concatenate([m.codes for m, _ in met]), wanted[number][0].codes)
                assert np.array_equal(np.concatenate([others for _, others in met]), wanted[number][1])


def test_a_batch_may_straddle_windows_and_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "WINDOW_ROWS", 3)
    whole = stored(tmp_path, numbered(10), size=4)
    walker = StoredRows(whole, [(0, 0, 10)], 10, None, 0)
    for number in range(6):
        codes = walker.meet(number, nothing_drawn(10))[0].codes[:, 0]
        assert sorted(codes) == list(range(10))
    # Batches of 7 of 10 rows: epochs end within them.
    wide = StoredRows(whole, [(0, 0, 7)], 7, None, 0)
    walk = np.concatenate([wide.meet(k, nothing_drawn(7))[0].codes[:, 0] for k in range(10)])
    assert all(sorted(epoch) == list(range(10)) for epoch in walk.reshape(7, 10))
    assert len({tuple(epoch) for epoch in walk.reshape(7, 10).tolist()}) == 7
    # Rows of a window come together: one of 3 or 4 rows lies in a row of the walk.
    windows = [frozenset(w) for w in ({0, 1}, {2, 3, 4}, {5, 6}, {7, 8, 9})]
    met = [next(w for w in windows if n in w) for n in walk[:10]]
    assert len(list(itertools.groupby(met))) == 4


def test_only_the_windows_that_are_needed_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "WINDOW_ROWS", 25)
    read: list[tuple[int, int]] = []

    class Watched(StoredTable):
        def read(self, first: int, last: int) -> EncodedTable:
            read.append((first, last))
            return super().read(first, last)

    plain = stored(tmp_path, numbered(200))
    walker = StoredRows(Watched(plain.folder, plain.blocks, plain.sample), [(0, 0, 2), (1, 2, 4)], 8, None, 0)
    for number in range(25):
        walker.meet(number, nothing_drawn(4))
    # Two of four shards of 50 rows, in windows of 25, for one epoch of 25 batches.
    assert sorted(read) == [(0, 25), (25, 50), (50, 75), (75, 100)]


def test_rows_drawn_for_their_label_come_from_the_window_by_the_log_of_their_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes of 90 and 10 rows of each window of 100 are drawn 65 : 35; code 2 is in the second half alone."""
    monkeypatch.setattr(rows_module, "WINDOW_ROWS", 100)
    label = np.where(np.arange(400) % 10 == 0, 1 + (np.arange(400) >= 200), 0)
    walker = StoredRows(stored(tmp_path, numbered(400, label)), [(0, 0, 50)], 50, 1, 0)
    seen: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for number in range(400):
        keyed = torch.Generator().manual_seed(number)
        code, row = torch.rand(2, 50, generator=keyed)
        none = torch.zeros(0)
        by_label = np.arange(50) % 2 == 0
        met, _ = walker.meet(number, Draws(by_label, code, row, np.zeros(0, np.int64), none))
        assert len({int(n) // 100 for n in met.codes[:, 0]}) == 1, "a row of another window"
        seen[int(met.codes[0, 0]) >= 200].append(met.codes)
    for half, rare in ((False, 1), (True, 2)):
        codes = np.concatenate(seen[half])
        by_label, visited = codes[np.arange(len(codes)) % 2 == 0], codes[np.arange(len(codes)) % 2 == 1]
        assert set(codes[:, 1]) == {0, rare}
        # 5,000 draws: a share is off by less than .025 but once in 10^4 runs; the seeds are fixed.
        assert (by_label[:, 1] == rare).mean() == pytest.approx(np.log(11) / np.log(11 * 91), abs=0.025)
        assert (visited[:, 1] == rare).mean() == pytest.approx(0.1, abs=0.02)
        assert set(by_label[:, 0]) == set(range(200 * half, 200 * half + 200))


def test_others_come_from_the_whole_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "WINDOW_ROWS", 50)
    walker = StoredRows(stored(tmp_path, numbered(100)), [(0, 0, 10)], 10, None, 0)
    seen = []
    for number in range(200):
        met, others = walker.meet(number, drawn(10, number))
        assert {int(n) // 50 for n in others[:, 0]} == {int(met.codes[0, 0]) // 50}
        assert len(others) == len(range(number % 3, 10, 3))
        seen.append(others[:, 0])
    assert set(np.concatenate(seen)) == set(range(100))


def test_draws_are_parted_with_those_who_pay() -> None:
    draws = drawn(20, 1, 0.5)
    parts = [draws.part(a, b) for a, b in ((0, 7), (7, 8), (8, 20))]
    assert np.array_equal(np.concatenate([p.by_label for p in parts]), draws.by_label)
    assert torch.equal(torch.cat([p.code for p in parts]), draws.code)
    assert torch.equal(torch.cat([p.row for p in parts]), draws.row)
    assert torch.equal(torch.cat([p.other for p in parts]), draws.other)
    paying = [p.paying + first for p, first in zip(parts, (0, 7, 8), strict=True)]
    assert np.array_equal(np.concatenate(paying), draws.paying)


@pytest.mark.parametrize("ahead", [1, 9, 16_384])
def test_rows_in_memory_are_walked_in_a_permutation_of_each_epoch(
    monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    monkeypatch.setattr(rows_module, "ROWS_AHEAD", ahead)
    rows = MemoryRows(numbered(10), [(1, 2, 4), (2, 4, 5)], 6, None, 1)
    orders = [permute(np.arange(10), 10, key(1, "epoch", epoch)) for epoch in range(6)]
    walk = np.concatenate(orders).reshape(10, 6)
    for number in (0, 1, 2, 9, 4):
        draws = drawn(3, number)
        met, others = rows.meet(number, draws)
        assert met.codes[:, 0].tolist() == walk[number, 2:5].tolist()
        assert others[:, 0].tolist() == (draws.other.double() * 10).long().tolist()


@pytest.mark.parametrize("size", [7, 16])
def test_workers_that_hold_the_table_draw_what_one_draws(size: int) -> None:
    whole = numbered(50, np.arange(50) % 6 == 0)
    alone = MemoryRows(whole, [(0, 0, size)], size, 1, 3)
    peers = [
        (b, MemoryRows(whole, b, size, 1, 3)) for b in (shard_bounds(size, SHARDS, r, 3) for r in range(3))
    ]
    for number in (0, 5, 2, 40):
        draws = drawn(size, number, 0.5)
        met = [peer.meet(number, local(draws, bounds)) for bounds, peer in peers]
        codes, others = alone.meet(number, draws)
        assert np.array_equal(np.concatenate([m.codes for m, _ in met]), codes.codes)
        assert np.array_equal(np.concatenate([o for _, o in met]), others)


def test_rare_codes_reach_every_row_of_every_code_and_no_other() -> None:
    codes = np.array([2, 0, 2, 5, 2, 0, 5, 2], dtype=np.int32)
    grid = torch.linspace(0, 1, 201)
    pairs = torch.cartesian_prod(grid, grid)
    rows = RareCodes(codes).draw(pairs[:, 0], pairs[:, 1]).numpy()
    assert set(rows) == set(range(8))
    shares = np.bincount(codes[rows], minlength=6) / len(rows)
    weights = np.log1p([2, 0, 4, 0, 0, 2])
    np.testing.assert_allclose(shares, weights / weights.sum(), atol=0.01)


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=40),
    st.floats(0, 1, width=32),
    st.floats(0, 1, width=32),
)
def test_codes_that_are_absent_are_never_drawn(codes, code, row):
    """Also at the ends of the uniforms, and where the first or the last code is absent."""
    held = np.array(codes, dtype=np.int32)
    number = int(RareCodes(held).draw(torch.tensor([code]), torch.tensor([row]))[0])
    assert 0 <= number < len(codes)
    lowest, highest = RareCodes(held).draw(torch.tensor([0.0, 1.0]), torch.tensor([row, row])).tolist()
    assert held[lowest] == held.min()
    assert held[highest] == held.max()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> StoredTable:
    return stored(tmp_path_factory.mktemp("files"), table(), size=90)


def source(files: StoredTable, rank: int = 0, world: int = 1) -> BatchSource:
    return BatchSource(files, LAYOUT, settings(), CONDITIONING, rank, world, None, torch.float64)


def tensors(batch: Batch) -> list[torch.Tensor]:
    steps = batch.steps
    return [batch.rows, batch.mask, batch.noise, batch.gumbel, batch.mix, steps.towards]


@pytest.mark.parametrize("window", [7, 16_384])
@pytest.mark.parametrize("world", [2, 3, 4, 16])
def test_workers_together_draw_from_files_what_one_draws(files, monkeypatch, window, world):
    monkeypatch.setattr(rows_module, "WINDOW_ROWS", window)
    alone = source(files)
    peers = [source(files, rank, world) for rank in range(world)]
    for step, attempt in [(0, 0), (7, 0), (7, 2), (1000, 0), (6, 0)]:
        parts = [tensors(peer.batch(step, 0, attempt)) for peer in peers]
        for whole, *pieces in zip(tensors(alone.batch(step, 0, attempt)), *parts, strict=True):
            assert torch.equal(whole, torch.cat(pieces))


def test_a_batch_from_files_does_not_depend_on_the_ones_before(files, monkeypatch):
    monkeypatch.setattr(rows_module, "WINDOW_ROWS", 11)
    warm = source(files)
    for step in range(30):
        warm.batch(step)
    for left, right in zip(tensors(warm.batch(3)), tensors(source(files).batch(3)), strict=True):
        assert torch.equal(left, right)


def test_files_differ_from_memory_in_the_choice_of_rows_alone(files):
    """The draws of a step are the same, so the masks and the noise are."""
    held = BatchSource(table(), LAYOUT, settings(), CONDITIONING, 0, 1, None, torch.float64)
    left, right = held.batch(4), source(files).batch(4)
    for name in ("mask", "noise", "gumbel", "mix", "penalised"):
        assert torch.equal(getattr(left, name), getattr(right, name)), name
    assert left.rows.shape == right.rows.shape
    assert not torch.equal(left.rows, right.rows)


def test_rare_classes_from_files_are_shown_as_conditions(files):
    walker = source(files)
    batches = [walker.batch(step) for step in range(150)]
    rows, mask = (torch.cat([getattr(b, name) for b in batches]) for name in ("rows", "mask"))
    rare, label_given = rows[:, LAYOUT.numeric + 1], mask[:, LABEL_UNIT] == 1
    assert float(rare[~label_given].mean()) == pytest.approx(13 / 400, abs=0.01)
    # Where the label is drawn, by √n among the 25 rows of a window: about 1 of 25 is 17 %.
    assert float(rare[label_given].mean()) > 0.08


def test_a_wasserstein_run_and_one_without_penalty_need_no_others(files):
    for overrides in ("objective.penalty=none", "objective.name=wasserstein_gp"):
        batch = BatchSource(files, LAYOUT, settings(overrides), FREE).batch(0)
        assert batch.steps.numbers.shape == (32, 0)
        assert torch.isfinite(batch.rows).all()
