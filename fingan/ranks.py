"""Ranks of values. Own, because to import `scipy.stats` would cost every process a second."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fingan.types import Float64


def mid_ranks(values: NDArray[Any]) -> Float64:
    """Return ranks from 1 on, the mean rank where values are equal; all NaN where one of them is.

    Args:
        values: numbers [N].
    """
    if np.isnan(values).any():
        return np.full(values.shape, np.nan)
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Float64 = (np.cumsum(count) - 0.5 * (count - 1))[place]
    return ranks
