"""Calibration, once, after training: marginals at the sampling noise, by pure functions of a row.

From generated rows a monotone map per numeric field (generated quantiles to normal scores)
and an offset per category logit are fitted; both are arrays in the bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.special import ndtr

from fingan.encoding.layout import Layout
from fingan.generator.curve import Curve
from fingan.types import Float32, Float64

KNOTS = 257
REACH = 4.2
ROUNDS = 30
LARGEST_OFFSET = 20.0
_PLACES = "places."


@dataclass(frozen=True)
class Calibration:
    """Corrections of the generator's raw output.

    Attributes:
        knots: generated values [F, K] that stand at the normal scores `scores`.
        scores: normal scores [K], ascending.
        offsets: added to the category logits [S].
        places: numeric field → [2, Q] places u, and the share of its generated values below each;
            a field that is not here is uniform.
    """

    knots: Float64
    scores: Float64
    offsets: Float32
    places: Mapping[int, Float64] = field(default_factory=dict)

    def u(self, numbers: Float32) -> Float64:
        """Return u [F, B] of raw numeric outputs [F, B]: map to a normal score, then Φ."""
        out = np.empty(numbers.shape, dtype=np.float64)
        for f, (curve, placed) in enumerate(self._curves):
            ndtr(curve(numbers[f].astype(np.float64)), out=out[f])
            if placed is not None:
                np.clip(placed(out[f]), 0.0, 1.0, out=out[f])
        return out

    @cached_property
    def _curves(self) -> tuple[tuple[Curve, Curve | None], ...]:
        """Raw output → normal score, and where a field is not uniform share below → place."""
        placed = {f: Curve(below, places) for f, (places, below) in self.places.items()}
        return tuple((Curve(knots, self.scores), placed.get(f)) for f, knots in enumerate(self.knots))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that `from_arrays` reads back."""
        arrays: dict[str, np.ndarray] = {"knots": self.knots, "scores": self.scores, "offsets": self.offsets}
        return {**arrays, **{f"{_PLACES}{f}": array for f, array in self.places.items()}}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Calibration:
        """Read what `arrays` gave."""
        places = {int(n.removeprefix(_PLACES)): a for n, a in arrays.items() if n.startswith(_PLACES)}
        return cls(arrays["knots"], arrays["scores"], arrays["offsets"], places)


def identity(layout: Layout) -> Calibration:
    """Return the calibration that changes nothing."""
    scores = np.linspace(-REACH, REACH, KNOTS)
    return Calibration(np.tile(scores, (layout.numeric, 1)), scores, np.zeros(layout.codes, dtype=np.float32))


def fit_offsets(logits: Sequence[Float32], frequencies: Sequence[Float64]) -> Float32:
    """Return logit offsets [S] under which the expected share of each code is the training share.

    Shares are means of softmax probabilities, not of draws, so rare codes are matched below the
    noise of counting them, the further the less sure the network is of each row.

    Args:
        logits: raw logits [codes, N] of each field's codes in its own number of generated rows N.
        frequencies: training shares of each field's codes.
    """
    found = [
        _solve(own.T.astype(np.float64), shares) for own, shares in zip(logits, frequencies, strict=True)
    ]
    return np.concatenate([np.empty(0), *found]).astype(np.float32)


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
