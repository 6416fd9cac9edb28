"""α-precision, β-recall and authenticity (Alaa et al., ICML 2022).

Computed as in the re-runs that are quoted: on raw numbers beside one-hot
categories, Euclidean, in 30 levels. Because raw numbers let the widest column
rule, the details give the same figures on range-scaled numbers. A perfect
sample has α-precision 1, β-recall about .5 and authenticity about .5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from sklearn.neighbors import NearestNeighbors

from fingan.evaluation.frame import Frame, concat
from fingan.evaluation.intervals import bootstrap
from fingan.evaluation.learners import Design
from fingan.evaluation.metric import Interval
from fingan.evaluation.threads import run_all, workers
from fingan.rng import numpy_generator
from fingan.types import Bool, Float64, Int64

LEVELS = 30
ROWS_AT_MOST = 33_000


@dataclass(frozen=True)
class Manifold:
    """The three figures with their bootstrap intervals, by name."""

    values: dict[str, float]
    intervals: dict[str, Interval]
    rows: int


def measure_manifold(real: Frame, synthetic: Frame, seed: int, scaled: bool = False) -> Manifold:
    """Return α-precision, β-recall and authenticity of equally many rows of both tables.

    Args:
        real: the training table.
        synthetic: the table to judge.
        seed: of the subsample, where a table has more rows than the other or than 33,000.
        scaled: scale numbers to the real range, instead of the protocol's raw numbers.
    """
    rows = min(real.rows, synthetic.rows, ROWS_AT_MOST)
    rng = numpy_generator(seed, "evaluation.manifold")
    pair = [
        f if f.rows == rows else f.take(np.sort(rng.choice(f.rows, rows, replace=False)))
        for f in (real, synthetic)
    ]
    design = Design.fit(pair[0], concat(pair[0], pair[1]), "one_hot")
    first, second = (design.transform(f) for f in pair)
    if scaled:
        low, span = first.min(axis=0), np.ptp(first, axis=0)
        span = np.where(span > 0, span, 1.0)
        first, second = (first - low) / span, (second - low) / span
    return _measure(first - first.mean(axis=0), second - first.mean(axis=0), seed)


def _measure(real: Float64, synthetic: Float64, seed: int) -> Manifold:
    """Measure point clouds [N, D] of equal size, centred on the real mean."""
    levels = np.linspace(0.0, 1.0, LEVELS)
    own, _ = _nearest(real, real, skip_self=True)
    to_synthetic, nearest_synthetic = _nearest(real, synthetic)
    to_real, nearest_real = _nearest(synthetic, real)
    radius = np.quantile(np.linalg.norm(real, axis=1), levels)
    inside = np.searchsorted(radius, np.linalg.norm(synthetic, axis=1), side="left")
    matched = synthetic[nearest_synthetic] - synthetic.mean(axis=0)
    match_radius = np.linalg.norm(matched, axis=1)
    covered = np.searchsorted(np.quantile(match_radius, levels), match_radius, side="left")
    covered = np.where(to_synthetic <= own, covered, LEVELS)
    authentic: Bool = to_real > own[nearest_real]
    figures: dict[str, Callable[[Int64], float]] = {
        "alpha_precision": lambda i: _closeness(inside[i], levels),
        "beta_recall": lambda i: _closeness(covered[i], levels),
        "authenticity": lambda i: float(authentic[i].mean()),
    }
    every = np.arange(len(real))
    values = {name: figure(every) for name, figure in figures.items()}
    spreads = {name: bootstrap(figure, len(real), seed, name) for name, figure in figures.items()}
    return Manifold(values, spreads, len(real))


def _search(search: Any, part: Float64) -> Int64:
    return np.asarray(search.kneighbors(part, return_distance=False), dtype=np.int64)


def _closeness(level: Int64, levels: Float64) -> float:
    """Return 1 − ∫|curve − identity| / ∫identity, where a row counts from its level on."""
    curve = np.cumsum(np.bincount(level, minlength=LEVELS + 1)[:LEVELS]) / level.size
    return float(1 - np.abs(levels - curve).sum() / levels.sum())


def _nearest(queries: Float64, points: Float64, skip_self: bool = False) -> tuple[Float64, Int64]:
    """Return the distance and position of each query's nearest point."""
    search: Any = NearestNeighbors(n_neighbors=2 if skip_self else 1, algorithm="brute")
    search.fit(points)
    parts = np.array_split(queries, min(len(queries), 4 * workers()))
    found = run_all([partial(_search, search, part) for part in parts])
    index = np.concatenate(found)
    if skip_self:
        # Among repeated rows a row need not come back first: drop it where it did, else the second.
        chosen = np.where(index[:, 0] == np.arange(len(queries)), index[:, 1], index[:, 0])
    else:
        chosen = index[:, 0]
    # The search's quadratic expansion rounds; the distance itself is taken afresh.
    return np.linalg.norm(queries - points[chosen], axis=1), chosen.astype(np.int64)
