"""Rows that could not be real."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.config import FixedCombinations, LessEqual, Range, Unique
from fingan.data import infer_schema
from fingan.errors import ConfigError
from fingan.evaluation.frame import frames
from fingan.evaluation.validity import Validity, check_rows, class_rates, lattice


def judge(train: pa.Table, rows: pa.Table, *rules) -> Validity:
    schema = infer_schema(train)
    first, second = frames(schema, [train, rows])
    return check_rows(first, second, schema, rows, train, rules)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([10.0, 30.0, 20.0], (0, 10)),
        ([0.25, 1.5], (2, 25)),
        ([0.1, 0.2, np.nan], (1, 1)),
        ([np.pi, 1.0], None),
        ([np.nan], None),
        ([1e300], None),
        ([0.0, 0.0], (0, 1)),
    ],
)
def test_lattice(values, expected):
    assert lattice(np.array(values)) == expected


@given(st.integers(0, 4), st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=30), st.integers(1, 50))
def test_every_value_lies_on_its_lattice(decimals, ticks, step):
    values = np.array(ticks) * step / 10.0**decimals
    values = np.round(values, decimals)
    found, unit = lattice(values)
    assert found <= decimals
    assert (np.rint(values * 10.0**found) % unit == 0).all()


def test_each_fault_is_counted_by_column():
    train = pa.table({"amount": [100.0, 250.0, 400.0, 150.0], "grade": ["a", "b", "a", "b"]})
    rows = pa.table({"amount": [100.0, 120.0, 500.0, 150.0], "grade": ["a", "b", "a", "z"]})
    found = judge(train, rows)
    assert list(found.valid) == [True, False, False, False]
    assert found.faults == {
        "amount: off the column's lattice": 1,
        "amount: outside the training range": 1,
        "grade: unseen category": 1,
    }
    assert found.share == 0.25


def test_nulls_are_valid_only_where_the_schema_allows_them():
    with_null = pa.table({"x": pa.array([1.0, None, 3.0]), "c": ["a", "b", "a"]})
    rows = pa.table({"x": pa.array([None, 1.0, 2.0]), "c": pa.array([None, "a", "b"])})
    found = judge(with_null, rows)
    assert found.faults == {"c: unexpected null": 1}
    assert judge(with_null, with_null).share == 1


def test_dates_and_an_all_null_column():
    day = datetime.date(2024, 1, 1)
    train = pa.table({"d": [day, day + datetime.timedelta(9)], "e": pa.nulls(2, pa.float64())})
    rows = pa.table({"d": [day, day + datetime.timedelta(10)], "e": pa.array([1.0, None])})
    found = judge(train, rows)
    assert list(found.valid) == [False, False]
    assert set(found.faults) == {"d: outside the training range", "e: outside the training range"}


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        (LessEqual(low="a", high="b"), [False, True, False, False]),
        (LessEqual(low="a", high="b", strict=True), [True, True, False, False]),
        (Range(column="a", minimum=2), [True, False, False, True]),
        (Range(column="a", maximum=2.5), [False, False, True, False]),
        (FixedCombinations(columns=("a", "b")), [False, True, False, True]),
        (Unique(column="a"), [False, False, False, True]),
    ],
)
def test_rules(rule, broken):
    train = pa.table({"a": [1, 3, 2, 1], "b": pa.array([1, None, 1, 3], pa.int64())})
    train = pa.concat_tables([train, pa.table({"a": [1, 3], "b": pa.array([1, 3], pa.int64())})])
    rows = pa.table({"a": [1, 2, 3, 1], "b": pa.array([1, 0, None, 2], pa.int64())})
    rows_valid = judge(train, rows, rule)
    reason = next((n for r, n in rows_valid.faults.items() if str(rule) in r), 0)
    assert reason == sum(broken)


def test_missing_values_are_not_equal_to_each_other():
    """As in training, which such rows do not end."""
    rows = pa.table({"id": pa.array([1, None, 2, None, 2])})
    assert judge(rows, rows, Unique(column="id")).faults == {"id: breaks unique(id)": 1}


def test_decimals_keep_their_range_and_their_lattice():
    cents = pa.array([f"0.{n:02d}" for n in range(36)]).cast(pa.decimal128(6, 2))
    table = pa.table({"rate": cents})
    assert judge(table, table, Range(column="rate", maximum=0.35)).share == 1
    (frame,) = frames(infer_schema(table), [table])
    assert lattice(frame.columns[0].number()) == (2, 1)
    found = judge(table, table, Range(column="rate", maximum=0.34))
    assert found.faults == {"rate: breaks rate <= 0.34": 1}


def test_a_rule_on_an_unknown_column_names_the_nearest():
    table = pa.table({"amount": [1.0, 2.0]})
    with pytest.raises(ConfigError, match="amount"):
        judge(table, table, Range(column="amuont", minimum=0))


def test_class_rates_by_hand():
    real, fake = np.repeat([0, 1], [90, 10]), np.repeat([0, 1], [95, 5])
    found = class_rates(real, fake, ["good", "bad"])
    assert found.error == pytest.approx(50)
    assert found.interval[0] < 50 < found.interval[1]
    assert found.classes["good"]["error"] == pytest.approx(100 * 5 / 90)


def test_a_lost_rare_class_is_a_total_error():
    found = class_rates(np.repeat([0, 1], [998, 2]), np.zeros(1000, int), ["good", "bad"])
    assert found.error == 100
