"""Tables that differ from their schema."""

from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.data import ColumnSpec, TableSchema, check_table, conform, infer_schema, range_notes
from fingan.data.drift import lossless_cast
from fingan.errors import DataError, SchemaMismatch

TABLE = pa.table({"amount": [1.5, 2.5], "age": [30, 40], "Class": ["good", "bad"]})
SCHEMA = infer_schema(TABLE, "Class")


def test_a_table_in_another_order_is_put_right() -> None:
    check_table(TABLE, SCHEMA)
    shuffled = TABLE.select(["Class", "amount", "age"])
    assert conform(shuffled, SCHEMA) == conform(TABLE, SCHEMA)
    assert conform(shuffled, SCHEMA).schema == SCHEMA.arrow()


def test_the_diff_names_everything_at_once() -> None:
    table = pa.table({"amount": ["x", "y"], "age": [30, None], "Clas": ["good", "bad"]})
    with pytest.raises(SchemaMismatch) as error:
        check_table(table, SCHEMA)
    text = str(error.value)
    assert "'amount': expected double (number), found string" in text
    assert "'age': 1 value missing, the first in row 2, but nullable is false" in text
    assert "missing: 'Class' (category, string). Did you mean 'Clas'?" in text
    assert "extra: 'Clas' (string)" in text
    assert "edit the schema" in text


def test_extra_columns_can_be_dropped() -> None:
    wider = TABLE.append_column("note", pa.array(["a", "b"]))
    with pytest.raises(SchemaMismatch, match="extra: 'note'"):
        conform(wider, SCHEMA)
    assert conform(wider, SCHEMA, drop_extra=True) == conform(TABLE, SCHEMA)


def _as(values: list[object], type_: pa.DataType) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, type_)])


NOON = datetime.datetime(2024, 3, 1, 12)


@pytest.mark.parametrize(
    ("values", "given_type", "type_"),
    [
        ([1, 2], pa.int8(), pa.int64()),
        ([1, 200], pa.int64(), pa.uint8()),
        ([1, 2**53], pa.int64(), pa.float64()),
        ([1.0, None, -3.0], pa.float64(), pa.int64()),
        ([0.5], pa.float64(), pa.float32()),
        ([1.25], pa.float64(), pa.decimal128(12, 2)),
        ([7], pa.int64(), pa.decimal128(5, 1)),
        ([decimal.Decimal("1.50")], pa.decimal128(5, 2), pa.decimal128(5, 1)),
        ([decimal.Decimal("4.00")], pa.decimal128(5, 2), pa.int64()),
        ([NOON], pa.timestamp("us"), pa.timestamp("s")),
        ([NOON.date()], pa.date32(), pa.timestamp("us")),
        ([NOON], pa.timestamp("us", "UTC"), pa.timestamp("us", "Asia/Tokyo")),
        ([None], pa.string(), pa.float64()),
        ([None], pa.float64(), pa.string()),
    ],
)
def test_a_cast_that_loses_nothing_is_made(
    values: list[object], given_type: pa.DataType, type_: pa.DataType
) -> None:
    column = _as(values, given_type)
    cast = lossless_cast(column, type_)
    assert cast is not None
    assert cast.type == type_
    back = lossless_cast(cast, given_type)
    assert back is not None
    assert back.equals(column)


@pytest.mark.parametrize(
    ("values", "given_type", "type_"),
    [
        ([300], pa.int64(), pa.uint8()),
        ([-1], pa.int64(), pa.uint64()),
        ([2**53 + 1], pa.int64(), pa.float64()),
        ([1.5], pa.float64(), pa.int64()),
        ([0.1], pa.float64(), pa.float32()),
        ([1.15], pa.float64(), pa.decimal128(5, 1)),
        ([10**6], pa.int64(), pa.decimal128(5, 1)),
        ([NOON], pa.timestamp("us"), pa.date32()),
        ([NOON], pa.timestamp("us"), pa.timestamp("us", "UTC")),
        ([NOON.date()], pa.date32(), pa.timestamp("us", "UTC")),
        (["1"], pa.string(), pa.int64()),
        ([1], pa.int64(), pa.string()),
        ([True], pa.bool_(), pa.int64()),
    ],
)
def test_a_cast_that_would_lose_something_is_refused(
    values: list[object], given_type: pa.DataType, type_: pa.DataType
) -> None:
    assert lossless_cast(_as(values, given_type), type_) is None


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5))
def test_integers_become_floats_only_if_exact(values: list[int]) -> None:
    cast = lossless_cast(_as(list(values), pa.int64()), pa.float64())
    exact = all(int(float(v)) == v for v in values)
    assert cast is None or exact
    if all(abs(v) <= 2**53 for v in values):
        assert cast is not None


@given(st.lists(st.integers(-(10**14), 10**14), max_size=20), st.integers(0, 6))
def test_decimals_of_up_to_15_digits_and_doubles_become_each_other(unscaled: list[int], scale: int) -> None:
    kind = pa.decimal128(18, scale)
    values = [decimal.Decimal(number).scaleb(-scale) for number in unscaled]
    exact, floats = _as(list(values), kind), _as([float(v) for v in values], pa.float64())
    cast, back = lossless_cast(exact, pa.float64()), lossless_cast(floats, kind)
    assert cast is not None
    assert cast.equals(floats)
    assert back is not None
    assert back.equals(exact)


@pytest.mark.parametrize("row", [1, 2, 777, 1000])
def test_the_first_value_that_does_not_fit_is_named(row: int) -> None:
    values = [float(i) for i in range(1000)]
    values[row - 1] = row + 0.5
    schema = TableSchema(columns=(ColumnSpec(name="a", kind="integer", type="int64"),))
    with pytest.raises(SchemaMismatch) as error:
        check_table(pa.table({"a": [*values, 0.25]}), schema)
    assert f"found double; {row + 0.5} in row {row} does not fit" in str(error.value)


def test_values_outside_the_range_are_a_note_unless_strict() -> None:
    table = pa.table({"amount": [0.5, 2.0], "age": [41, 99], "Class": ["good", "worse"]})
    check_table(table, SCHEMA)
    notes = range_notes(table, SCHEMA)
    assert notes == (
        "'amount': 1 value below the minimum 1.5, the first 0.5 in row 1",
        "'age': 2 values above the maximum 40, the first 41 in row 1",
    )
    strict = SCHEMA.model_copy(update={"strict": True})
    with pytest.raises(SchemaMismatch, match="2 values above the maximum 40"):
        check_table(table, strict)
    check_table(TABLE, strict)


def test_a_category_has_no_range() -> None:
    spec = ColumnSpec(name="a", kind="category", type="int64", minimum="1", maximum="2")
    assert range_notes(pa.table({"a": [5]}), TableSchema(columns=(spec,), strict=True)) == ()


def test_raw_columns_are_cleaned_on_the_way() -> None:
    schema = infer_schema(pa.table({"a": ["x", "y"], "b": pa.array([1.0, None])}))
    raw = pa.table({"a": pa.array(["x", "y"]).dictionary_encode(), "b": [float("nan"), 1.0]})
    assert conform(raw, schema).to_pydict() == {"a": ["x", "y"], "b": [None, 1.0]}


def test_a_value_that_no_table_may_hold_is_a_data_error() -> None:
    with pytest.raises(DataError, match="column 'amount': value inf in row 2 is infinite"):
        check_table(TABLE.set_column(0, "amount", pa.array([1.0, float("inf")])), SCHEMA)


def test_an_empty_batch_conforms() -> None:
    assert conform(TABLE.slice(0, 0), SCHEMA).num_rows == 0
