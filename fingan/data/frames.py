"""Data frames of pandas as Arrow tables, with a clear word about what does not fit, and back."""

from __future__ import annotations

import datetime
import decimal
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.data.clean import check_names
from fingan.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_EXACT = 1 << 53
_INT64 = (-(1 << 63), (1 << 63) - 1)
# The first match counts: a boolean is an int, and a datetime is a date, in Python.
_GROUPS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("text", (str,)),
    ("boolean", (bool, np.bool_)),
    ("number", (int, float, np.integer, np.floating)),
    ("decimal", (decimal.Decimal,)),
    ("timestamp", (datetime.datetime, np.datetime64)),
    ("date", (datetime.date,)),
)


def from_pandas(frame: pd.DataFrame) -> pa.Table:
    """Return a data frame as an Arrow table; the index is not a column (use `reset_index()`).

    Raises:
        DataError: a column name that is not text, or a column of mixed or unsupported values.
    """
    check_names(list(frame.columns))
    columns = [_column(str(name), frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    return pa.Table.from_arrays(columns, names=[str(name) for name in frame.columns])


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a table as a data frame.

    Integers beside nulls are floats, as pandas has them; where floats would round them they are of
    its nullable type instead.
    """
    frame: pd.DataFrame = table.to_pandas()
    for name in table.column_names:
        if _rounded(table[name]):
            frame[name] = table[name].to_pandas(types_mapper=_nullable)
    return frame


def _nullable(kind: pa.DataType) -> Any:
    import pandas as pd

    return pd.Int64Dtype() if pa.types.is_signed_integer(kind) else pd.UInt64Dtype()


def _rounded(column: pa.ChunkedArray) -> bool:
    """Whether integers beside nulls lie beyond what doubles hold one by one."""
    if not pa.types.is_integer(column.type) or not 0 < column.null_count < len(column):
        return False
    ends = pc.min_max(column).as_py()
    return bool(max(-ends["min"], ends["max"]) > _EXACT)


def _column(name: str, values: pd.Series[Any]) -> pa.ChunkedArray:
    if values.dtype == object:
        _check_objects(name, values)
    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise DataError(
            f"column {name!r} of type {values.dtype} cannot be read: {error}; cast it to numbers or text"
        ) from error
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _check_objects(name: str, values: pd.Series[Any]) -> None:
    """Refuse a column of Python objects that are not all of one group."""
    present = values[values.notna().to_numpy()]
    types = Counter(type(value) for value in present)
    groups = {_group(t) for t in types}
    if len(groups) > 1 or None in groups:
        found = ", ".join(f"{count} {t.__name__}" for t, count in types.most_common(5))
        first = next(v for v in present if type(v) is types.most_common()[-1][0])
        what = "mixes types" if len(types) > 1 else "holds objects"
        raise DataError(
            f"column {name!r} {what} ({found}; for example {first!r}); "
            "make it all text with astype(str), or all numbers with pandas.to_numeric"
        )
    if groups == {"number"}:
        _check_whole(name, values)
    if groups == {"timestamp"}:
        _check_zones(name, present)


def _group(type_: type) -> str | None:
    return next((name for name, members in _GROUPS if issubclass(type_, members)), None)


def _check_whole(name: str, values: pd.Series[Any]) -> None:
    for row, value in enumerate(values, start=1):
        if isinstance(value, int) and not _INT64[0] <= value <= _INT64[1]:
            raise DataError(
                f"column {name!r}: value {value!r} in row {row} does not fit 64 signed bits; "
                "make the column text, or drop it"
            )


def _check_zones(name: str, present: pd.Series[Any]) -> None:
    """Refuse readings of a clock among moments with a zone: Arrow would take them for UTC."""
    zoned = [getattr(value, "tzinfo", None) is not None for value in present]
    if len(set(zoned)) > 1:
        first = present.iloc[zoned.index(not zoned[0])]
        raise DataError(
            f"column {name!r} mixes times with a zone and without (for example {first!r}); "
            "give all of them a zone with tz_localize, or none"
        )
