"""A monotone curve through knots, looked up in constant time."""

from __future__ import annotations

import numpy as np

from fingan.encoding.guide import Guide
from fingan.types import Float64


class Curve:
    """Linear between its knots, of slope one beyond them.

    Args:
        knots: where the curve is known [K], ascending, not all equal; at equal knots it jumps.
        heights: its values there [K], ascending.
    """

    def __init__(self, knots: Float64, heights: Float64) -> None:
        self._low, self._high = float(knots[0]), float(knots[-1])
        self._scale = 1.0 / (self._high - self._low)
        pieces = np.flatnonzero(np.diff(knots) > 0.0)
        self._left, self._base = knots[pieces], heights[pieces]
        self._slope = (heights[pieces + 1] - self._base) / (knots[pieces + 1] - self._left)
        self._guide = Guide((knots[pieces + 1] - self._low) * self._scale)

    def __call__(self, values: Float64) -> Float64:
        """Return the heights [B] at `values` [B]."""
        inside = np.clip(values, self._low, self._high)
        piece = self._guide.find((inside - self._low) * self._scale)
        out: Float64 = (inside - self._left[piece]) * self._slope[piece]
        out += self._base[piece]
        out += values - inside
        return out
