"""Each column on its own: Shape error and atom error.

Shape is the mean over columns of the Kolmogorov–Smirnov distance (numbers) or
the total variation distance (categories); Zhang et al., TabSyn, ICLR 2024. A
missing number is an atom below all values, so the share of missing values
counts. Atom error is the total variation over a number's frequent values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fingan.evaluation import intervals
from fingan.evaluation.frame import Column, Frame
from fingan.types import Bool, Float64, Int64

_Distance = Callable[[Column, Column, Int64, Int64], Float64]  # → [G + 1], the first from all rows
FREQUENT = 0.01  # a value this common in the training column is an atom
REPEATED = 5  # but not one that a small table holds a few times by chance


@dataclass(frozen=True)
class ColumnErrors:
    """Distances in [0, 1] by column, and the mean without each jackknife group.

    Attributes:
        names: the columns.
        errors: [C].
        replicates: [G], or empty where no interval was asked for.
    """

    names: tuple[str, ...]
    errors: Float64
    replicates: Float64

    @property
    def mean(self) -> float:
        """The figure that is reported."""
        return float(self.errors.mean())


def ks_distance(real: Float64, synthetic: Float64) -> float:
    """Return the Kolmogorov–Smirnov distance of two samples; NaN is an atom below all values.

    Args:
        real: [N].
        synthetic: [M].
    """
    return float(_ks(real, synthetic, _one_group(real), _one_group(synthetic))[0])


def total_variation(real: Float64, synthetic: Float64) -> float:
    """Return half the sum of absolute differences of two vectors of counts or weights, each normed to 1."""
    return float(0.5 * np.abs(real / real.sum() - synthetic / synthetic.sum()).sum())


def shape_errors(real: Frame, synthetic: Frame, seed: int | None = None) -> ColumnErrors:
    """Return the Shape error of each column; with a seed, also the jackknife replicates."""
    return _by_column(real, synthetic, _shape, seed)


def atom_errors(real: Frame, synthetic: Frame, seed: int | None = None) -> ColumnErrors | None:
    """Return the atom error of each number that has a frequent value; None when no column has."""
    columns = [c.name for c in real.columns if c.numeric and frequent_values(c.number()).size]
    if not columns:
        return None

    def keep(frame: Frame) -> Frame:
        return Frame(tuple(c for c in frame.columns if c.name in columns), frame.rows)

    return _by_column(keep(real), keep(synthetic), _atoms, seed)


def frequent_values(values: Float64) -> Float64:
    """Return the values that make up at least `FREQUENT` of the rows, and 5 rows, ascending."""
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    return np.asarray(distinct[counts >= max(FREQUENT * values.size, REPEATED)])


def _one_group(values: np.ndarray) -> Int64:
    return np.zeros(len(values), dtype=np.int64)


def _by_column(real: Frame, synthetic: Frame, distance: _Distance, seed: int | None) -> ColumnErrors:
    if seed is None:
        group_real, group_synthetic = np.zeros(real.rows, np.int64), np.zeros(synthetic.rows, np.int64)
    else:
        group_real = intervals.groups(real.rows, seed, "real")
        group_synthetic = intervals.groups(synthetic.rows, seed, "synthetic")
    errors = np.stack(
        [
            distance(r, s, group_real, group_synthetic)
            for r, s in zip(real.columns, synthetic.columns, strict=True)
        ]
    )
    replicates = errors[:, 1:].mean(axis=0) if seed is not None else np.empty(0)
    return ColumnErrors(real.names, errors[:, 0], replicates)


def grouped_counts(codes: Int64, group: Int64, size: int) -> Float64:
    """Count codes per group: [G, size]."""
    count = int(group.max(initial=0)) + 1
    flat = np.bincount(group * size + codes, minlength=count * size)
    return flat.reshape(count, size).astype(np.float64)


def _shares(counts: Float64) -> Float64:
    """Norm total and leave-one-group-out counts to 1: [G + 1, K]."""
    totals = intervals.leave_out(counts)
    return np.asarray(totals / np.maximum(totals.sum(axis=1, keepdims=True), 1.0))


def _shape(real: Column, synthetic: Column, group_real: Int64, group_synthetic: Int64) -> Float64:
    if real.numeric:
        return _ks(real.number(), synthetic.number(), group_real, group_synthetic)
    size = len(real.levels)
    first = _shares(grouped_counts(real.code(), group_real, size))
    second = _shares(grouped_counts(synthetic.code(), group_synthetic, size))
    return np.asarray(0.5 * np.abs(first - second).sum(axis=1))


def _ks(real: Float64, synthetic: Float64, group_real: Int64, group_synthetic: Int64) -> Float64:
    pooled = np.concatenate([real, synthetic])
    pooled = np.where(np.isnan(pooled), -np.inf, pooled)
    distinct, codes = np.unique(pooled, return_inverse=True)
    first = _shares(grouped_counts(codes[: real.size], group_real, distinct.size))
    second = _shares(grouped_counts(codes[real.size :], group_synthetic, distinct.size))
    return np.asarray(np.abs(np.cumsum(first - second, axis=1)).max(axis=1))


def _atoms(real: Column, synthetic: Column, group_real: Int64, group_synthetic: Int64) -> Float64:
    atoms = frequent_values(real.number())
    first = _shares(grouped_counts(_atom_codes(real.number(), atoms), group_real, atoms.size + 1))
    second = _shares(grouped_counts(_atom_codes(synthetic.number(), atoms), group_synthetic, atoms.size + 1))
    return np.asarray(0.5 * np.abs(first - second).sum(axis=1))


def _atom_codes(values: Float64, atoms: Float64) -> Int64:
    """Map each value to its atom, or to the last code for everything else."""
    position = np.searchsorted(atoms, values).clip(max=atoms.size - 1)
    hit: Bool = atoms[position] == values
    return np.where(hit, position, atoms.size).astype(np.int64)
