"""Raking: additive corrections of log weights under which shares come out as in the real rows.

Iterative proportional fitting (Deming & Stephan, 1940), where a weight acts within a group of
candidates of which some are kept: first of columns, within each class of the label, then of pairs
of columns too.

Letters: N real rows, M groups, C candidates of a group, B rows, I columns, G classes of the
grouping column, Q bins of a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingan.errors import BundleError
from fingan.generator.binning import bin_columns, cut_columns, joint_cells, number_of_bins
from fingan.generator.pairing import PairRaking, PairSweep
from fingan.generator.pool import Pool, beyond_chance
from fingan.types import Float32, Float64, Int64

BINS = 50
ROUNDS = 12
PAIR_ROUNDS = 4
COLUMNS_PER_PAIRS = 2
"""Sweeps over the columns after each one over the pairs, which puts them off a little."""

FEWEST_REAL = 5
FEWEST_MADE = 200
"""A cell needs so many real rows, and so many candidates, to be corrected."""

CERTAIN_REAL = 50
"""A cell of fewer real rows is corrected only so far as the difference is beyond chance."""

CLASS_ROUNDS = 8
"""Corrections of the classes in a row, at most: rows kept for certain hardly heed one."""

CLASS_ERROR = 0.002
"""Relative error at which their shares are taken as kept."""

LARGEST_STEP = 2.0
LARGEST = 12.0


@dataclass(frozen=True)
class Raking:
    """A number for each (column, class of the grouping column, bin), summed over a row's columns, and pairs.

    Attributes:
        cuts: ascending cuts between the bins of each column; missing values have the last bin.
        tables: corrections [G, Q] of each column.
        group: column whose bins are the classes; None for one class.
        pairs: corrections of pairs of columns.
    """

    cuts: tuple[Float32, ...]
    tables: tuple[Float64, ...]
    group: int | None
    pairs: PairRaking

    def __call__(self, inputs: Float32) -> Float64:
        """Return the corrections [B] of rows [B, I]."""
        total = self.pairs(inputs)
        for cells, table in zip(_cells(self.cuts, self.group, inputs), self.tables, strict=True):
            total += table.ravel()[cells]
        return total

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that `from_arrays` reads back."""
        cuts = {f"cuts.{i}": array for i, array in enumerate(self.cuts)}
        tables = {f"table.{i}": array for i, array in enumerate(self.tables)}
        return cuts | tables | self.pairs.arrays()

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], columns: int, group: int | None) -> Raking:
        """Read what `arrays` gave.

        Raises:
            BundleError: corrections that do not fit the columns or their bins.
        """
        cuts = tuple(arrays[f"cuts.{i}"] for i in range(columns))
        tables = tuple(arrays[f"table.{i}"] for i in range(columns))
        if group is not None and not 0 <= group < columns:
            raise BundleError("its density ratio rakes within the classes of a column that is not there")
        classes = 1 if group is None else number_of_bins(cuts[group])
        shapes = [(classes, number_of_bins(own)) for own in cuts]
        if any(own.ndim != 1 for own in cuts) or [table.shape for table in tables] != shapes:
            raise BundleError("its density ratio has not one correction for each bin of a column")
        return cls(cuts, tables, group, PairRaking.from_arrays(arrays, columns))


def fit_raking(
    real: Float32,
    categorical: Sequence[bool],
    group: int | None,
    rows: Float32,
    log_weight: Float64,
    kept: int,
) -> Raking:
    """Return the corrections that bring the kept rows' shares to the real rows'.

    Args:
        real: real rows [N, I].
        categorical: whether a column holds ranks of categories [I].
        group: column of categories within each of which columns' shares are kept; None for none.
        rows: generated rows [M · C, I], the candidates of a group side by side.
        log_weight: logarithms [M, C] of the weights by which they are chosen; NaN: not compared.
        kept: how many of a group are.
    """
    pool = Pool(log_weight, kept)
    columns = _ColumnSweep(real, categorical, group, rows, pool)
    for _ in range(ROUNDS):
        columns(pool)
    pairs = PairSweep(real, categorical, group, rows, pool)
    for _ in range(PAIR_ROUNDS):
        pairs(pool)
        for _ in range(COLUMNS_PER_PAIRS):
            columns(pool)
    return Raking(columns.cuts, tuple(columns.tables), group, pairs.result())


class _ColumnSweep:
    """Corrects every column's table once.

    Args:
        real, categorical, group, rows: those of `fit_raking`.
        pool: the generated rows, as they are kept at first.
    """

    def __init__(
        self, real: Float32, categorical: Sequence[bool], group: int | None, rows: Float32, pool: Pool
    ) -> None:
        self.cuts = cut_columns(real, categorical, BINS)
        self._group = group
        classes = 1 if group is None else number_of_bins(self.cuts[group])
        shapes = [(classes, number_of_bins(own)) for own in self.cuts]
        self.tables = [np.zeros(shape) for shape in shapes]
        self._places = _cells(self.cuts, group, rows)
        known = map(_counts, _cells(self.cuts, group, real), shapes)
        made = (pool.made(own, g * q).reshape(g, q) for own, (g, q) in zip(self._places, shapes, strict=True))
        self._aims = [_aim(k, m, i == group) for i, (k, m) in enumerate(zip(known, made, strict=True))]

    def __call__(self, pool: Pool) -> None:
        for column in range(len(self.tables)):
            if column != self._group:
                self._correct(column, pool)
        if self._group is not None:
            # Last, for what other columns do to rows of one class moves its share.
            for _ in range(CLASS_ROUNDS):
                if self._correct(self._group, pool) < CLASS_ERROR:
                    break

    def _correct(self, column: int, pool: Pool) -> float:
        """Correct one column's table; return the largest step."""
        cells, table = self._places[column], self.tables[column]
        kept = pool.counts(cells, table.size).reshape(table.shape)
        step = _step(self._aims[column], kept, table)
        table += step
        pool.move(cells, step.ravel())
        return float(np.abs(step).max())


def _counts(cells: Int64, shape: tuple[int, int]) -> Float64:
    return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)


def _aim(known: Float64, made: Float64, of_classes: bool) -> tuple[Float64, Float64]:
    """Return what share of its class each cell of a column shall have, and how far chance puts that off.

    The first is NaN for cells that are left, the second the variance of its logarithm. The classes
    themselves shall be kept as often as they are made: calibration has brought the generated shares to the
    real ones more exactly than so many candidates can tell.
    """
    counts = made.reshape(1, -1) if of_classes else known
    corrected = counts > 0 if of_classes else (known >= FEWEST_REAL) & (made >= FEWEST_MADE)
    with np.errstate(invalid="ignore"):
        shares = np.where(corrected, counts / counts.sum(axis=1, keepdims=True), np.nan)
    certain = of_classes | ~corrected | (counts >= CERTAIN_REAL)
    return shares, np.where(certain, 0.0, 1 / np.maximum(counts, 1.0))


def _step(aim: tuple[Float64, Float64], kept: Float64, table: Float64) -> Float64:
    """Return by how much each correction moves; cells that are left have what the others leave."""
    wanted, variance = aim
    seen = np.maximum(kept.reshape(wanted.shape), 1e-9)
    with np.errstate(invalid="ignore"):
        step = np.nan_to_num(np.log(wanted * seen.sum(axis=1, keepdims=True) / seen))
    step = beyond_chance(step, variance).reshape(table.shape)
    moved: Float64 = np.clip(table + np.clip(step, -LARGEST_STEP, LARGEST_STEP), -LARGEST, LARGEST)
    return moved - table


def _cells(cuts: Sequence[Float32], group: int | None, inputs: Float32) -> list[Int64]:
    """Return the cell [B] of each row in each column's table, flat."""
    bins = bin_columns(cuts, inputs)
    if group is None:
        return bins
    return [joint_cells(cuts, bins, group, column) for column in range(len(cuts))]
