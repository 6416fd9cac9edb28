"""Which of several generated rows are kept, by the ratio of densities.

Sampling importance resampling (Rubin, 1988) with a generator as the proposal, without
replacement, as in discriminator rejection sampling (Azadi et al., 2019). Rows are chosen in
groups of 64 out of 64 K candidates, each with a probability in proportion to its ratio, at most 1:
were each row chosen from K candidates of its own, a bad one would be kept wherever all of them
are. Drawn systematically (Madow, 1949), so that a group has exactly its rows, and row i stays a
function of (bundle, seed, candidates, i).

Letters: M groups, C candidates of a group, G rows kept of them.
"""

from __future__ import annotations

import numpy as np

from fingan.types import Float64, Int64

GROUP = 64
"""Rows that are chosen together; larger groups keep no better rows."""

FURTHEST = 600.0
"""Log ratios this far below a group's highest are as good as any lower: double precision ends near."""


def scaled_weights(log_ratio: Float64, kept: int) -> Float64:
    """Return positive weights [M, C] that, cut at 1, are the probabilities with which candidates are kept.

    Args:
        log_ratio: of each candidate [M, C].
        kept: number G, fewer than C, to which a group's probabilities come.
    """
    weight: Float64 = np.exp(np.maximum(log_ratio - log_ratio.max(axis=1, keepdims=True), -FURTHEST))
    rising = np.sort(weight, axis=1)
    falling, sums = rising[:, : -kept - 2 : -1], rising.cumsum(axis=1)[:, : -kept - 2 : -1]
    # With the t heaviest kept for certain, the others share G − t.
    scale = (kept - np.arange(kept + 1)) / sums
    certain = np.argmax(scale * falling <= 1.0, axis=1)[:, None]
    weight *= np.take_along_axis(scale, certain, axis=1)
    return weight


def chosen(log_ratio: Float64, uniform: Float64, kept: int) -> Int64:
    """Return which candidates of each group are kept [M, G], ascending.

    Args:
        log_ratio: of each candidate [M, C].
        uniform: one draw [M] of each group in [0, 1).
        kept: number G, fewer than C.
    """
    passed = np.minimum(scaled_weights(log_ratio, kept), 1.0).cumsum(axis=1)
    passed *= kept / passed[:, -1:]
    groups, candidates = log_ratio.shape
    number = np.arange(groups)[:, None]
    ticks = number * kept + np.arange(kept) + uniform[:, None]
    places = np.searchsorted((passed + number * kept).ravel(), ticks, side="right")
    # Rounding may put two ticks, 1 apart, on one candidate.
    apart = np.arange(kept)
    least = np.maximum.accumulate(places - number * candidates - apart, axis=1)
    found: Int64 = np.clip(least, 0, candidates - kept) + apart
    return found
