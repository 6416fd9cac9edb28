"""Candidates, and with what probability each of them is kept: what raking moves.

Letters: M groups, C candidates of a group, Q cells.
"""

from __future__ import annotations

import numpy as np

from fingan.generator.resampling import scaled_weights
from fingan.types import Float64, Int64

_LEAST = 1e-300


def beyond_chance(step: Float64, variance: Float64) -> Float64:
    """Return of each step what chance does not explain (positive-part shrinkage, James & Stein, 1961).

    Args:
        step: estimated logarithms [Q].
        variance: of each estimate [Q].
    """
    return step * np.clip(1 - variance / np.maximum(step**2, 1e-12), 0, 1)


class Pool:
    """Probabilities [M, C] with which candidates are kept.

    Candidates that are not compared have no part in it: nothing moves them, and they count nowhere.

    Args:
        log_weight: logarithms [M, C] of the weights by which they are chosen; NaN: not compared.
        kept: how many of each group are, fewer than C.
    """

    def __init__(self, log_weight: Float64, kept: int) -> None:
        self._compared = ~np.isnan(log_weight)
        self._of_group = kept * self._compared.mean(axis=1)
        self._ones = np.ones(log_weight.shape[1])
        self._weight = np.where(self._compared, scaled_weights(log_weight, kept), 0.0)
        self._kept = np.minimum(self._weight, 1.0)

    @property
    def kept(self) -> Float64:
        """Probability [M · C] with which each candidate is kept, those of a group side by side."""
        return self._kept.ravel()

    def made(self, cells: Int64, size: int) -> Float64:
        """Return how many candidates of each cell there are [Q]; the arguments are those of `counts`."""
        there = self._compared.ravel()
        found: Float64 = np.bincount(cells, there, size).astype(np.float64, copy=False)
        return found

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
        self._weight *= (self._of_group / np.maximum(self._kept @ self._ones, _LEAST))[:, None]
        np.minimum(self._weight, 1.0, out=self._kept)
