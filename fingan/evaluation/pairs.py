"""Every pair of columns: Trend error, the strong pairs, missing patterns.

Trend (Zhang et al., TabSyn, ICLR 2024, after sdmetrics): two numbers by half the
difference of their Pearson correlations, two categories by the total variation
of their contingency tables, mixed pairs likewise after cutting the number into
10 equal-width bins. *Shared* bins come from the real table; *own* bins from each
table's own range, as the papers have them: those also charge for missing the
extremes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fingan.evaluation import intervals
from fingan.evaluation.frame import Column, Frame
from fingan.evaluation.marginals import grouped_counts
from fingan.types import Bool, Float64, Int64

Bins = Literal["shared", "own"]
BINS = 10
STRONG_CORRELATION = 0.5
STRONG_ASSOCIATION = 0.3
_DENSE_CELLS = 1 << 16
_CODES = BINS + 3  # missing, below, the bins, above


@dataclass(frozen=True)
class PairErrors:
    """Distances in [0, 1] by pair of columns.

    Attributes:
        names: the columns.
        errors: [G + 1, C, C], symmetric, diagonal 0; the first from all rows, the
            others without one jackknife group (G = 0 where no interval was asked for).
        strength: the real table's |correlation| (numbers) or association [C, C].
        strong: pairs above the thresholds, bool [C, C], upper triangle.
    """

    names: tuple[str, ...]
    errors: Float64
    strength: Float64
    strong: Bool

    def means(self, strong: bool = False) -> Float64:
        """Return the mean over all (or the strong) pairs, [G + 1]."""
        chosen = self.strong if strong else np.triu(np.ones_like(self.strong), 1)
        return np.asarray(self.errors[:, chosen].mean(axis=1))


@dataclass(frozen=True)
class _Side:
    """One table, cut into codes: [N] each, with the jackknife groups."""

    codes: list[Int64]
    group: Int64


def pair_errors(real: Frame, synthetic: Frame, bins: Bins = "shared", seed: int | None = None) -> PairErrors:
    """Return the Trend errors of all pairs; with a seed, also the jackknife replicates.

    Args:
        real: the training table, at least two columns.
        synthetic: the table to judge.
        bins: where the bins of mixed pairs come from.
        seed: deals the rows into groups.
    """
    sizes = [_CODES if c.numeric else len(c.levels) for c in real.columns]
    sides = [
        _side(real, real, seed, "real"),
        _side(synthetic, real if bins == "shared" else synthetic, seed, "synthetic"),
    ]
    count = 1 if seed is None else intervals.GROUPS + 1
    width = len(sizes)
    errors, strength = np.zeros((count, width, width)), np.zeros((width, width))
    numeric = [i for i, c in enumerate(real.columns) if c.numeric]
    cells = np.ix_(range(count), numeric, numeric)
    correlation = [_correlations(f, s.group) for f, s in zip((real, synthetic), sides, strict=True)]
    errors[cells] = np.abs(correlation[0] - correlation[1]) / 2
    strength[np.ix_(numeric, numeric)] = np.abs(correlation[0][0])
    both = np.isin(np.arange(width), numeric)
    for i in range(width):
        for j in range(i + 1, width):
            if not (both[i] and both[j]):
                errors[:, i, j], strength[i, j] = _contingency(sides, i, j, (sizes[i], sizes[j]))
                errors[:, j, i], strength[j, i] = errors[:, i, j], strength[i, j]
    threshold = np.where(np.outer(both, both), STRONG_CORRELATION, STRONG_ASSOCIATION)
    errors[:, range(width), range(width)] = 0.0
    return PairErrors(real.names, errors, strength, np.triu(strength > threshold, 1))


def missing_pattern_errors(real: Frame, synthetic: Frame, seed: int | None = None) -> Float64 | None:
    """Return how wrongly missing cells depend on the other columns: mean total variation [G + 1].

    Over all (column with nulls, other column) pairs: the contingency table of
    *is it missing* against the other column's bins, shared. None without nulls.
    """
    absent = [
        i for i, c in enumerate(real.columns) if c.missing().any() or synthetic.columns[i].missing().any()
    ]
    if not absent or len(real.columns) < 2:
        return None
    sides = [_side(real, real, seed, "real"), _side(synthetic, real, seed, "synthetic")]
    width = len(real.columns)
    for side, frame in zip(sides, (real, synthetic), strict=True):
        side.codes.extend(frame.columns[i].missing().astype(np.int64) for i in absent)
    sizes = [_CODES if c.numeric else len(c.levels) for c in real.columns]
    errors = [
        _contingency(sides, width + k, j, (2, sizes[j]))[0]
        for k, i in enumerate(absent)
        for j in range(width)
        if j != i
    ]
    return np.asarray(np.mean(errors, axis=0))


def _side(frame: Frame, ranges: Frame, seed: int | None, purpose: str) -> _Side:
    group = np.zeros(frame.rows, np.int64) if seed is None else intervals.groups(frame.rows, seed, purpose)
    return _Side([bin_codes(c, r) for c, r in zip(frame.columns, ranges.columns, strict=True)], group)


def bin_codes(column: Column, ranges: Column) -> Int64:
    """Return the category, or for a number its bin of `ranges`' 10 equal-width bins, [N].

    Codes of numbers: 0 missing, 1 below, 2 … 11 the bins, 12 at or above the maximum.
    """
    if not column.numeric:
        return column.code()
    values, known = column.number(), ranges.number()[~np.isnan(ranges.number())]
    try:
        edges = np.histogram_bin_edges(known, bins=BINS) if known.size else np.linspace(0.0, 1.0, BINS + 1)
    except ValueError:
        # Numbers so large that there are not enough others between them, as a constant moment in µs.
        values, edges = values - known.min(), np.histogram_bin_edges(known - known.min(), bins=BINS)
    codes = np.digitize(values, edges) + 1
    return np.where(np.isnan(values), 0, codes).astype(np.int64)


def _contingency(sides: list[_Side], i: int, j: int, sizes: tuple[int, int]) -> tuple[Float64, float]:
    """Return the total variation of a pair's tables [G + 1], and the real table's association."""
    cells = [side.codes[i] * sizes[1] + side.codes[j] for side in sides]
    size = sizes[0] * sizes[1]
    if size <= _DENSE_CELLS:
        label = np.arange(size)
    else:
        label, packed = np.unique(np.concatenate(cells), return_inverse=True)
        cells, size = np.split(packed, [cells[0].size]), label.size
    totals = [
        intervals.leave_out(grouped_counts(cell, side.group, size))
        if side.group.any()
        else grouped_counts(cell, side.group, size)
        for cell, side in zip(cells, sides, strict=True)
    ]
    shares = [t / t.sum(axis=1, keepdims=True) for t in totals]
    error = 0.5 * np.abs(shares[0] - shares[1]).sum(axis=1)
    return error, cramers_v(label // sizes[1], label % sizes[1], totals[0][0])


def cramers_v(rows: Int64, columns: Int64, counts: Float64) -> float:
    """Return the bias-corrected Cramér's V of a sparse contingency table (Bergsma, 2013).

    Args:
        rows: row of each cell [K].
        columns: column of each cell [K].
        counts: count of each cell [K].
    """
    total = counts.sum()
    row, column = np.bincount(rows, counts), np.bincount(columns, counts)
    seen = counts > 0
    expected = row[rows[seen]] * column[columns[seen]] / total
    phi = float((counts[seen] ** 2 / expected).sum()) / total - 1.0
    height, width = int((row > 0).sum()), int((column > 0).sum())
    if min(height, width) < 2 or total < 2:
        return 0.0
    phi = max(0.0, phi - (height - 1) * (width - 1) / (total - 1))
    height_corrected = height - (height - 1) ** 2 / (total - 1)
    width_corrected = width - (width - 1) ** 2 / (total - 1)
    smallest = min(height_corrected, width_corrected) - 1
    return float(np.sqrt(min(phi / smallest, 1.0))) if smallest > 0 else 0.0


def _correlations(frame: Frame, group: Int64) -> Float64:
    """Return Pearson correlations over the rows where both are present: [G + 1, F, F].

    From sums per group, so leaving a group out costs a subtraction. A column
    without variance has correlation 0.
    """
    columns = [c.number() for c in frame.columns if c.numeric]
    if not columns:
        return np.zeros((1 if not group.any() else intervals.GROUPS + 1, 0, 0))
    values = np.stack(columns, axis=1)
    present = ~np.isnan(values)
    centre = np.where(
        present.any(axis=0), np.nanmean(np.where(present.any(axis=0), values, 0.0), axis=0), 0.0
    )
    values = np.where(present, values - centre, 0.0)
    scale = np.sqrt((values**2).mean(axis=0))
    values /= np.where(scale > 0, scale, 1.0)
    sums = [
        _sums(values[group == g], present[group == g].astype(float)) for g in range(group.max(initial=0) + 1)
    ]
    stacked = np.stack(sums)
    if group.any():
        stacked = np.concatenate([stacked.sum(axis=0, keepdims=True), stacked.sum(axis=0) - stacked])
    count, first, square, cross = (stacked[:, k] for k in range(4))
    count = np.maximum(count, 1.0)
    mean, other = first / count, first.transpose(0, 2, 1) / count
    variance = np.maximum(square / count - mean**2, 0.0)
    spread = np.sqrt(variance * variance.transpose(0, 2, 1))
    covariance = cross / count - mean * other
    safe = spread > 1e-12
    return np.asarray(np.where(safe, np.clip(covariance / np.where(safe, spread, 1.0), -1.0, 1.0), 0.0))


def _sums(values: Float64, present: Float64) -> Float64:
    """Return pairwise-present counts, sums, squares and cross products: [4, F, F]."""
    return np.stack([present.T @ present, values.T @ present, (values**2).T @ present, values.T @ values])
