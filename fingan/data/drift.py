"""Comparing a table with its schema: a readable diff, lossless casts, notes on ranges."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from fingan.data.clean import clean_column, column_names
from fingan.data.exact import to_floats
from fingan.data.kinds import ORDERED_KINDS, bound_text, family
from fingan.data.schema import ColumnSpec, TableSchema
from fingan.errors import SchemaMismatch, nearest


def check_table(table: pa.Table, schema: TableSchema) -> None:
    """Refuse a table that `conform` could not bring into the schema.

    Raises:
        SchemaMismatch: one line for every column that is missing, extra, of another type, or
            holds nulls (or, if the schema is strict, values) that the schema does not allow.
        DataError: a name or value that no table may hold.
    """
    conform(table, schema)


def conform(table: pa.Table, schema: TableSchema, *, drop_extra: bool = False) -> pa.Table:
    """Return the table in the order and the exact types of the schema.

    A column of another type of the same family (numbers; dates and timestamps) is cast if
    every value survives; a column of nulls takes any type.

    Args:
        table: rows in any column order.
        schema: what they shall be.
        drop_extra: leave out columns that the schema does not have, instead of refusing them.

    Raises:
        SchemaMismatch, DataError: see `check_table`.
    """
    names = column_names(table)
    known = set(schema.names)
    extra = [name for name in names if name not in known]
    problems, columns = [], []
    for spec in schema.columns:
        if spec.name not in names:
            problems.append(f"missing: {spec.name!r} ({spec.kind}, {spec.type}).{nearest(spec.name, extra)}")
            continue
        column = clean_column(spec.name, table.column(names.index(spec.name)))
        fitted, found = _fit(column, spec)
        problems += [f"{spec.name!r}: {problem}" for problem in found]
        problems += [f"{spec.name!r}: {note}" for note in _outside(fitted, spec) if schema.strict]
        columns.append(fitted)
    if not drop_extra:
        problems += [f"extra: {name!r} ({table.schema.field(names.index(name)).type})" for name in extra]
    if problems:
        listed = "\n  ".join(problems)
        raise SchemaMismatch(
            f"the table differs from its schema:\n  {listed}\nMend the data, or edit the schema."
        )
    return pa.Table.from_arrays(columns, schema=schema.arrow())


def range_notes(table: pa.Table, schema: TableSchema) -> tuple[str, ...]:
    """Return a sentence for every column whose values leave the schema's minimum and maximum.

    Args:
        table: rows that conform to the schema.
        schema: the schema, strict or not.
    """
    return tuple(f"{s.name!r}: {note}" for s in schema.columns for note in _outside(table.column(s.name), s))


def _outside(column: pa.ChunkedArray, spec: ColumnSpec) -> Iterator[str]:
    if spec.kind not in ORDERED_KINDS or column.type != spec.arrow_type:
        return
    low, high = spec.bounds()
    for bound, beyond, word in ((low, pc.less, "below the minimum"), (high, pc.greater, "above the maximum")):
        if bound is None:
            continue
        bad = beyond(column, bound)
        count = pc.sum(bad).as_py()
        if count:
            row = pc.index(bad, True).as_py()
            first = bound_text(column[row])
            yield f"{_values(count)} {word} {bound_text(bound)}, the first {first} in row {row + 1}"


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"


def _fit(column: pa.ChunkedArray, spec: ColumnSpec) -> tuple[pa.ChunkedArray, list[str]]:
    """Cast a column to its spec; return what was reached and what stands against it."""
    problems = []
    if column.null_count and not spec.nullable:
        row = pc.index(pc.is_null(column), True).as_py() + 1
        problems.append(
            f"{_values(column.null_count)} missing, the first in row {row}, but nullable is false"
        )
    if column.type != spec.arrow_type:
        cast = lossless_cast(column, spec.arrow_type)
        if cast is None:
            problems.append(f"expected {spec.type} ({spec.kind}), found {column.type}{_misfit(column, spec)}")
        else:
            column = cast
    return column, problems


def lossless_cast(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray | None:
    """Return the column in another type if every value survives, else None.

    Args:
        column: values of a type that fingan holds.
        type_: the type wanted.
    """
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), type_)])
    if not _castable(column.type, type_):
        return None
    try:
        cast = _cast(column, type_)
        back = _cast(cast, column.type)
    except pa.ArrowException:
        return None
    return cast if back.equals(column) else None


def _castable(given: pa.DataType, wanted: pa.DataType) -> bool:
    if family(given) != family(wanted):
        return False
    # A moment with a zone and a reading of a clock without one are different things.
    return family(given) == "number" or (family(given) == "time" and _has_zone(given) == _has_zone(wanted))


def _has_zone(type_: pa.DataType) -> bool:
    return pt.is_timestamp(type_) and type_.tz is not None


def _cast(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    if pt.is_integer(column.type) and pt.is_decimal(type_):
        # Arrow asks for the digits of the widest int64, not of the values: go through the widest decimal.
        column = column.cast(pa.decimal128(38, type_.scale)) if type_.scale <= 18 else column
    if pt.is_decimal(column.type) and pt.is_floating(type_):
        return to_floats(column, type_)
    return column.cast(type_)


def _misfit(column: pa.ChunkedArray, spec: ColumnSpec) -> str:
    """Name the first value that does not survive the cast, where it is a matter of values."""
    if not _castable(column.type, spec.arrow_type):
        return ""
    good, bad = 0, len(column)
    while bad - good > 1:
        middle = (good + bad) // 2
        if lossless_cast(column.slice(0, middle), spec.arrow_type) is None:
            bad = middle
        else:
            good = middle
    return f"; {column[bad - 1].as_py()!r} in row {bad} does not fit"
