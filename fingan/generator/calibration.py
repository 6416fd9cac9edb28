"""Calibration, once, after training: marginals at the sampling noise, by pure functions of a row.

From generated rows a monotone map per numeric field (generated quantiles to normal scores)
and an offset per category logit are fitted; both are arrays in the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from fingan.encoding.layout import Layout
from fingan.types import Float32, Float64

KNOTS = 257
REACH = 4.2
ROUNDS = 30
LARGEST_OFFSET = 20.0


@dataclass(frozen=True)
class Calibration:
    """Corrections of the generator's raw output.

    Attributes:
        knots: generated values [F, K] that stand at the normal scores `scores`.
        scores: normal scores [K], ascending.
        offsets: added to the category logits [S].
    """

    knots: Float64
    scores: Float64
    offsets: Float32

    def u(self, numbers: Float32) -> Float64:
        """Return u [B, F] of raw numeric outputs [B, F]: map to a normal score, then Φ."""
        scores = np.empty(numbers.shape, dtype=np.float64)
        for f, knots in enumerate(self.knots):
            scores[:, f] = _interpolate(numbers[:, f].astype(np.float64), knots, self.scores)
        out: Float64 = ndtr(scores)
        return out

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that `from_arrays` reads back."""
        return {"knots": self.knots, "scores": self.scores, "offsets": self.offsets}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Calibration:
        """Read what `arrays` gave."""
        return cls(arrays["knots"], arrays["scores"], arrays["offsets"])


def _interpolate(values: Float64, knots: Float64, scores: Float64) -> Float64:
    """Interpolate, and continue beyond the outermost knots with slope one."""
    inside: Float64 = np.interp(values, knots, scores)
    outside: Float64 = np.minimum(values - knots[0], 0.0) + np.maximum(values - knots[-1], 0.0)
    return inside + outside


def identity(layout: Layout) -> Calibration:
    """Return the calibration that changes nothing."""
    scores = np.linspace(-REACH, REACH, KNOTS)
    return Calibration(np.tile(scores, (layout.numeric, 1)), scores, np.zeros(layout.codes, dtype=np.float32))


def fit_offsets(layout: Layout, logits: Float32, frequencies: Sequence[Float64]) -> Float32:
    """Return logit offsets [S] under which the expected share of each code is the training share.

    Shares are means of softmax probabilities, not of draws, so rare codes are matched far
    below the noise of counting them.

    Args:
        layout: widths of the categorical fields.
        logits: raw category logits of N generated rows [N, S].
        frequencies: training shares of each field's codes.
    """
    offsets = np.zeros(layout.codes, dtype=np.float32)
    start = 0
    for shares in frequencies:
        stop = start + shares.size
        offsets[start:stop] = _solve(logits[:, start:stop].astype(np.float64), shares)
        start = stop
    return offsets


def _solve(logits: Float64, shares: Float64) -> Float64:
    target = np.maximum(shares, 1e-12)
    centred = np.exp(logits - logits.max(axis=1, keepdims=True))
    offset = np.zeros(target.size)
    for _ in range(ROUNDS):
        weighted = centred * np.exp(offset)
        mean = np.maximum((weighted / weighted.sum(axis=1, keepdims=True)).mean(axis=0), 1e-12)
        step = np.log(target / mean)
        offset = np.clip(offset + step, -LARGEST_OFFSET, LARGEST_OFFSET)
        if np.abs(mean - target).max() < 1e-6:
            break
    out: Float64 = offset
    return out


def fit_knots(numbers: Float32, rows: Mapping[int, np.ndarray]) -> tuple[Float64, Float64]:
    """Return generated values [F, K] at the normal scores [K].

    Args:
        numbers: raw numeric outputs of N generated rows [N, F].
        rows: numeric field → the rows [N] bool on which its value counts; others use all.
    """
    scores = np.linspace(-REACH, REACH, KNOTS)
    positions = ndtr(scores)
    knots = np.empty((numbers.shape[1], KNOTS))
    for f in range(numbers.shape[1]):
        values = numbers[:, f] if f not in rows else numbers[rows[f], f]
        if values.size < 2:
            knots[f] = scores
            continue
        quantiles = np.quantile(values.astype(np.float64), positions)
        # Ties would make the map ambiguous; a hair between knots keeps it strictly monotone.
        knots[f] = np.maximum.accumulate(quantiles) + np.arange(KNOTS) * 1e-9
    return knots, scores
