"""Decoded rows as boosted trees see them: one number per column.

Letters: B rows, I columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.data.schema import TableSchema
from fingan.errors import BundleError
from fingan.evaluation.frame import NUMERIC_KINDS, numbers
from fingan.types import Bool, Float32, Float64, Json

MOST_CLASSES = 10
"""A label of so many values is one of classes."""

FEWEST_ROWS = 5
"""A category needs so many rows for a number of its own; rarer ones share one."""

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class TreeInputs:
    """Reads rows into a matrix: numbers and moments as they are, categories by their rank of frequency.

    Missing values are NaN, which the trees send where it fits best.

    Attributes:
        columns: names of the columns read.
        levels: per categorical column its frequent values as text, the commonest first.
        label: the label column, where it is read; None for none.
        apart: ranks of the label's classes whose rows are not compared with others.
    """

    columns: tuple[str, ...]
    levels: Mapping[str, pa.Array]
    label: str | None = None
    apart: tuple[int, ...] = ()

    @classmethod
    def fit(
        cls,
        schema: TableSchema,
        table: pa.Table,
        label: str | None = None,
        apart: Sequence[pa.Scalar] = (),
    ) -> TreeInputs:
        """Read all columns but identifiers; categories come from the rows of `table`.

        Args:
            schema: kinds of the columns.
            table: N training rows.
            label: column that is read as a category, whatever its kind, where it has at most 10 values.
            apart: classes of the label whose rows shall not be compared with others.
        """
        specs = [spec for spec in schema.columns if spec.kind != "identifier"]
        levels = {s.name: _levels(table[s.name]) for s in specs if s.kind not in NUMERIC_KINDS}
        names = tuple(spec.name for spec in specs)
        if (
            label is not None
            and label in names
            and label not in levels
            and len(table[label].drop_null().unique()) <= MOST_CLASSES
        ):
            levels[label] = _levels(table[label])
        if label not in names or label not in levels:
            return cls(names, levels)
        known = [str(level) for level in levels[label].to_pylist()]
        texts = [value.cast(pa.string()).as_py() for value in apart]
        ranks = (known.index(text) if text in known else len(known) for text in texts)
        return cls(names, levels, label, tuple(ranks))

    def matrix(self, rows: pa.Table | pa.RecordBatch) -> Float32:
        """Return the rows as [B, I]."""
        out = np.empty((rows.num_rows, len(self.columns)), dtype=np.float32)
        for place, name in enumerate(self.columns):
            column = rows.column(name)
            chunked = column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])
            out[:, place] = self._ranks(name, chunked) if name in self.levels else _cut(numbers(chunked))
        return out

    def stand_apart(self, matrix: Float32) -> Bool:
        """Return which rows of a matrix [B, I] are of classes that are not compared."""
        if self.label is None or not self.apart:
            return np.zeros(len(matrix), dtype=np.bool_)
        return np.isin(matrix[:, self.columns.index(self.label)], self.apart)

    def _ranks(self, name: str, column: pa.ChunkedArray) -> np.ndarray:
        rank = pc.index_in(column.cast(pa.string()), value_set=self.levels[name])
        known = pc.fill_null(rank, len(self.levels[name]))
        return numbers(pc.if_else(column.is_valid(), known, None))

    def state(self) -> Json:
        """Return what `from_state` reads back."""
        return {
            "columns": list(self.columns),
            "levels": {name: values.to_pylist() for name, values in self.levels.items()},
            "label": self.label,
            "apart": list(self.apart),
        }

    @classmethod
    def from_state(cls, document: Json) -> TreeInputs:
        """Rebuild from `state`.

        Raises:
            BundleError: a label that is not read as a category.
        """
        levels = {name: pa.array(values, pa.string()) for name, values in document["levels"].items()}
        columns, label = tuple(document["columns"]), document.get("label")
        if label is not None and (label not in columns or label not in levels):
            raise BundleError(f"its density ratio has a label {label!r} that it does not read")
        return cls(columns, levels, label, tuple(map(int, document.get("apart", ()))))


def _cut(values: Float64) -> Float64:
    """Return numbers as single precision can hold them: trees refuse infinities."""
    return np.clip(values, -_LARGEST, _LARGEST)


def _levels(column: pa.ChunkedArray) -> pa.Array:
    counted = pc.value_counts(column.cast(pa.string()).drop_null())
    frequent = counted.filter(pc.greater_equal(counted.field("counts"), FEWEST_ROWS))
    batch = pa.RecordBatch.from_struct_array(frequent)
    return batch.sort_by([("counts", "descending"), ("values", "ascending")])["values"]
