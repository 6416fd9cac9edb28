"""Which of several generated rows are kept, by the ratio of densities.

Sampling importance resampling (Rubin, 1988) with a generator as the proposal, without
replacement, as in discriminator rejection sampling (Azadi et al., 2019). Rows are chosen in
groups of 64 out of 64 K candidates, each with a probability in proportion to its ratio, at most 1:
were each row chosen from K candidates of its own, a bad one would be kept wherever all of them
are. Drawn systematically (Madow, 1949), so that a group has exactly its rows, and row i stays a
function of (bundle, seed, candidates, i).

Candidates without a ratio are not compared: each is kept with the probability that it would have if all
were alike, G / C, and the others share the rest.

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
        log_ratio: of each candidate [M, C]; NaN where it is not compared.
        kept: number G, fewer than C, to which a group's probabilities come.
    """
    apart = np.isnan(log_ratio)
    ratio = np.where(apart, -np.inf, log_ratio)
    highest = ratio.max(axis=1, keepdims=True)
    weight: Float64 = np.exp(np.maximum(ratio - np.where(np.isinf(highest), 0.0, highest), -FURTHEST))
    weight[apart] = 0.0
    room = kept * (1.0 - apart.mean(axis=1, keepdims=True))
    rising = np.sort(weight, axis=1)
    falling, sums = rising[:, : -kept - 2 : -1], rising.cumsum(axis=1)[:, : -kept - 2 : -1]
    with np.errstate(invalid="ignore", divide="ignore"):
        # With the t heaviest kept for certain, the others share what is left of the room.
        scale = (room - np.arange(kept + 1)) / sums
        certain = np.argmax(scale * falling <= 1.0, axis=1)[:, None]
        weight *= np.take_along_axis(scale, certain, axis=1)
    weight[apart] = kept / log_ratio.shape[1]
    return weight


def chosen(log_ratio: Float64, uniform: Float64, kept: int) -> Int64:
    """Return which candidates of each group are kept [M, G], ascending.

    Args:
        log_ratio: of each candidate [M, C]; NaN where it is not compared.
        uniform: one draw [M] of each group in [0, 1).
        kept: number G, fewer than C.
    """
    passed = np.minimum(scaled_weights(log_ratio, kept), 1.0).cumsum(axis=1)
    passed *= kept / passed[:, -1:]
    groups, candidates = log_ratio.shape
    # The first of the ticks u, u + 1, … that passes each candidate; then how many of them each tick passes.
    # Each group counts from 0: were they laid end to end, sums would round by a group's place among them.
    first = np.minimum(np.ceil(passed - uniform[:, None]), kept).astype(np.int64)
    first += np.arange(groups)[:, None] * (kept + 1)
    counts = np.bincount(first.ravel(), minlength=groups * (kept + 1)).reshape(groups, kept + 1)
    places = counts[:, :kept].cumsum(axis=1)
    # Rounding may put two ticks, 1 apart, on one candidate.
    apart = np.arange(kept)
    least = np.maximum.accumulate(places - apart, axis=1)
    found: Int64 = np.clip(least, 0, candidates - kept) + apart
    return found
