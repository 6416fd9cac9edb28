"""Raking: additive corrections of log weights under which marginal shares come out as in the real rows.

Iterative proportional fitting (Deming & Stephan, 1940), where a weight acts within a group of
candidates of which one is kept.

Letters: N real rows, M groups, K candidates of a group, B rows, I columns, G classes of the
grouping column, Q bins of a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from fingan.types import Float32, Float64, Int64

BINS = 50
ROUNDS = 12
FEWEST_REAL = 50
FEWEST_MADE = 200
"""A cell needs so many real rows, and so many candidates, to be corrected."""

LARGEST_STEP = 2.0
LARGEST = 12.0


@dataclass(frozen=True)
class Raking:
    """A number for each (column, class of the grouping column, bin), summed over a row's columns.

    Attributes:
        cuts: ascending cuts between the bins of each column; missing values have the last bin.
        tables: corrections [G, Q] of each column.
        group: column whose bins are the classes; None for one class.
    """

    cuts: tuple[Float32, ...]
    tables: tuple[Float64, ...]
    group: int | None

    def __call__(self, inputs: Float32) -> Float64:
        """Return the corrections [B] of rows [B, I]."""
        total = np.zeros(len(inputs))
        for cells, table in zip(_cells(self.cuts, self.group, inputs), self.tables, strict=True):
            total += table.ravel()[cells]
        return total

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that `from_arrays` reads back."""
        cuts = {f"cuts.{i}": array for i, array in enumerate(self.cuts)}
        return cuts | {f"table.{i}": array for i, array in enumerate(self.tables)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], columns: int, group: int | None) -> Raking:
        """Read what `arrays` gave."""
        cuts = tuple(arrays[f"cuts.{i}"] for i in range(columns))
        return cls(cuts, tuple(arrays[f"table.{i}"] for i in range(columns)), group)


def fit_raking(
    real: Float32, categorical: Sequence[bool], group: int | None, pool: Float32, log_weight: Float64
) -> Raking:
    """Return the corrections that bring the kept rows' shares to the real rows', class by class.

    Args:
        real: real rows [N, I].
        categorical: whether a column holds ranks of categories [I].
        group: column of categories within each of which shares are kept; None for none.
        pool: generated rows [M · K, I], the candidates of a group side by side.
        log_weight: logarithms [M, K] of the weights by which one of a group is kept.
    """
    cuts = tuple(_cuts(column, flag) for column, flag in zip(real.T, categorical, strict=True))
    classes = _classes(cuts, group)
    shapes = [(classes, cut.size + 2) for cut in cuts]
    known = [_counts(c, shape) for c, shape in zip(_cells(cuts, group, real), shapes, strict=True)]
    places = _cells(cuts, group, pool)
    made = [_counts(c, shape) for c, shape in zip(places, shapes, strict=True)]
    aims = [_aim(known[i], made[i], i == group) for i in range(len(cuts))]
    tables = [np.zeros(shape) for shape in shapes]
    total = log_weight.copy()
    for _ in range(ROUNDS):
        for cells, aim, table in zip(places, aims, tables, strict=True):
            kept = _counts(cells, table.shape, softmax(total, axis=1).ravel())
            step = _step(aim, kept, table)
            table += step
            total += step.ravel()[cells].reshape(total.shape)
    return Raking(cuts, tuple(tables), group)


def _counts(cells: Int64, shape: tuple[int, ...], weights: Float64 | None = None) -> Float64:
    return np.bincount(cells, weights, int(np.prod(shape))).reshape(shape).astype(np.float64)


def _aim(known: Float64, made: Float64, of_classes: bool) -> Float64:
    """Return the wanted counts of a column's cells, up to a factor for each class; NaN where they are left.

    The classes themselves shall be kept as often as they are made: calibration has brought the
    generated shares to the real ones more exactly than so many candidates can tell.
    """
    if of_classes:
        return np.where(made > 0, made, np.nan).reshape(1, -1)
    return np.where((known >= FEWEST_REAL) & (made >= FEWEST_MADE), known, np.nan)


def _step(aim: Float64, kept: Float64, table: Float64) -> Float64:
    """Return by how much each correction moves; cells that are left take no part in the shares."""
    seen = np.where(np.isnan(aim), np.nan, np.maximum(kept.reshape(aim.shape), 1e-9))
    with np.errstate(invalid="ignore", divide="ignore"):
        wanted = aim / np.nansum(aim, axis=1, keepdims=True)
        step = np.nan_to_num(np.log(wanted * np.nansum(seen, axis=1, keepdims=True) / seen))
    step = np.clip(step.reshape(table.shape), -LARGEST_STEP, LARGEST_STEP)
    moved: Float64 = np.clip(table + step, -LARGEST, LARGEST)
    return moved - table


def _cuts(column: Float32, categorical: bool) -> Float32:
    known = column[~np.isnan(column)]
    if not known.size:
        return np.zeros(0, dtype=np.float32)
    if categorical:
        return np.arange(0.5, known.max(), dtype=np.float32)
    return np.unique(np.quantile(known, np.arange(1, BINS) / BINS, method="higher")).astype(np.float32)


def _classes(cuts: Sequence[Float32], group: int | None) -> int:
    return 1 if group is None else cuts[group].size + 2


def _cells(cuts: Sequence[Float32], group: int | None, inputs: Float32) -> list[Int64]:
    """Return the cell [B] of each row in each column's table, flat."""
    bins = [_bins(cut, column) for cut, column in zip(cuts, inputs.T, strict=True)]
    if group is None:
        return bins
    return [bins[group] * (cut.size + 2) + own for cut, own in zip(cuts, bins, strict=True)]


def _bins(cuts: Float32, column: Float32) -> Int64:
    bins = np.searchsorted(cuts, column, side="right")
    bins[np.isnan(column)] = cuts.size + 1
    return bins
