"""Arrow tables → aligned NumPy columns that every metric reads.

Identifiers are left out. Dates and timestamps become numbers (days, ticks).
Categories share one dictionary over all tables of a comparison, and a missing
category is a level of its own; a missing number is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.data.exact import to_floats
from fingan.data.schema import ColumnSpec, TableSchema
from fingan.errors import DataError
from fingan.types import Float64, Int64

NUMERIC_KINDS = ("number", "integer", "decimal", "date", "timestamp")
MISSING = "(missing)"
FURTHEST = 1e150


@dataclass(frozen=True)
class Column:
    """One column of one table.

    Attributes:
        name: the column's name (hostile text).
        kind: the schema's kind.
        values: the value as a number, NaN where missing [N]; None for text.
        codes: position in `levels` [N]; None for numeric kinds.
        levels: the categories over all tables of the comparison.
        unit: of a moment's number since 1970: D, s, ms, us or ns; else empty.
        null: code of a missing category; -1 where none is missing in any table of the comparison.
    """

    name: str
    kind: str
    values: Float64 | None
    codes: Int64 | None
    levels: tuple[str, ...] = ()
    unit: str = ""
    null: int = -1

    @property
    def numeric(self) -> bool:
        """Whether distances treat the column as a number."""
        return self.codes is None

    def number(self) -> Float64:
        """Return the values; for columns that are numbers or integer codes."""
        if self.values is None:
            raise DataError(f"column {self.name!r} holds text, not numbers")
        return self.values

    def code(self) -> Int64:
        """Return the level codes; for categories."""
        if self.codes is None:
            raise DataError(f"column {self.name!r} of kind {self.kind!r} has no categories")
        return self.codes

    def take(self, index: Int64) -> Column:
        """Return the rows at `index`."""
        return replace(
            self,
            values=None if self.values is None else self.values[index],
            codes=None if self.codes is None else self.codes[index],
        )

    def missing(self) -> np.ndarray:
        """Return which rows have no value, bool [N]."""
        if self.codes is None:
            return np.isnan(self.number())
        return np.asarray(self.codes == self.null)


@dataclass(frozen=True)
class Frame:
    """Columns of equal length."""

    columns: tuple[Column, ...]
    rows: int

    def take(self, index: Int64) -> Frame:
        """Return the rows at `index`."""
        return Frame(tuple(c.take(index) for c in self.columns), len(index))

    def column(self, name: str) -> Column:
        """Return the column called `name`."""
        return next(c for c in self.columns if c.name == name)

    def without(self, name: str) -> Frame:
        """Return the frame without the column called `name`."""
        return Frame(tuple(c for c in self.columns if c.name != name), self.rows)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(c.name for c in self.columns)


def concat(first: Frame, second: Frame) -> Frame:
    """Stack two frames of one comparison."""

    def join(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
        return None if a is None or b is None else np.concatenate([a, b])

    columns = tuple(
        replace(a, values=join(a.values, b.values), codes=join(a.codes, b.codes))
        for a, b in zip(first.columns, second.columns, strict=True)
    )
    return Frame(columns, first.rows + second.rows)


def frames(schema: TableSchema, tables: Sequence[pa.Table]) -> list[Frame]:
    """Read tables of one schema into frames that share their categories.

    Args:
        schema: kinds of the columns.
        tables: each holds the schema's columns.

    Raises:
        DataError: no column is left to compare.
    """
    specs = [s for s in schema.columns if s.kind != "identifier"]
    if not specs:
        raise DataError("no column to evaluate: all are identifiers; change a kind in the schema")
    columns = [_read(spec, [table.column(spec.name) for table in tables]) for spec in specs]
    return [Frame(tuple(c[i] for c in columns), table.num_rows) for i, table in enumerate(tables)]


def _read(spec: ColumnSpec, parts: list[pa.ChunkedArray]) -> list[Column]:
    if spec.kind in NUMERIC_KINDS:
        unit = _unit(parts[0].type)
        return [Column(spec.name, spec.kind, numbers(p), None, unit=unit) for p in parts]
    codes, levels, null = _codes(parts)
    values = [numbers(p) if _is_number(p.type) else None for p in parts]
    return [Column(spec.name, spec.kind, v, c, levels, null=null) for v, c in zip(values, codes, strict=True)]


def _unit(kind: pa.DataType) -> str:
    if pa.types.is_date32(kind):
        return "D"
    return str(kind.unit) if pa.types.is_timestamp(kind) else ""


def _is_number(kind: pa.DataType) -> bool:
    checks = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean)
    return any(check(kind) for check in checks)


def numbers(column: pa.ChunkedArray) -> Float64:
    """Read an ordered column as float64, NaN where missing; cut where squares would be infinite."""
    if pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    elif pa.types.is_timestamp(column.type):
        column = column.cast(pa.int64())
    values = np.asarray(to_floats(column).to_numpy(), dtype=np.float64)
    return np.clip(values, -FURTHEST, FURTHEST)


def _codes(parts: list[pa.ChunkedArray]) -> tuple[list[Int64], tuple[str, ...], int]:
    """Give every distinct value over all parts a code, in one shared dictionary; return null's code too."""
    chunks = [chunk for part in parts for chunk in part.chunks]
    pooled = pa.chunked_array(chunks, type=parts[0].type).combine_chunks()
    if pa.types.is_floating(pooled.type):
        pooled = pc.add(pooled, pa.scalar(0.0, pooled.type))  # a dictionary would tell -0.0 from 0.0
    encoded = pc.dictionary_encode(pooled)
    levels = [str(value) for value in encoded.dictionary.to_pylist()]
    codes = np.asarray(pc.fill_null(encoded.indices, len(levels)), dtype=np.int64)
    null = len(levels) if encoded.null_count else -1
    if encoded.null_count:
        levels.append(MISSING)
    ends = np.cumsum([len(part) for part in parts])[:-1]
    return list(np.split(codes, ends)), tuple(levels), null


def row_codes(tables: Sequence[pa.Table], names: Sequence[str]) -> list[np.ndarray]:
    """Return one opaque key per row and table; keys are equal where all the named values are.

    Exact where floats would round: values are compared as Arrow holds them, zeros without their sign.
    """
    columns = [_codes([table.column(name) for table in tables])[0] for name in names]
    keys = []
    for i in range(len(tables)):
        matrix = np.ascontiguousarray(np.stack([c[i] for c in columns], axis=1).astype(np.int32))
        keys.append(matrix.view(np.dtype((np.void, matrix.shape[1] * 4))).ravel())
    return keys
