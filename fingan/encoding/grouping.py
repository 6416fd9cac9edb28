"""Divide many levels into groups of equal mass whose profiles are alike.

Recursive bisection along the principal axis of the levels' mean profiles, weighted by
their counts (a k-d tree on principal axes; Sproull, 1991). Deterministic, and linear in
the number of levels but for the sorts.
"""

from __future__ import annotations

import numpy as np

from fingan.types import Float32, Float64, Int64

SHRINKAGE = 8.0


def mean_profiles(levels: Int64, counts: Int64, profile: Float32) -> Float64:
    """Return [L, P] mean profile of each level, shrunk towards the overall mean.

    A level of n rows keeps n / (n + 8) of its own deviation: the mean of few rows is mostly noise.

    Args:
        levels: [N] level of each row; rows outside [0, L) are left out.
        counts: [L] rows of each level.
        profile: [N, P] features of each row.
    """
    inside = (levels >= 0) & (levels < counts.size)
    rows = levels[inside]
    means = np.empty((counts.size, profile.shape[1]))
    for p in range(profile.shape[1]):
        feature = profile[inside, p].astype(np.float64)
        center = feature.mean()
        means[:, p] = np.bincount(rows, feature - center, counts.size) / (counts + SHRINKAGE)
    return means


def balanced_groups(features: Float64, counts: Int64, depth: int) -> list[Int64]:
    """Divide levels into 2^depth groups of about equal mass.

    Args:
        features: [L, P] position of each level, L >= 2^depth.
        counts: [L] rows of each level.
        depth: number of bisections.

    Returns:
        The levels of each group, none empty.
    """
    groups = [np.arange(counts.size)]
    for remaining in range(depth - 1, -1, -1):
        groups = [half for g in groups for half in _bisect(g, features[g], counts[g], 1 << remaining)]
    return groups


def _bisect(members: Int64, features: Float64, counts: Int64, least: int) -> tuple[Int64, Int64]:
    """Cut one group at half its mass along its principal axis, `least` levels on either side."""
    weights = counts / counts.sum()
    centered = features - weights @ features
    _, axes = np.linalg.eigh((centered * weights[:, None]).T @ centered)
    order = np.argsort(centered @ axes[:, -1], kind="stable")
    cut = int(np.searchsorted(np.cumsum(weights[order]), 0.5)) + 1
    cut = min(max(cut, least), members.size - least)
    return members[order[:cut]], members[order[cut:]]
