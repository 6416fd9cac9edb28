"""Arrow types that a table may hold, and the kinds of column that fit each of them."""

from __future__ import annotations

import re
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from fingan.errors import ConfigError, DataError, nearest

ColumnKind = Literal["number", "integer", "decimal", "boolean", "category", "date", "timestamp", "identifier"]
Family = Literal["number", "boolean", "text", "time"]

KINDS: tuple[ColumnKind, ...] = get_args(ColumnKind)
ORDERED_KINDS: frozenset[ColumnKind] = frozenset({"number", "integer", "decimal", "date", "timestamp"})

_PLAIN_TYPES = {
    str(t): t
    for t in (
        pa.int8(),
        pa.int16(),
        pa.int32(),
        pa.int64(),
        pa.uint8(),
        pa.uint16(),
        pa.uint32(),
        pa.uint64(),
        pa.float32(),
        pa.float64(),
        pa.bool_(),
        pa.string(),
        pa.date32(),
    )
}
_OTHER_NAMES = {
    "float32": pa.float32(),
    "float64": pa.float64(),
    "date32": pa.date32(),
    "boolean": pa.bool_(),
}
_TIMESTAMP = re.compile(r"timestamp\[(s|ms|us|ns)(?:,\s*tz=([^\]]+))?\]")
_DECIMAL = re.compile(r"decimal128\((\d+),\s*(\d+)\)")


def family(type_: pa.DataType) -> Family | None:
    """Return the group inside which values can be cast, or None for a type fingan does not hold."""
    if pt.is_integer(type_) or pt.is_float32(type_) or pt.is_float64(type_) or pt.is_decimal128(type_):
        return "number"
    if pt.is_boolean(type_):
        return "boolean"
    if pt.is_string(type_):
        return "text"
    return "time" if pt.is_date32(type_) or pt.is_timestamp(type_) else None


def kinds_for(type_: pa.DataType) -> tuple[ColumnKind, ...]:
    """Return the kinds a column of this Arrow type may have, the natural one first.

    Raises:
        DataError: a type that fingan does not hold.
    """
    if pt.is_integer(type_):
        return ("integer", "number", "category", "identifier")
    if pt.is_float32(type_) or pt.is_float64(type_):
        return ("number", "category")
    if pt.is_decimal128(type_):
        return ("decimal", "number", "category")
    if pt.is_boolean(type_):
        return ("boolean", "category")
    if pt.is_string(type_):
        return ("category", "identifier")
    if pt.is_date32(type_):
        return ("date", "category")
    if pt.is_timestamp(type_):
        return ("timestamp", "category")
    raise DataError(f"type {type_} is not supported; {remedy(type_)}")


def remedy(type_: pa.DataType) -> str:
    """Say what to do about a type that fingan does not hold."""
    if pt.is_nested(type_):
        return "flatten it into plain columns, or drop it"
    if (
        pt.is_binary(type_)
        or pt.is_large_binary(type_)
        or pt.is_fixed_size_binary(type_)
        or pt.is_binary_view(type_)
    ):
        return "decode it to UTF-8 text, or drop it"
    if pt.is_time(type_) or pt.is_duration(type_):
        return "turn it into seconds as an integer, or drop it"
    return "cast it to numbers, text, booleans, dates or timestamps, or drop it"


def check_zone(type_: pa.DataType) -> None:
    """Refuse a timestamp whose time zone is unknown here.

    Raises:
        DataError: the zone is neither in the time zone database nor an offset such as +02:00.
    """
    if pt.is_timestamp(type_) and type_.tz is not None:
        try:
            pa.scalar(0, type_).cast(pa.string())
        except pa.ArrowInvalid as error:
            raise DataError(
                f"unknown time zone {type_.tz!r}; use a name such as 'Europe/Paris' or '+02:00'"
            ) from error


def parse_type(text: str) -> pa.DataType:
    """Read the text form of an Arrow type, such as `int64` or `timestamp[us, tz=Europe/Paris]`.

    Raises:
        ConfigError: not a type that fingan holds; names the nearest one.
    """
    plain = {**_PLAIN_TYPES, **_OTHER_NAMES}.get(text)
    if plain is not None:
        return plain
    if match := _TIMESTAMP.fullmatch(text):
        type_ = pa.timestamp(match[1], match[2])
        try:
            check_zone(type_)
        except DataError as error:
            raise ConfigError(str(error)) from error
        return type_
    if match := _DECIMAL.fullmatch(text):
        precision, scale = int(match[1]), int(match[2])
        if 1 <= precision <= 38 and scale <= precision:
            return pa.decimal128(precision, scale)
        raise ConfigError(f"{text!r} needs 1 to 38 digits, of which no more than all after the point")
    known = [*_PLAIN_TYPES, "timestamp[us]", "timestamp[us, tz=UTC]", "decimal128(18, 2)"]
    hint = nearest(text, known)
    raise ConfigError(f"unknown type {text!r}.{hint or ' Known: ' + ', '.join(known)}")


def parse_bound(text: str, type_: pa.DataType) -> pa.Scalar:
    """Read a minimum or maximum in the column's own type.

    Raises:
        ConfigError: the type has no order, or the text is no finite value of it.
    """
    if family(type_) not in ("number", "time"):
        raise ConfigError(f"a column of type {type_} has no minimum or maximum")
    try:
        bound = pa.scalar(text).cast(type_)
    except pa.ArrowException as error:
        raise ConfigError(f"{text!r} is not a value of type {type_}: {error}") from error
    if pt.is_floating(type_) and not pc.is_finite(bound).as_py():
        raise ConfigError(f"{text!r} is not a finite number")
    return bound


def bound_text(bound: pa.Scalar) -> str | None:
    """Write a bound as text that `parse_bound` reads back exactly; None where no text does."""
    if not bound.is_valid:
        return None
    text: str = bound.cast(pa.string()).as_py()
    try:
        return text if parse_bound(text, bound.type).equals(bound) else None
    except ConfigError:
        return None
