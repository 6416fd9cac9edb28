"""Candidates, and with what probability each of them is kept: what raking moves.

Letters: M groups, C candidates of a group, Q cells.
"""

from __future__ import annotations

import numpy as np

from fingan.generator.resampling import scaled_weights
from fingan.types import Float64, Int64


class Pool:
    """Probabilities [M, C] with which candidates are kept.

    Args:
        log_weight: logarithms [M, C] of the weights by which they are chosen.
        kept: how many of each group are, fewer than C.
    """

    def __init__(self, log_weight: Float64, kept: int) -> None:
        self._of_group = kept
        self._ones = np.ones(log_weight.shape[1])
        self._weight = scaled_weights(log_weight, kept)
        self._kept = np.minimum(self._weight, 1.0)

    @property
    def kept(self) -> Float64:
        """Probability [M · C] with which each candidate is kept, those of a group side by side."""
        return self._kept.ravel()

    def counts(self, cells: Int64, size: int) -> Float64:
        """Return how many rows of each cell are kept [Q], on average.

        Args:
            cells: of the candidates [M · C], those of a group side by side.
            size: number Q of cells.
        """
        kept: Float64 = np.bincount(cells, self._kept.ravel(), size).astype(np.float64, copy=False)
        return kept

    def move(self, cells: Int64, step: Float64) -> None:
        """Add to the log weights of all candidates what is given for their cells [Q]."""
        self._weight *= np.exp(step)[cells].reshape(self._weight.shape)
        np.minimum(self._weight, 1.0, out=self._kept)
        # A step of a fixed-point iteration, which goes on with the next move.
        self._weight *= (self._of_group / (self._kept @ self._ones))[:, None]
        np.minimum(self._weight, 1.0, out=self._kept)
