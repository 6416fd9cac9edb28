"""What is to be known of a table too large to hold: a uniform sample, extremes, counts of values.

Everything here merges: parts are surveyed by any number of processes, in any order, and the
union is the survey of the whole table.

- The *sample* holds the rows that a keyed permutation of all rows puts first: drawn evenly and
  without replacement, exactly as many as asked for, and each part knows its own. A share or a
  quantile read from n of them is off by at most √(ln(2/δ) / 2n) with a chance of 1 - δ
  (Dvoretzky, Kiefer & Wolfowitz, 1956; Massart, 1990; drawing without replacement is no worse,
  Hoeffding, 1963, section 6).
- *Witnesses* are those of the other rows that hold a column's smallest and largest value, and
  one of its nulls: with the sample, ranges and nullability are exact, and no row is there twice.
- *Tallies* count values exactly, for every column that does not have too many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from fingan.data.parts import Part, PartedTable
from fingan.rng import key, permute
from fingan.types import Int64

SAMPLE_ROWS = 1 << 19
MOST_LEVELS = 1 << 20
"""Distinct texts or integers of a column that are counted."""

MOST_VALUES = 1024
"""Distinct values of any other column that are counted."""


@dataclass(frozen=True, eq=False)
class Tally:
    """The distinct values of a column and how often each occurs.

    Attributes:
        values: distinct values without null, ascending.
        counts: rows of each value.
        nulls: rows without a value.
    """

    values: pa.Array
    counts: Int64
    nulls: int


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of some of the rows.

    Attributes:
        rows: how many they are.
        places: of the sampled rows in the permutation, ascending; they number the sample.
        sample: the sampled rows, in the order of their places.
        witnesses: of the rows outside the sample, those that hold extremes or nulls.
        tallies: of every column; None where its values are too many to count.
    """

    rows: int
    places: Int64
    sample: pa.Table
    witnesses: pa.Table
    tallies: dict[str, Tally | None]

    def rows_to_fit(self) -> pa.Table:
        """Return the sample, and after it the witnesses."""
        return pa.concat_tables([self.sample, self.witnesses])


def sample_places(first: int, rows: int, total: int, seed: int) -> Int64:
    """Return the places of consecutive rows in the permutation by which the sample is drawn.

    Args:
        first: number of the first row.
        rows: how many.
        total: rows of the whole table.
        seed: the permutation is keyed by it.
    """
    return permute(np.arange(first, first + rows, dtype=np.int64), total, key(seed, "sample"))


def survey_part(table: PartedTable, part: Part, seed: int, sample_rows: int = SAMPLE_ROWS) -> Survey:
    """Read one part of a table and survey it.

    Raises:
        DataError: it cannot be read, or holds what no table may hold.
    """
    total = table.rows
    return merge([_block(rows, first, total, seed, sample_rows) for first, rows in table.read(part)])


def merge(surveys: Sequence[Survey]) -> Survey:
    """Return the survey of all rows together; the order does not matter."""
    places = np.concatenate([survey.places for survey in surveys])
    order = np.argsort(places)
    return Survey(
        rows=sum(survey.rows for survey in surveys),
        places=places[order],
        sample=pa.concat_tables([survey.sample for survey in surveys]).take(pa.array(order)),
        witnesses=_witnesses(pa.concat_tables([survey.witnesses for survey in surveys])),
        tallies={name: _added([s.tallies[name] for s in surveys]) for name in surveys[0].tallies},
    )


def _block(rows: pa.Table, first: int, total: int, seed: int, sample_rows: int) -> Survey:
    places = sample_places(first, len(rows), total, seed)
    chosen = places < sample_rows
    return Survey(
        rows=len(rows),
        places=places[chosen],
        sample=rows.filter(pa.array(chosen)),
        witnesses=_witnesses(rows.filter(pa.array(~chosen))),
        tallies={name: _tally(rows[name]) for name in rows.column_names},
    )


def _witnesses(rows: pa.Table) -> pa.Table:
    """Return the rows that hold a column's extremes or its first null."""
    found: set[int] = set()
    for column in rows.columns:
        if column.null_count:
            found.add(pc.index(pc.is_null(column), True).as_py())
        if pt.is_string(column.type) or pt.is_boolean(column.type) or column.null_count == len(column):
            continue
        extremes = pc.min_max(column)
        found |= {pc.index(column, extremes[end]).as_py() for end in ("min", "max")}
    return rows.take(pa.array(sorted(found), pa.int64()))


def _tally(column: pa.ChunkedArray) -> Tally | None:
    most = _most(column.type)
    if pc.count_distinct(column.slice(0, 2 * most)).as_py() > most + 1:
        return None
    counted = pc.value_counts(column.drop_null())
    return _bounded(counted.field("values"), counted.field("counts").to_numpy(), column.null_count)


def _added(tallies: Sequence[Tally | None]) -> Tally | None:
    counted = [tally for tally in tallies if tally is not None]
    if len(counted) < len(tallies):
        return None
    values = pa.chunked_array([tally.values for tally in counted])
    joined = pa.table({"value": values, "count": np.concatenate([tally.counts for tally in counted])})
    summed = joined.group_by("value", use_threads=False).aggregate([("count", "sum")])
    nulls = sum(tally.nulls for tally in counted)
    return _bounded(summed["value"].combine_chunks(), summed["count_sum"].to_numpy(), nulls)


def _bounded(values: pa.Array, counts: Int64, nulls: int) -> Tally | None:
    if len(values) > _most(values.type):
        return None
    order = pc.sort_indices(values)
    return Tally(values.take(order), counts[order.to_numpy()].astype(np.int64), nulls)


def _most(type_: pa.DataType) -> int:
    return MOST_LEVELS if pt.is_string(type_) or pt.is_integer(type_) else MOST_VALUES
