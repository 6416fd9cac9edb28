"""A one-dimensional distribution as sorted pieces: atoms, runs of rarer values, missing.

Every piece owns a stretch of u in [0, 1] as long as its share of the rows; the missing
values own the bottom. An atom's stretch stands for one value. A run's stretch is divided
evenly over its span: into one cell for each lattice point, or continuously.

Each stretch is used but for a margin at both ends (2^-22, or a quarter of the stretch), so
that u may pass through single precision and a normal score and still fall into its piece.
That holds for pieces of 2^-19 of the rows and more. A lattice point inside a run is exact
in double precision where its cell is wider than about 2^-50 of u; runs that span more
points (random 64-bit numbers, say) return their values to the precision of u.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np

from fingan.encoding.base import EDGE_MASS, Arrays, Values
from fingan.encoding.guide import Guide
from fingan.errors import BundleError, DataError
from fingan.types import Bool, Float64, Int64, Json

ATOM_COUNT = 3
ALL_ATOMS_AT_MOST = 1024
MARGIN = 2.0**-22
_RUNS = 2048
_RUN_ROWS = 8
_TAIL_ROWS = 2
_TAIL_SHARE = 8
_BELOW_2_64 = float(np.nextafter(2.0**64, 0.0))


class Pieces:
    """The distribution of one numeric column over a lattice of int64 or over float64.

    Args:
        low: [K] smallest value of each piece, ascending; int64 for a lattice, else float64.
        high: [K] largest value of each piece (equal to `low` for an atom).
        counts: [K] training rows of each piece, int64.
        missing: training rows without a value.
        lattice_step: distance of neighbouring lattice points, or None for a continuous domain.
    """

    def __init__(
        self, low: Values, high: Values, counts: Int64, missing: int, lattice_step: int | None
    ) -> None:
        self.low, self.high, self.counts = low, high, counts
        self.missing, self.step = missing, lattice_step
        edges = (missing + np.concatenate([[0], np.cumsum(counts)])) / (missing + int(counts.sum()))
        self.missing_share = float(edges[0])
        self._edges = edges
        mass = np.diff(edges)
        margin = np.minimum(MARGIN, mass / 4)
        self._start, self._stretch = edges[:-1] + margin, mass - 2 * margin
        self._guide = Guide(edges[1:])
        if lattice_step is not None:
            self._last = _distance(low, high) // np.uint64(lattice_step)
            self._rate = (self._last.astype(np.float64) + 1.0) / self._stretch
            self._atoms_only = bool((self._last == 0).all())
        else:
            self._atoms_only = bool((low == high).all())

    @classmethod
    def from_counts(cls, distinct: Values, counts: Int64, missing: int, *, lattice_step: int | None) -> Self:
        """Cut a distribution into pieces.

        A value seen at least 3 times is an atom, and so is every value when there are no
        more than 1,024 of them (in a continuous domain only where they repeat, so that a
        short column is not kept value by value). The rest forms runs of at most 1/2048 of
        the rows (at least 8 rows), finer towards both ends, where densities change most.

        Args:
            distinct: ascending int64 (lattice) or finite float64 [U], at least one.
            counts: rows of each [U].
            missing: rows without a value.
            lattice_step: positive common divisor of all differences, or None for float64.
        """
        few = distinct.size <= ALL_ATOMS_AT_MOST
        all_atoms = few and (lattice_step is not None or repeats(distinct.size, int(counts.sum())))
        atom = (counts >= ATOM_COUNT) | all_atoms
        stretch = _run_number(np.cumsum(counts) - counts / 2, int(counts.sum()))
        cut = np.ones(distinct.size, dtype=bool)
        cut[1:] = atom[1:] | atom[:-1] | (stretch[1:] != stretch[:-1])
        first = np.flatnonzero(cut)
        last = np.append(first[1:], distinct.size) - 1
        return cls(distinct[first], distinct[last], np.add.reduceat(counts, first), missing, lattice_step)

    @property
    def minimum(self) -> int | float:
        """Smallest training value."""
        lowest: int | float = self.low[0].item()
        return lowest

    @property
    def maximum(self) -> int | float:
        """Largest training value."""
        highest: int | float = self.high[-1].item()
        return highest

    def atom_edges(self) -> Float64:
        """Return the u-positions, inside (0, 1), where atoms of at least 2 % begin or end."""
        heavy = (self.low == self.high) & (np.diff(self._edges) >= EDGE_MASS)
        both = np.concatenate([self._edges[:-1][heavy], self._edges[1:][heavy]])
        if self.missing_share >= EDGE_MASS:
            both = np.append(both, self.missing_share)
        both = np.unique(both)
        return both[(both > 0.0) & (both < 1.0)]

    def interval(self, values: Values, missing: Bool, *, clamp: bool = False) -> tuple[Float64, Float64]:
        """Return [N] `lower` and [N] `width` of the u that stand for each value.

        A lattice value gets its atom's stretch or its own cell of the run; a float inside a
        run gets a point (width 0). A value between two pieces goes to the nearer end.

        Args:
            values: [N] values of the fitted domain; anything where `missing`.
            missing: [N] True where there is no value.
            clamp: move values outside the training range to its ends.

        Raises:
            DataError: a value outside the range without `clamp`, or a missing value where
                the training rows had none.
        """
        if missing.any() and not self.missing:
            raise DataError("a missing value, but the training rows have none; fill it or train with nulls")
        values = np.where(missing, self.low[0], values)
        if not clamp and (bad := np.flatnonzero((values < self.low[0]) | (values > self.high[-1]))).size:
            raise DataError(
                f"{values[bad[0]].item()!r} lies outside the training range "
                f"[{self.minimum!r}, {self.maximum!r}]; clamp it or train with such rows"
            )
        piece = self._piece_of(values)
        values = np.clip(values, self.low[piece], self.high[piece])
        lower, width = self._place(piece, values)
        bottom = min(MARGIN, self.missing_share / 4)
        lower[missing], width[missing] = bottom, self.missing_share - 2 * bottom
        return lower, width

    def quantile(self, u: Float64) -> tuple[Values, Bool]:
        """Return [B] values and [B] missing flags at positions `u` [B] in [0, 1].

        The inverse of `interval`; where missing, the value is one of the bottom piece.
        """
        piece = self._guide.find(u)
        missing = u < self.missing_share
        if self._atoms_only:
            return self.low[piece], missing
        inside = u - self._start[piece]
        if self.step is None:
            share = np.clip(inside / self._stretch[piece], 0.0, 1.0)
            low, high = self.low[piece], self.high[piece]
            # Weighted ends, since the span of large floats may overflow; clipped, since they round.
            return np.clip(low * (1.0 - share) + high * share, low, high), missing
        # Past 2^64 the conversion is undefined; past the last cell is rounding.
        cell = np.clip(inside * self._rate[piece], 0.0, _BELOW_2_64).astype(np.uint64)
        np.minimum(cell, self._last[piece], out=cell)
        cell *= np.uint64(self.step)
        cell += self.low[piece].view(np.uint64)
        return cell.view(np.int64), missing

    def state(self) -> tuple[Json, Arrays]:
        """Return the JSON object and arrays that `from_state` takes."""
        document = {"step": self.step, "missing": self.missing}
        return document, {"low": self.low, "high": self.high, "counts": self.counts}

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from `state`.

        Raises:
            BundleError: arrays that do not describe sorted pieces.
        """
        step = document["step"]
        low, high, counts = arrays["low"], arrays["high"], arrays["counts"]
        sane = low.shape == high.shape == counts.shape and low.ndim == 1 and low.size > 0
        if not sane or not ((low <= high).all() and (high[:-1] < low[1:]).all() and (counts > 0).all()):
            raise BundleError(f"pieces of shape {low.shape} are not ascending; fetch the bundle again")
        return cls(low, high, counts, int(document["missing"]), step)

    def _piece_of(self, values: Values) -> Int64:
        """Return [N] the piece that holds each value, or the nearer of its two neighbours."""
        piece = np.maximum(np.searchsorted(self.low, values, side="right") - 1, 0)
        above = np.minimum(piece + 1, len(self.low) - 1)
        gap = np.flatnonzero((values > self.high[piece]) & (above > piece))
        to_low = _distance(self.high[piece[gap]], values[gap])
        to_high = _distance(values[gap], self.low[above[gap]])
        piece[gap] += to_high < to_low
        return piece

    def _place(self, piece: Int64, values: Values) -> tuple[Float64, Float64]:
        """Return `lower` and `width` for values that lie inside their pieces."""
        start, stretch = self._start[piece], self._stretch[piece]
        low, high = self.low[piece], self.high[piece]
        if self.step is None:
            atom = low == high
            # Halves keep the span of two large floats finite; denormals lose a bit of their run.
            span = np.where(atom, 1.0, high / 2 - low / 2)
            share = np.where(span > 0.0, (values / 2 - low / 2) / np.where(span > 0.0, span, 1.0), 0.0)
            return start + stretch * np.where(atom, 0.0, share), np.where(atom, stretch, 0.0)
        last = self._last[piece]
        step = np.uint64(self.step)
        cell, rest = np.divmod(_distance(low, values), step)
        cell = np.minimum(cell + (rest > step // np.uint64(2)), last)
        size = 1.0 / self._rate[piece]
        inset = np.where(last == 0, 0.0, np.minimum(MARGIN, size / 4))
        return start + size * cell.astype(np.float64) + inset, size - 2 * inset


def repeats(distinct: int, rows: int) -> bool:
    """Return whether values repeat often enough to be kept as such: 3 rows each on average."""
    return distinct * ATOM_COUNT <= rows


def _run_number(rank: Float64, rows: int) -> Int64:
    """Return [U] the number of the run for each mid-rank in [0, rows].

    The integral of 1 / size, where a run at depth d from the nearer end holds
    clip(d / 8, 2, max(8, rows / 2048)) rows: an even spread over more rows than two would
    overstate the mean and the spread of a heavy tail.
    """
    largest = max(rows / _RUNS, _RUN_ROWS)
    fine, coarse = _TAIL_ROWS * _TAIL_SHARE, largest * _TAIL_SHARE

    def integral(depth: Float64) -> Float64:
        linear = np.minimum(depth, fine) / _TAIL_ROWS
        growing = _TAIL_SHARE * np.log(np.clip(depth, fine, coarse) / fine)
        total: Float64 = linear + growing + np.maximum(depth - coarse, 0.0) / largest
        return total

    depth = integral(np.minimum(rank, rows - rank))
    middle = integral(np.array([rows / 2]))[0]
    return np.floor(np.where(rank <= rows / 2, depth, 2 * middle - depth)).astype(np.int64)


def _distance(low: Values, high: Values) -> np.ndarray:
    """Return high - low, in uint64 for int64 (where it may exceed 2^63)."""
    if low.dtype == np.int64:
        low, high = low.view(np.uint64), high.view(np.uint64)
    with np.errstate(over="ignore"):
        gap: Values = high - low
    return gap
