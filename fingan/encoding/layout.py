"""The dense row: numeric fields first, then one one-hot block per categorical field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fingan.types import Float64, Int64


@dataclass(frozen=True)
class CopyField:
    """How one numeric field repeats others.

    Attributes:
        target: the numeric field.
        relation: the categorical field that says which source is repeated (0: none).
        sources: numeric fields of the K sources.
        scores: the target's normal scores [K, G] at sources' scores evenly spaced over ± `reach`.
        reach: the last of these.
        heavy: where the u-intervals of values that are never copied begin and end [2, V], ascending.
    """

    target: int
    relation: int
    sources: tuple[int, ...]
    scores: Float64
    reach: float
    heavy: Float64


@dataclass(frozen=True)
class Layout:
    """Where each field stands in a dense row, and which conditioning unit owns it.

    A *unit* is what a condition gives or leaves open as a whole: one learned
    column, or several that are tied by a relation.

    Attributes:
        numeric: number F of numeric fields.
        widths: codes of each of the C categorical fields.
        units: number M of conditioning units.
        unit_of_field: unit of each field, numeric fields first, F + C entries.
        edges: per numeric field, the u-positions (0 … 1) where heavy atoms begin and end.
        pairs: strongly correlated pairs of numeric fields.
        copies: numeric fields that repeat others, sources before those that repeat them.
    """

    numeric: int
    widths: tuple[int, ...]
    units: int
    unit_of_field: tuple[int, ...]
    edges: tuple[Float64, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    copies: tuple[CopyField, ...] = ()

    @property
    def codes(self) -> int:
        """Width of all one-hot blocks together."""
        return sum(self.widths)

    @property
    def dense(self) -> int:
        """Width D of a dense row."""
        return self.numeric + self.codes

    def offsets(self) -> Int64:
        """Return the first dense position of each categorical field [C]."""
        return self.numeric + np.cumsum([0, *self.widths], dtype=np.int64)[:-1]

    def unit_of_dense(self) -> Int64:
        """Return the conditioning unit of each dense position [D]."""
        spans = [1] * self.numeric + list(self.widths)
        return np.repeat(np.asarray(self.unit_of_field, dtype=np.int64), spans)
