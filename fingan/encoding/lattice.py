"""Find the lattice a numeric column lives on: decimals of floats, common step of integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fingan.types import Float64, Int64

DECIMALS_AT_MOST = 6
_EXACT_INTEGER = 2.0**53
_FURTHEST = 2.0**62
_EXACT_SHARE = 0.5
_ROUNDED_INTEGER = 2.0**43
ROUNDING = 4 * 2.0**-52
_GLANCE = 4096
_GCD_BLOCK = 1 << 14


@dataclass(frozen=True)
class Lattice:
    """The values that a column may take: origin + n * step with n >= 0, as they are or over 10^decimals.

    Attributes:
        origin: the least point.
        step: distance of neighbours, at least 1.
        decimals: of a column of floats.
        dtype: of the column's values.
    """

    origin: int
    step: int
    decimals: int
    dtype: np.dtype[np.generic]

    def at_least(self, values: np.ndarray) -> np.ndarray:
        """Return the least value of the lattice at or above each of [B], none of which is below the origin.

        Args:
            values: [B] int64, or float64 for a column of floats; so is the result.
        """
        if values.dtype == np.int64:
            return self._round_up(values)
        points = to_lattice(values, self.decimals)
        return self._floats(self._round_up(points + (self._floats(points) < values)))

    def _round_up(self, points: Int64) -> Int64:
        # Without sign, since the distance of two int64 may not be one.
        origin, step = np.int64(self.origin).view(np.uint64), np.uint64(self.step)
        offset = points.view(np.uint64) - origin
        short = (step - offset % step) % step
        up: Int64 = (origin + offset + short).view(np.int64)
        return up

    def _floats(self, points: Int64) -> Float64:
        return from_lattice(points, self.decimals).astype(self.dtype).astype(np.float64)


def decimals_of(values: Float64, single: bool) -> int | None:
    """Return the fewest decimals d in 0 … 6 with x = k / 10^d for every value, or None.

    Up to half of the values may miss it by the rounding of arithmetic (4 units in the last
    place), as sums and products of amounts do; float32 may not.

    Args:
        values: [N] finite floats.
        single: the values come from float32; equality is then asked in float32.
    """
    if not values.size:
        return 0
    # A spread-out glance refuses most candidates at the cost of a few thousand values.
    glance = values[:: max(1, values.size // _GLANCE)]
    for decimals in range(DECIMALS_AT_MOST + 1):
        if _fits(glance, decimals, single) and _fits(values, decimals, single):
            return decimals
    return None


def to_lattice(values: Float64, decimals: int) -> Int64:
    """Return [N] the integers k nearest to x * 10^decimals; no lattice reaches 2^62, where they end."""
    with np.errstate(over="ignore"):
        points = np.rint(values * 10.0**decimals)
    return np.clip(points, -_FURTHEST, _FURTHEST).astype(np.int64)


def from_lattice(points: Int64, decimals: int) -> Float64:
    """Return [N] k / 10^decimals, the float64 nearest to the decimal number."""
    return points / 10.0**decimals


def common_step(distinct: Int64) -> int:
    """Return the greatest common divisor of all differences of ascending integers (1 if there are none)."""
    offsets = distinct.view(np.uint64) - distinct[:1].view(np.uint64)
    step = np.uint64(0)
    for start in range(0, offsets.size, _GCD_BLOCK):
        step = np.gcd(step, np.gcd.reduce(offsets[start : start + _GCD_BLOCK]))
        if step == 1:
            break
    return max(int(step), 1)


def _fits(values: Float64, decimals: int, single: bool) -> bool:
    """Return whether the values are k / 10^decimals with |k| <= 2^53."""
    with np.errstate(over="ignore"):
        points = np.rint(values * 10.0**decimals)
    if not (np.abs(points) <= _EXACT_INTEGER).all():
        return False
    back = points / 10.0**decimals
    if single:
        return bool((back.astype(np.float32) == values.astype(np.float32)).all())
    exact = back == values
    if exact.mean() < _EXACT_SHARE:
        return False
    # Larger k lie so close together that any number would be near one.
    near = (np.abs(back - values) <= ROUNDING * np.abs(values)) & (np.abs(points) <= _ROUNDED_INTEGER)
    return bool((exact | near).all())
