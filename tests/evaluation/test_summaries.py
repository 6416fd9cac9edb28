"""What the charts draw."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest

from fingan.evaluation.pairs import pair_errors
from fingan.evaluation.summaries import column_summaries, pair_summary
from tests.evaluation.tables import mixed, permuted, read


def summary(real: list, fake: list) -> dict:
    first, second = read(pa.table({"x": real}), pa.table({"x": fake}))
    return column_summaries(first, second, np.zeros(1), np.zeros(1))[0]


def test_few_values_are_bars_with_what_only_the_synthetic_table_has():
    found = summary([1.0, 2.0, 2.0, 5.0], [1.0, 3.0, 2.0, 9.0])
    assert found["chart"] == "bars"
    assert found["labels"] == ["1", "2", "5", "other"]
    assert found["real"] == [0.25, 0.5, 0.25, 0]
    assert found["synthetic"] == [0.25, 0.25, 0, 0.5]


def test_many_values_are_a_histogram_over_the_real_range():
    rng = np.random.default_rng(0)
    found = summary(rng.normal(size=1000), rng.normal(size=1000) * 50)
    assert found["chart"] == "histogram"
    assert sum(found["real"]) == pytest.approx(1)
    assert sum(found["synthetic"]) == pytest.approx(1)
    assert found["synthetic"][0] > 0.3


def test_one_value_with_a_rare_tail_still_has_a_range():
    found = summary([0.0] * 9950 + list(range(1, 51)), [0.0] * 100)
    assert found["real"][0] > 0.99


def test_levels_are_the_ten_commonest_and_the_rest():
    real = [f"l{i:02d}" for i in range(15) for _ in range(15 - i)]
    found = summary(real, ["l00"] * 10)
    assert found["labels"][0] == "l00"
    assert found["labels"][-1] == "5 others"
    assert found["synthetic"][0] == 1


def test_dates_missing_shares_and_empty_columns():
    days = [datetime.date(2020, 1, 1) + datetime.timedelta(i) for i in range(100)]
    assert summary(days, days)["labels"][0] == "2020-01-01"
    moments = pa.array(days).cast(pa.timestamp("ms"))
    assert summary(moments, moments)["labels"][0] == "2020-01-01"
    assert summary([1.0, None], [1.0, 2.0])["missing"] == {"real": 0.5, "synthetic": 0}
    hollow = summary(pa.nulls(3, pa.float64()), pa.nulls(3, pa.float64()))
    assert hollow["real"] == []


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (12_345.0, "12.3k"),
        (2.5e6, "2.5m"),
        (3e9, "3bn"),
        (0.125, "0.125"),
        (9_999.0, "9999"),
        (9_999.6, "10k"),
        (999_600.0, "1m"),
        (1.5e12, "1.5tn"),
        (2e15, "2e+15"),
    ],
)
def test_labels_are_short(value, label):
    assert summary([value, 0.0], [0.0])["labels"][1] == label


def test_labels_tell_values_apart():
    assert summary([10_012.0, 10_037.5], [0.0])["labels"][:2] == ["10012", "10037.5"]
    prices = np.linspace(10_010, 10_090, 100)
    assert len(set(summary(prices, prices)["labels"])) == 3


def test_worst_pairs_come_first():
    table = mixed(600)
    found = pair_errors(*read(table, permuted(table)))
    floor = pair_errors(*read(table, mixed(600, seed=1)))
    drawn = pair_summary(found, floor)
    assert set(drawn["worst"][0]["columns"]) in ({"amount", "fee"}, {"opened", "seen"})
    assert drawn["worst"][0]["strong"]
    assert len(drawn["errors"]) == len(drawn["names"])
    assert pair_summary(floor, found)["worst"] != drawn["worst"]
    assert pair_summary(found, found)["worst"] == []
