"""Candidates of which one in each group is kept, and with what probability: what raking moves.

Letters: M groups, K candidates of a group, Q cells.
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from fingan.types import Float64, Int64


class Pool:
    """Probabilities [M, K] with which candidates are kept, one of each group.

    Args:
        log_weight: logarithms [M, K] of the weights by which one of a group is kept.
    """

    def __init__(self, log_weight: Float64) -> None:
        self._kept: Float64 = softmax(log_weight, axis=1)
        self._ones = np.ones(log_weight.shape[1])

    def counts(self, cells: Int64, size: int) -> Float64:
        """Return how many rows of each cell are kept [Q], on average.

        Args:
            cells: of the candidates [M · K], those of a group side by side.
            size: number Q of cells.
        """
        kept: Float64 = np.bincount(cells, self._kept.ravel(), size).astype(np.float64, copy=False)
        return kept

    def move(self, cells: Int64, step: Float64) -> None:
        """Add to the log weights of all candidates what is given for their cells [Q]."""
        self._kept *= np.exp(step)[cells].reshape(self._kept.shape)
        self._kept /= (self._kept @ self._ones)[:, None]
