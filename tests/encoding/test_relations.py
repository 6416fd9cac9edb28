"""Relations are found where they are planted, and not by chance."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingan.data import read_table
from fingan.encoding.relations import (
    EqualColumns,
    aliases,
    code_column,
    equal_columns,
    functional_dependencies,
    heavy_values,
)
from fingan.rng import numpy_generator

ROWS = 4000


def coded(table):
    return {name: code_column(table[name]) for name in table.column_names}


def groups(table, determinants=None):
    return functional_dependencies(coded(table), determinants or table.column_names, table.column_names)


def test_codes_count_null_as_a_value():
    found = code_column(pa.chunked_array([["a", None], ["a", "b"]]))
    assert found.codes.tolist() == [0, 1, 0, 2]
    assert found.sizes.tolist() == [2, 1, 1]
    assert code_column(pa.nulls(3, pa.string())).count == 1


def test_planted_dependency_is_found_and_nothing_else():
    r = numpy_generator(0, "planted")
    city = r.integers(0, 40, ROWS)
    table = pa.table(
        {"city": city, "region": city // 8, "other": r.integers(0, 5, ROWS), "many": r.normal(size=ROWS)}
    )
    assert groups(table, ["city", "region", "other"]) == [("city", "region")]


def test_a_dependency_with_nulls_and_numbers():
    r = numpy_generator(1, "planted")
    level = r.integers(0, 10, ROWS)
    value = pa.array(level * 1.5, mask=level == 3)
    assert groups(pa.table({"level": level, "value": value}), ["level"]) == [("level", "value")]


def test_one_exception_breaks_a_dependency():
    city = np.arange(ROWS) % 40
    region = city // 8
    region[-1] += 1
    assert groups(pa.table({"city": city, "region": region})) == []


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(5, 400), st.integers(2, 200))
def test_thin_data_prove_nothing(seed, rows, levels):
    r = numpy_generator(seed, "thin")
    table = pa.table(
        {"a": r.integers(0, levels, rows), "b": r.random(rows) < 0.02, "c": r.integers(0, 3, rows)}
    )
    assert groups(table) == []


def test_education_is_found_on_adult_alone(shared_data):
    table = read_table(shared_data / "adult_train.parquet")
    names = [n for n in table.column_names if n != "income"]
    text = [n for n in names if pa.types.is_string(table[n].type)]
    assert functional_dependencies(coded(table), text, names) == [("education", "education-num")]


def repeated(share, seed=0, rows=ROWS, decimals=2):
    r = numpy_generator(seed, "repeated")
    bill = np.round(r.lognormal(8, 1, rows), decimals)
    paid = np.round(r.lognormal(7, 1, rows), decimals)
    paid[r.random(rows) < 0.2] = 0.0
    copy = r.random(rows) < share
    return pa.table(
        {
            "bill": bill,
            "paid": np.where(copy, bill, paid),
            "noise": np.round(r.lognormal(8, 1, rows), decimals),
        }
    )


@pytest.mark.parametrize("share", [0.1, 0.15])
@pytest.mark.parametrize("decimals", [0, 2, 9])
def test_planted_equality_is_found_alone(share, decimals):
    table = repeated(share, decimals=decimals)
    assert equal_columns(table, coded(table), table.column_names) == [EqualColumns("paid", ("bill",))]


def test_equality_is_found_in_sorted_rows():
    table = repeated(0.1).sort_by("bill")
    assert [e.target for e in equal_columns(table, coded(table), table.column_names)] == ["paid"]


def test_equal_zeros_and_close_columns_are_no_repeats():
    r = numpy_generator(3, "zeros")
    zeros = {f"z{i}": np.where(r.random(ROWS) < 0.8, 0, r.integers(1, 10**6, ROWS)) for i in range(2)}
    base = r.integers(0, 400, ROWS)
    close = {"near": base, "by": base + r.integers(-3, 4, ROWS)}
    table = pa.table(zeros | close)
    assert equal_columns(table, coded(table), table.column_names) == []


def test_missing_values_are_not_equal():
    gone = numpy_generator(4, "gone").random(ROWS) < 0.5
    r = numpy_generator(5, "gone")
    table = pa.table({n: pa.array(r.normal(size=ROWS), mask=gone) for n in "ab"})
    assert equal_columns(table, coded(table), table.column_names) == []


def test_a_second_source_needs_rows_of_its_own():
    table = repeated(0.15)
    table = table.append_column(
        "bill2", pa.array(np.where(np.arange(ROWS) % 2, table["bill"], np.arange(ROWS) + 0.5))
    )
    found = {e.target: e.sources for e in equal_columns(table, coded(table), table.column_names)}
    assert found["paid"] == ("bill",)


def test_payments_equal_bills_on_the_default_table(shared_data):
    table = read_table(shared_data / "uci_default.parquet")
    names = [n for n in table.column_names if "AMT" in n]
    found = {e.target: e.sources for e in equal_columns(table, coded(table), names)}
    for month in range(1, 6):
        assert found[f"PAY_AMT{month}"][0] == f"BILL_AMT{month + 1}"


def test_heavy_values():
    column = pa.array([0] * 50 + list(range(1, 950)) + [None] * 100)
    assert heavy_values(column).to_pylist() == [0]


def test_aliases_and_thin_coincidences():
    r = numpy_generator(6, "alias")
    a = pa.array(r.integers(0, 9, ROWS), mask=r.random(ROWS) < 0.1)
    table = pa.table({"a": a, "b": a, "c": a.cast(pa.int32()), "d": a, "one": [1] * ROWS, "uno": [1] * ROWS})
    assert aliases(table, coded(table), table.column_names) == {"b": "a", "d": "a"}
    thin = pa.table({"x": [True, False, True], "y": [True, False, True]})
    assert aliases(thin, coded(thin), thin.column_names) == {}
