"""Imputation: fill the gaps of a table from the learned distribution given each row's other values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.data import read_table
from fingan.data.drift import conform
from fingan.data.schema import TableSchema
from fingan.encoding.conditions import from_gaps
from fingan.encoding.table import Given
from fingan.generator.engine import BLOCK, Engine
from fingan.generator.packed import check_given
from fingan.types import Bool, Float64, Int64

if TYPE_CHECKING:
    from fingan.generator.model import Generator

ROUNDS = 64
"""Draws of a gap: where null was a value in training a draw may be null, and is drawn again."""


def impute(generator: Generator, table: object, columns: Collection[str] | None, seed: int) -> pa.Table:
    """Return the table with the nulls of `columns` (None: of all columns) filled, all else untouched.

    A gap stays null only where 64 draws all were: in a column that was (nearly) always null in
    such rows of the training table.

    Raises:
        ConfigError: an unknown column.
        SchemaMismatch: other columns than those of the training table.
        DataError: a known value that the encoder cannot take.
        ConditionError: known values of a column that training never gave.
    """
    engine = generator.engine
    schema = engine.encoder.schema
    names = frozenset(schema.names if columns is None else columns)
    for name in names:
        schema.column(name)
    rows = conform(read_table(table, schema), _with_gaps(schema, names)).combine_chunks()
    rows = _share_aliases(rows, engine.encoder.aliases, names)
    _check_known(generator, rows, names)
    for attempt in range(ROUNDS):
        gaps = _gaps(rows, names)
        index = np.flatnonzero(gaps)
        if index.size == 0:
            break
        drawn = _draw(engine, rows.filter(pa.array(gaps)), index, names, seed, attempt)
        rows = _fill(rows, drawn, gaps, names)
    return rows.cast(schema.arrow())


def _check_known(generator: Generator, rows: pa.Table, names: Collection[str]) -> None:
    """Refuse rows to fill where a column is known that may not be given."""
    encoder = generator.engine.encoder
    gaps = _gaps(rows, names)
    if gaps.any():
        filled = rows.filter(pa.array(gaps))
        learned = [name for name in rows.column_names if encoder.unit_of(name) is not None]
        check_given(generator, [n for n in learned if n not in names or filled[n].null_count < len(filled)])


def _with_gaps(schema: TableSchema, names: Collection[str]) -> TableSchema:
    """Return the schema with nulls allowed in the named columns."""
    columns = (c.model_copy(update={"nullable": c.nullable or c.name in names}) for c in schema.columns)
    return schema.model_copy(update={"columns": tuple(columns)})


def _share_aliases(rows: pa.Table, aliases: Mapping[str, str], names: Collection[str]) -> pa.Table:
    """Fill a gap from the column that equals it in every row, where that one is known."""
    for alias, source in aliases.items():
        for gap, known in ((alias, source), (source, alias)):
            if gap in names:
                number = rows.schema.get_field_index(gap)
                values = pc.coalesce(rows[gap], rows[known].cast(rows.schema.field(gap).type))
                rows = rows.set_column(number, rows.schema.field(gap), values)
    return rows


def _gaps(rows: pa.Table, names: Collection[str]) -> Bool:
    """Return the rows [N] that have a gap."""
    found = np.zeros(rows.num_rows, dtype=np.bool_)
    for name in names:
        if rows[name].null_count:
            found |= rows[name].is_null().to_numpy()
    return found


def _draw(
    engine: Engine, rows: pa.Table, index: Int64, names: frozenset[str], seed: int, attempt: int
) -> pa.Table:
    """Generate whole rows that agree with everything known of `rows`, which stand at `index`."""
    batches = []
    for number, start in enumerate(range(0, rows.num_rows, BLOCK)):
        part = rows.slice(start, BLOCK)
        whole = part.take(np.arange(BLOCK) % part.num_rows).combine_chunks()

        def known(spare: Float64, whole: pa.Table = whole) -> Given:
            return from_gaps(engine.encoder, whole, names, spare)

        block = engine.rows(seed, range(number, number + 1), known, f"impute {attempt}")
        drawn = engine.decode(block.cut(0, part.num_rows), None, seed)
        # Which identifiers are null hangs on the row's number alone: all draws of a gap would be.
        batches.append(engine.identify(drawn, index[start : start + part.num_rows], seed, nulls=False))
    return pa.Table.from_batches(batches)


def _fill(rows: pa.Table, drawn: pa.Table, gaps: Bool, names: Collection[str]) -> pa.Table:
    """Replace the nulls of the named columns by what was drawn for their rows, and nothing else."""
    for number, field in enumerate(rows.schema):
        column = rows[field.name].combine_chunks()
        if field.name in names and column.null_count:
            null = column.is_null()
            values = drawn[field.name].filter(null.filter(pa.array(gaps))).combine_chunks()
            rows = rows.set_column(number, field, pc.replace_with_mask(column, null, values.cast(field.type)))
    return rows
