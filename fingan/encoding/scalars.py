"""Read one value given by a user as a scalar of a column's type, exactly or not at all."""

from __future__ import annotations

import datetime
import decimal
import math
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.errors import ConditionError

_FAILURES = (pa.ArrowException, TypeError, ValueError, OverflowError, ArithmeticError)


def read_scalar(column: str, value: Any, kind: pa.DataType) -> pa.Scalar:
    """Return `value` as a scalar of a column's type; None, NaN (as text too) and pandas' NA and NaT are null.

    Text is read as the type is written (`2020-01-31`, `12.50`, `true`); a date or time
    without zone is the wall clock of the column's zone.

    Raises:
        ConditionError: a value that is none of the type's, or that would be rounded.
    """
    if isinstance(value, np.generic):
        # Nanoseconds as NumPy's own item are a bare number.
        value = pa.scalar(value) if value.dtype == "datetime64[ns]" else value.item()
    if isinstance(value, pa.Scalar):
        value = value.as_py()
    if _missing(value):
        return pa.scalar(None, kind)
    try:
        read = _read(value, kind)
        return pa.scalar(None, kind) if pc.is_null(read, nan_is_null=True).as_py() else read
    except _FAILURES as error:
        raise ConditionError(
            f"column {column!r} has the type {kind}; {value!r} cannot be read as one"
        ) from error


def _missing(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    pandas: Any = sys.modules.get("pandas")
    return pandas is not None and (value is pandas.NA or value is pandas.NaT)


def _read(value: Any, kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_string(kind):
        return pa.scalar(value if isinstance(value, str) else str(value), kind)
    if pa.types.is_temporal(kind):
        return _moment(value, kind)
    if isinstance(value, str):
        text = value.strip().lower() if pa.types.is_boolean(kind) else value.strip()
        return pa.scalar(text).cast(kind)
    if isinstance(value, bool) and not pa.types.is_boolean(kind):
        raise TypeError("a truth value is no number")
    if pa.types.is_boolean(kind) and not isinstance(value, bool) and value not in (0, 1):
        raise ValueError("neither true nor false")
    if pa.types.is_decimal(kind):
        return pa.scalar(decimal.Decimal(str(value)), kind)
    if pa.types.is_floating(kind) and isinstance(value, decimal.Decimal):
        value = float(value)
    if isinstance(value, float) and pa.types.is_integer(kind) and not value.is_integer():
        raise ValueError("a fraction")
    return pa.scalar(bool(value) if pa.types.is_boolean(kind) else value, kind)


def _moment(value: Any, kind: pa.DataType) -> pa.Scalar:
    """Return a date or timestamp from text, a date or a datetime."""
    zone = getattr(kind, "tz", None)
    if isinstance(value, str):
        try:
            return pa.scalar(value.strip()).cast(kind)
        except pa.ArrowInvalid:
            if zone is None:
                raise
        return _in_zone(pa.scalar(value.strip()).cast(pa.timestamp(kind.unit)), zone)
    if not isinstance(value, datetime.date):
        raise TypeError("neither text nor a date")
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    # What a pandas Timestamp holds beyond a datetime; all others reach years that nanoseconds do not.
    nanoseconds = getattr(value, "nanosecond", 0)
    unit = "ns" if nanoseconds else "us"
    if pa.types.is_date(kind) and (value.time() != datetime.time() or nanoseconds):
        raise ValueError("a time of day")
    if value.tzinfo is not None:
        if zone is None:
            raise ValueError("the column has no time zone")
        return pa.scalar(value, pa.timestamp(unit, "UTC")).cast(kind)
    plain = pa.scalar(value, pa.timestamp(unit))
    return plain.cast(kind) if zone is None else _in_zone(plain, zone).cast(kind)


def _in_zone(plain: pa.Scalar, zone: str) -> pa.Scalar:
    """Return the instant at which the zone's clock shows a time; the first of two."""
    return pc.assume_timezone(plain, zone, ambiguous="earliest", nonexistent="latest")
