"""What every table must satisfy, however it came: names, types and values that can be learned."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from fingan.data.kinds import check_zone, family, remedy
from fingan.errors import DataError

_INT64_MAX = (1 << 63) - 1
_MOST_TEXT = (1 << 31) - 1
_DECIMAL_REMEDY = "cast it to decimal128 of at most 18 digits, or to double"


def check_names(names: Sequence[Any]) -> None:
    """Refuse column names that are not text, empty, or repeated.

    Raises:
        DataError: names the column (by position where it has no name) and the remedy.
    """
    seen: dict[str, int] = {}
    for position, name in enumerate(names, start=1):
        if not isinstance(name, str):
            raise DataError(f"column {position} is named {name!r} ({type(name).__name__}); rename it to text")
        if not name.strip():
            raise DataError(
                f"column {position} has the empty name {name!r}; name it, or drop it (a data frame's index?)"
            )
        if "\x00" in name:
            raise DataError(
                f"column {position} is named {name!r}, with a NUL; is the file really UTF-8 text?"
            )
        if name in seen:
            raise DataError(
                f"columns {seen[name]} and {position} are both named {name!r}; rename one of them"
            )
        seen[name] = position


def clean(table: pa.Table) -> pa.Table:
    """Return the table with every column in a type that fingan holds, missing values as nulls.

    NaN becomes null; dictionaries are decoded; wide text, 16-bit floats, 64-bit dates and
    short decimals take the usual type; a column of the null type becomes text. Metadata go.

    Args:
        table: any Arrow table.

    Raises:
        DataError: no column, no row, or a name, type or value that cannot be used.
    """
    names = column_names(table)
    if not names:
        raise DataError("the table has no columns")
    if table.num_rows == 0:
        raise DataError("the table has no rows")
    columns = [clean_column(name, table.column(i)) for i, name in enumerate(names)]
    return pa.Table.from_arrays(columns, names=names)


def column_names(table: pa.Table) -> list[str]:
    """Return the checked names of a table's columns.

    Raises:
        DataError: see `check_names`, or names that are not UTF-8.
    """
    try:
        names: list[str] = table.column_names
    except UnicodeDecodeError as error:
        raise DataError("the column names are not UTF-8 text; save the file as UTF-8") from error
    check_names(names)
    return names


def clean_column(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return one column as `clean` does; idempotent.

    Raises:
        DataError: names the column, the type or value with its row (from 1), and the remedy.
    """
    given = column.type
    try:
        column.validate(full=True)
        _check_text(name, column)
        column = _usual_type(column)
        column.validate(full=True)
    except pa.ArrowNotImplementedError as error:
        raise DataError(f"column {name!r} has type {column.type}; {remedy(column.type)}") from error
    except pa.ArrowException as error:
        if pt.is_decimal(column.type):
            raise DataError(f"column {name!r} has type {column.type}: {error}; {_DECIMAL_REMEDY}") from error
        raise DataError(
            f"column {name!r} is damaged or out of range: {error}; write the file anew"
        ) from error
    if pt.is_decimal(column.type) and column.type.scale > column.type.precision:
        raise DataError(
            f"column {name!r} has type {given}, of more digits after the point than fit; {_DECIMAL_REMEDY}"
        )
    if family(column.type) is None:
        raise DataError(f"column {name!r} has type {column.type}; {remedy(column.type)}")
    try:
        check_zone(column.type)
    except DataError as error:
        raise DataError(f"column {name!r}: {error}") from error
    _check_values(name, column)
    if pt.is_floating(column.type):
        missing = pc.is_nan(column)
        if pc.any(missing).as_py():
            column = pc.if_else(missing, pa.scalar(None, column.type), column)
    return column


def _usual_type(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pt.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    if pt.is_dictionary(column.type):
        column = _decoded(column)
    type_ = column.type
    if pt.is_null(type_) or pt.is_large_string(type_) or pt.is_string_view(type_):
        return column.cast(pa.string())
    if pt.is_float16(type_):
        return column.cast(pa.float32())
    if pt.is_date64(type_):
        return column.cast(pa.date32())
    if pt.is_decimal(type_) and (type_.scale < 0 or not pt.is_decimal128(type_)):
        digits = type_.precision - min(type_.scale, 0)
        return column.cast(pa.decimal128(min(digits, 38), max(type_.scale, 0)))
    return column


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values of a dictionary column; Arrow's cast does not know every value type."""
    chunks = [
        _usual_type(pa.chunked_array([chunk.dictionary])).combine_chunks().take(chunk.indices)
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks) if chunks else pa.chunked_array([], column.type.value_type)


def _check_values(name: str, column: pa.ChunkedArray) -> None:
    """Refuse infinities, whole numbers that do not fit 64 signed bits, and too much text."""
    type_ = column.type
    if pt.is_floating(type_):
        _refuse(
            name,
            column,
            pc.is_inf(column),
            "is infinite; replace it by a number, or by a null if it is unknown",
        )
    elif pt.is_uint64(type_):
        beyond = pc.greater(column, pa.scalar(_INT64_MAX, pa.uint64()))
        _refuse(
            name, column, beyond, f"is beyond {_INT64_MAX}; cast the column to decimal or text, or drop it"
        )
    elif pt.is_decimal(type_) and type_.precision > 18:
        wide = pa.decimal256(76, type_.scale)
        limit = pa.scalar(Decimal(_INT64_MAX).scaleb(-type_.scale), wide)
        beyond = pc.greater(pc.abs(column.cast(wide)), limit)
        _refuse(name, column, beyond, "has more than 18 digits; cast the column to double, or drop it")
    else:
        _check_text(name, column)


def _check_text(name: str, column: pa.ChunkedArray) -> None:
    """Refuse more text than Arrow holds in one piece, which is what encoders take."""
    if not pt.is_string(column.type) and not pt.is_large_string(column.type):
        return
    # Lengths are summed only where the bytes, of offsets too, may be too many.
    if column.nbytes > _MOST_TEXT and pc.sum(pc.binary_length(column)).as_py() > _MOST_TEXT:
        raise DataError(
            f"column {name!r} holds more than 2 GiB of text; with Parquet lower data.in_memory, "
            "for it to be read in parts, or leave the column out"
        )


def _refuse(name: str, column: pa.ChunkedArray, bad: pa.ChunkedArray, why: str) -> None:
    row = pc.index(bad, True).as_py()
    if row >= 0:
        raise DataError(f"column {name!r}: value {column[row].as_py()!r} in row {row + 1} {why}")


def require_rows(table: pa.Table, minimum: int, purpose: str) -> None:
    """Refuse a table that is too short for what is asked.

    Args:
        table: the table.
        minimum: rows needed.
        purpose: what they are needed for, such as `training`.

    Raises:
        DataError: fewer rows than `minimum`.
    """
    if table.num_rows < minimum:
        rows = "1 row" if table.num_rows == 1 else f"{table.num_rows} rows"
        raise DataError(f"the table has {rows}; {purpose} needs at least {minimum}: add rows")
