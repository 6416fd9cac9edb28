"""Confidence intervals: Wilson, delete-a-group jackknife, bootstrap. All are 95 %."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import special

from fingan.evaluation.metric import Interval
from fingan.rng import numpy_generator
from fingan.types import Float64, Int64

Z = float(special.ndtri(0.975))
GROUPS = 10


def wilson(successes: float, trials: int) -> Interval:
    """Return Wilson's score interval of a proportion (Wilson, 1927).

    Args:
        successes: count, fractional where ties count for a part.
        trials: rows, at least 1.
    """
    share = successes / trials
    centre = (share + Z**2 / (2 * trials)) / (1 + Z**2 / trials)
    half = Z / (1 + Z**2 / trials) * math.sqrt(share * (1 - share) / trials + Z**2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def normal(value: float, variance: float) -> Interval:
    """Return the normal interval of an estimate with a known variance."""
    half = Z * math.sqrt(max(variance, 0.0))
    return value - half, value + half


def groups(rows: int, seed: int, purpose: str) -> Int64:
    """Deal `rows` rows evenly and at random into `GROUPS` groups; int64 [rows]."""
    return numpy_generator(seed, f"evaluation.groups.{purpose}").permutation(rows) % GROUPS


def leave_out(counts: Float64) -> Float64:
    """Turn counts per group [G, K] into the total and the totals without each group [G + 1, K]."""
    total = counts.sum(axis=0, keepdims=True)
    return np.concatenate([total, total - counts])


def jackknife(value: float, replicates: Float64, low: float = 0.0, high: float = math.inf) -> Interval:
    """Return the delete-a-group jackknife interval (Kott, 2001), Student's t with G − 1 degrees.

    A bootstrap would not do for distances: resampling adds noise that only ever
    pushes a distance up, so its interval can miss its own estimate.

    Args:
        value: the estimate from all rows.
        replicates: the estimate without each group, [G].
        low: smallest possible value.
        high: largest possible value.
    """
    count = replicates.size
    variance = (count - 1) / count * float(((replicates - replicates.mean()) ** 2).sum())
    half = float(special.stdtrit(count - 1, 0.975)) * math.sqrt(variance)
    return max(low, value - half), min(high, value + half)


def bootstrap(
    statistic: Callable[[Int64], float], rows: int, seed: int, purpose: str, repeats: int = 200
) -> Interval:
    """Return the percentile bootstrap interval of a statistic of row indices (Efron, 1979).

    Replicates that are not finite (a resample without one class, say) are left out.

    Args:
        statistic: maps row indices, int64 [rows], to the figure.
        rows: number of rows to resample.
        seed: the interval is a function of it.
        purpose: separates the draws of different figures.
        repeats: resamples.
    """
    rng = numpy_generator(seed, f"evaluation.bootstrap.{purpose}")
    draws = np.array([statistic(rng.integers(0, rows, rows)) for _ in range(repeats)])
    draws = draws[np.isfinite(draws)]
    if draws.size == 0:
        return -math.inf, math.inf
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)
