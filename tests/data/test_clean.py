"""Names, types and values that every table must satisfy."""

from __future__ import annotations

import decimal

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.data import require_rows
from fingan.data.clean import clean
from fingan.errors import DataError

INF = float("inf")
CAST_DECIMAL = "; cast it to decimal128 of at most 18 digits, or to double"


@pytest.mark.parametrize(
    ("array", "type_"),
    [
        (pa.array(["x", "y", None]).dictionary_encode(), pa.string()),
        (pa.array([1, 2, None]).dictionary_encode(), pa.int64()),
        (pa.array(["x"], pa.large_string()), pa.string()),
        (pa.array(["x"], pa.string_view()), pa.string()),
        (pa.nulls(2), pa.string()),
        (pa.array(np.array([0.5], np.float16)), pa.float32()),
        (pa.array([0], pa.date64()), pa.date32()),
        (pa.array([decimal.Decimal("1.5")], pa.decimal256(50, 1)), pa.decimal128(38, 1)),
        (pa.array([decimal.Decimal("1200")], pa.decimal128(4, -2)), pa.decimal128(6, 0)),
        (pa.array([2**63 - 1], pa.uint64()), pa.uint64()),
        (pa.array([decimal.Decimal(2**63 - 1)], pa.decimal128(38, 0)), pa.decimal128(38, 0)),
        (pa.RunEndEncodedArray.from_arrays([2, 3], ["x", "y"]), pa.string()),
    ],
)
def test_columns_take_the_usual_type(array: pa.Array, type_: pa.DataType) -> None:
    column = clean(pa.table({"a": array})).column("a")
    assert column.type == type_
    assert column.to_pylist() == array.to_pylist() or pa.types.is_date(type_)


@pytest.mark.parametrize(
    ("array", "part"),
    [
        (pa.array([[1]]), "type list<item: int64>; flatten"),
        (pa.array([{"a": 1}]), "flatten"),
        (pa.array([b"x"]), "type binary; decode it to UTF-8 text"),
        (pa.array([0], pa.time32("s")), "seconds"),
        (pa.array([0], pa.duration("s")), "seconds"),
        (pa.array([0], pa.timestamp("us", "Mars/Olympus")), "unknown time zone 'Mars/Olympus'"),
        (pa.array([0.0, INF]), "value inf in row 2 is infinite; replace it"),
        (pa.array([-INF], pa.float32()), "value -inf in row 1"),
        (pa.array([1, 2**63], pa.uint64()), f"value {2**63} in row 2 is beyond {2**63 - 1}; cast"),
        (pa.array([decimal.Decimal(2**63)], pa.decimal128(38, 0)), "more than 18 digits"),
        (pa.array([decimal.Decimal("-9999999999999999.99")], pa.decimal128(20, 2)), None),
        (pa.array([decimal.Decimal("-999999999999999999.99")], pa.decimal128(20, 2)), "more than 18 digits"),
        (
            pa.array([decimal.Decimal(10) ** 40], pa.decimal256(50, 0)),
            "type decimal256(50, 0): Decimal value",
        ),
        (pa.array([decimal.Decimal("123456789012.5")], pa.decimal256(76, 30)), "type decimal256(76, 30): "),
        (pa.array([decimal.Decimal("123456789012.5")], pa.decimal256(76, 30)), CAST_DECIMAL),
        (pa.array([decimal.Decimal(0)], pa.decimal256(76, 50)), "type decimal256(76, 50), of more digits"),
        (pa.array([None], pa.decimal256(76, 50)), CAST_DECIMAL),
        (pa.array([decimal.Decimal("1E-8")], pa.decimal128(5, 10)), CAST_DECIMAL),
        (pa.array([b"\xff"]).view(pa.string()), "damaged"),
    ],
)
def test_values_that_cannot_be_used_name_column_and_remedy(array: pa.Array, part: str | None) -> None:
    table = pa.table({"ok": [1] * len(array), "odd": array})
    if part is None:
        assert clean(table).num_rows == len(array)
        return
    with pytest.raises(DataError) as error:
        clean(table)
    assert part in str(error.value)
    assert "column 'odd'" in str(error.value)


def test_names_that_are_not_utf8() -> None:
    with pytest.raises(DataError, match="names are not UTF-8"):
        clean(csv.read_csv(pa.py_buffer(b"\xff,b\n1,2\n")))


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string()])
def test_more_text_than_one_array_holds_names_column_and_remedy(type_: pa.DataType) -> None:
    # The chunks share their bytes: 64 MiB are held.
    chunk = pa.array(["x" * (1 << 26)], type_)
    fitting = pa.table({"note": pa.chunked_array([chunk] * 31)})
    assert clean(fitting).num_rows == 31
    with pytest.raises(DataError, match="column 'note' holds more than 2 GiB of text; with Parquet lower"):
        clean(pa.table({"note": pa.chunked_array([chunk] * 32)}))


def test_text_in_a_dictionary_counts_once_decoded_and_offsets_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fingan.data.clean._MOST_TEXT", 90)
    words = pa.array(["nine char"] * 10)
    assert words.nbytes > 90
    assert clean(pa.table({"a": words, "b": words.dictionary_encode()})).num_rows == 10
    more = pa.array(["nine char"] * 11).dictionary_encode()
    with pytest.raises(DataError, match="column 'b' holds more than 2 GiB"):
        clean(pa.table({"b": more}))


def test_nan_is_missing() -> None:
    column = clean(pa.table({"a": [1.0, float("nan"), None, -0.0, 5e-324, 1e308]})).column("a")
    assert column.to_pylist() == [1.0, None, None, -0.0, 5e-324, 1e308]


def test_the_row_counts_over_chunks() -> None:
    table = pa.table({"a": pa.chunked_array([[1.0, 2.0], [3.0, INF]])})
    with pytest.raises(DataError, match="in row 4"):
        clean(table)


def test_tables_without_rows_or_columns() -> None:
    with pytest.raises(DataError, match="no columns"):
        clean(pa.table({}))
    with pytest.raises(DataError, match="no rows"):
        clean(pa.table({"a": pa.array([], pa.int64())}))


def test_metadata_go() -> None:
    field = pa.field("a", pa.int64(), nullable=False, metadata={"k": "v"})
    table = pa.table([pa.array([1])], schema=pa.schema([field], metadata={"pandas": "{}"}))
    assert clean(table).schema == pa.schema([pa.field("a", pa.int64())])
    assert clean(table).schema.metadata is None


@given(st.lists(st.none() | st.floats(allow_infinity=False), min_size=1, max_size=8))
def test_cleaning_twice_is_cleaning_once(values: list[float | None]) -> None:
    once = clean(pa.table({"a": pa.array(values, pa.float64())}))
    assert clean(once) == once
    assert once.column("a").null_count == sum(v is None or v != v for v in values)


def test_a_minimum_of_rows() -> None:
    table = pa.table({"a": [1]})
    require_rows(table, 1, "training")
    with pytest.raises(DataError, match="the table has 1 row; training needs at least 20: add rows"):
        require_rows(table, 20, "training")
    with pytest.raises(DataError, match="0 rows"):
        require_rows(table.slice(1), 1, "sampling")
