"""Data frames of pandas."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fingan.data import read_table
from fingan.data.frames import to_pandas
from fingan.errors import DataError


def test_columns_of_every_kind() -> None:
    frame = pd.DataFrame(
        {
            "i": pd.Series([1, None], dtype="Int64"),
            "f": [0.5, float("nan")],
            "s": ["x", None],
            "c": pd.Categorical(["u", "v"]),
            "ci": pd.Categorical([3, 4]),
            "b": [True, False],
            "t": pd.to_datetime(["2024-02-29 12:00", None]).tz_localize("Europe/Paris").as_unit("ns"),
            "d": [datetime.date(2024, 2, 29), None],
            "m": [decimal.Decimal("1.50"), decimal.Decimal("2.25")],
            "o": pd.Series([1, 2.5], dtype=object),
            "n": pd.Series([None, None], dtype=object),
        }
    )
    frame.index = pd.Index([7, 7], name="ignored")
    table = read_table(frame)
    assert [str(t) for t in table.schema.types] == [
        "int64",
        "double",
        "string",
        "string",
        "int64",
        "bool",
        "timestamp[ns, tz=Europe/Paris]",
        "date32[day]",
        "decimal128(3, 2)",
        "double",
        "string",
    ]
    assert table.column("i").to_pylist() == [1, None]
    assert table.column("f").to_pylist() == [0.5, None]
    assert table.column("n").null_count == 2
    assert table.schema.metadata is None


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ([1, "x", 2, None], "column 'a' mixes types (2 int, 1 str; for example 'x')"),
        ([1, True], "mixes types (1 int, 1 bool"),
        ([decimal.Decimal("1"), 1.5], "mixes types"),
        ([datetime.date(2024, 1, 1), datetime.datetime(2024, 1, 1)], "mixes types"),
        ([pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-01", tz="UTC")], "with a zone and without"),
        (
            [datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC), None, np.datetime64("2024-01-01")],
            "tz_localize",
        ),
        (["x", {"y": 1}], "mixes types"),
        ([[1], [2]], "holds objects (2 list; for example [1])"),
        ([{1}, {2}], "holds objects"),
        ([1 + 2j, 3j], "holds objects (2 complex"),
        ([1, 2**70], f"value {2**70} in row 2 does not fit 64 signed bits"),
    ],
)
def test_objects_that_do_not_fit_name_column_types_and_value(values: list[object], part: str) -> None:
    with pytest.raises(DataError) as error:
        read_table(pd.DataFrame({"a": pd.Series(values, dtype=object)}))
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("series", "part"),
    [
        (pd.Series([1 + 2j]), "complex128"),
        (pd.Series(pd.period_range("2020", periods=2, freq="M")), "column 'a'"),
        (pd.Series(pd.timedelta_range("1s", periods=2)), "turn it into seconds"),
        (pd.Series(pd.cut([1, 2], 2)), "column 'a'"),
        (pd.Series(["\ud800"], dtype=object), "column 'a'"),
    ],
)
def test_types_that_do_not_fit(series: pd.Series[object], part: str) -> None:
    with pytest.raises(DataError) as error:
        read_table(pd.DataFrame({"a": series}))
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        (["a", "a"], "columns 1 and 2 are both named 'a'"),
        (["a", 3], "column 2 is named 3 (int); rename it to text"),
        (["a", None], "column 2 is named"),
        (["a", ""], "empty name"),
        (["a", " \t"], "empty name"),
        (pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]), "column 1 is named ('a', 'b')"),
    ],
)
def test_names_that_do_not_fit(columns: object, part: str) -> None:
    frame = pd.DataFrame(np.ones((2, 2)))
    frame.columns = columns  # type: ignore[assignment]
    with pytest.raises(DataError) as error:
        read_table(frame)
    assert part in str(error.value)


def test_frames_without_rows_or_columns() -> None:
    with pytest.raises(DataError, match="no rows"):
        read_table(pd.DataFrame({"a": []}))
    with pytest.raises(DataError, match="no columns"):
        read_table(pd.DataFrame(index=range(3)))


def test_large_integers_are_exact() -> None:
    values = [2**53 + 1, -(2**63), 2**63 - 1]
    assert read_table(pd.DataFrame({"a": values})) == pa.table({"a": values})
    with pytest.raises(DataError, match=f"value {2**64 - 1} in row 1 is beyond"):
        read_table(pd.DataFrame({"a": [2**64 - 1]}))


@pytest.mark.parametrize("chunks", [1, 2])
@pytest.mark.parametrize(
    ("values", "kind", "wanted"),
    [
        ([2**53 + 1, None], pa.int64(), "Int64"),
        ([-(2**63), None], pa.int64(), "Int64"),
        ([2**64 - 1, None], pa.uint64(), "UInt64"),
        ([2**53, None, -(2**53)], pa.int64(), "float64"),
        ([7, None], pa.int32(), "float64"),
        ([2**53 + 1, 4], pa.int64(), "int64"),
        ([None, None], pa.int64(), "float64"),
        ([], pa.int64(), "int64"),
    ],
    ids=str,
)
def test_integers_beside_nulls_are_floats_only_where_those_hold_them(values, kind, wanted, chunks) -> None:
    column = pa.chunked_array([pa.array(values, kind)] * chunks)
    frame = to_pandas(pa.table({"x": [0.5] * len(column), "a": column, "b": column}))
    assert list(frame.columns) == ["x", "a", "b"]
    assert str(frame["a"].dtype) == str(frame["b"].dtype) == wanted
    whole = [None if pd.isna(value) else int(value) for value in frame["a"]]
    assert whole == column.to_pylist()
