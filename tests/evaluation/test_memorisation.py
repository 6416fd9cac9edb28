"""Closeness and copies on constructed tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fingan.evaluation import memorisation
from fingan.evaluation.frame import row_codes
from fingan.evaluation.memorisation import closeness, copied_share
from tests.evaluation.tables import mixed, read


def normal(rows: int, seed: int) -> pa.Table:
    return pa.table({f"x{k}": np.random.default_rng([seed, k]).normal(size=rows) for k in range(3)})


@pytest.mark.parametrize("holdout_rows", [400, 80])
def test_a_copier_leaks_and_a_fresh_sample_does_not(holdout_rows):
    train, holdout, fresh = read(normal(400, 0), normal(holdout_rows, 1), normal(600, 2))
    copier = train.take(np.random.default_rng(0).integers(0, 400, 600))
    found = closeness(train, holdout, copier, 0)
    assert found.leak == pytest.approx(1)
    assert found.compared == holdout_rows
    honest = closeness(train, holdout, fresh, 0)
    assert honest.leak_interval[0] - 0.02 < 0 < honest.leak_interval[1] + 0.02
    assert honest.share == pytest.approx(0.5, abs=0.1)


def test_repeated_rows_in_both_tables_are_no_leak():
    """Nine of ten records are training rows; ties by number give each side its due."""
    rng = np.random.default_rng(0)

    def coarse(rows: int) -> pa.Table:
        return pa.table({"c": rng.choice(["a", "b", "c"], rows), "d": rng.choice(["p", "q"], rows)})

    train, holdout, fresh = read(coarse(900), coarse(100), coarse(500))
    found = closeness(train, holdout, fresh, 0)
    assert found.leak == pytest.approx(0, abs=0.25)
    assert found.share == 0.5


def test_a_larger_holdout_is_cut_for_the_share():
    train, holdout, fresh = read(normal(100, 0), normal(300, 1), normal(50, 2))
    found = closeness(train, holdout, fresh, 0)
    assert (found.compared, found.train, found.holdout) == (100, 100, 300)


def test_queries_are_bounded(monkeypatch):
    monkeypatch.setattr(memorisation, "PAIRS_AT_MOST", 2_000)
    train, holdout, fresh = read(normal(60, 0), normal(40, 1), normal(100, 2))
    assert closeness(train, holdout, fresh, 0).rows == 20


def test_crowded_records_widen_the_interval():
    train, holdout, _ = read(normal(200, 0), normal(200, 1), normal(200, 2))
    spread, crowd = (train.take(np.arange(200) % n) for n in (200, 4))
    widths = [np.ptp(closeness(train, holdout, queries, 0).share_interval) for queries in (spread, crowd)]
    assert widths[1] > 2 * widths[0]


def test_exact_copies_compare_values_as_arrow_holds_them():
    big = 2**60
    train = pa.table({"k": [big, big + 1, 7], "s": pa.array(["a", None, "b"])})
    rows = pa.table({"k": [big + 2, big + 1, 7, 7], "s": pa.array(["a", None, "b", "a"])})
    keys = row_codes([train, rows], ["k", "s"])
    share, (low, high) = copied_share(keys[0], keys[1])
    assert share == 0.5
    assert low < 0.5 < high


def test_a_zero_is_a_copy_of_a_zero_of_the_other_sign():
    train, rows = pa.table({"x": [0.0, -0.0, 1.5]}), pa.table({"x": [-0.0, 0.0, -1.5]})
    first, second = row_codes([train, rows], ["x"])
    assert copied_share(first, second)[0] == pytest.approx(2 / 3)


def test_copies_of_every_kind_of_column():
    table = mixed(50, missing=0.2)
    first, second = row_codes([table, table.slice(10, 5)], table.column_names)
    assert copied_share(first, second)[0] == 1
