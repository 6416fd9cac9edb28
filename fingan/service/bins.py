"""Round bins for a histogram of numbers or moments, and the shares of a stored distribution in them.

Letters: K pieces, E edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, log10

import numpy as np
import pyarrow as pa

from fingan.encoding.pieces import Pieces
from fingan.types import Float64

BINS = 30
_ROUND = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)
_LARGEST = Fraction(float(np.finfo(np.float64).max))
_DAY = 86_400
_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@dataclass(frozen=True)
class Bins:
    """Edges of bins, twice.

    Attributes:
        start: point of the distribution that `edges` count from.
        edges: ascending distances from `start` [E], exact for points of a lattice.
        shown: the same edges [E] as numbers of the column, or as milliseconds since 1970.
    """

    start: int | float
    edges: Float64
    shown: list[float]


def number_bins(low: int | float, high: int | float, step: int | None, scale: int) -> Bins:
    """Return about 30 bins of round width over [low, high].

    On a lattice each bin holds as many points as any other, and edges lie half way between points:
    so no rounding moves a value into another bin.

    Args:
        low, high: points of the lattice, or values of a continuous domain.
        step: distance of neighbouring points; None for a continuous domain.
        scale: a point divided by this is the column's value.
    """
    if step is None:
        return _continuous(Fraction(low), Fraction(high))
    first, last = int(low), int(high)
    width = _whole(ceil(((last - first) // step + 1) / BINS)) * step
    # Round starts where the lattice allows: 0, 50, 100 and not 3, 53, 103.
    start = first - (first - first % step) % width
    count = (last - start) // width + 1
    twice = [2 * width * i - step for i in range(count + 1)]
    shown = [float(Fraction(2 * start + edge, 2 * scale)) for edge in twice]
    return Bins(start, np.array(twice, dtype=np.float64) / 2, shown)


def _whole(least: int) -> int:
    """Return the least round whole number that is not below `least`."""
    scale: int = 10 ** (len(str(least)) - 1)
    return next(m * scale // 10 for m in _ROUND if m * scale >= 10 * least and m * scale % 10 == 0)


def _continuous(low: Fraction, high: Fraction) -> Bins:
    if low == high:
        reach = abs(low) / 10 or Fraction(1, 2)
        edges = [low - reach, low + reach]
    else:
        least = (high - low) / BINS
        scale = Fraction(10) ** floor(log10(least.numerator) - log10(least.denominator))
        width = next(m * scale / 10 for m in (*_ROUND, 120) if m * scale >= 10 * least)
        first, last = floor(low / width), ceil(high / width)
        edges = [width * k for k in range(first, last + 1)]
    shown = [float(min(max(edge, -_LARGEST), _LARGEST)) for edge in edges]
    return Bins(0.0, np.array(shown), shown)


def moment_bins(low: int | float, high: int | float, step: int, kind: pa.DataType) -> tuple[Bins, list[str]]:
    """Return about 30 bins of whole days, hours, minutes or seconds, and their edges as text.

    Args:
        low, high: ticks of the type's unit.
        step: distance of neighbouring ticks that occur.
        kind: a date or timestamp type.
    """
    second = Fraction(1, _DAY) if pa.types.is_date32(kind) else Fraction(_PER_SECOND[kind.unit])
    first, last = int(low), int(high)
    least = max(Fraction(last - first, BINS), Fraction(1))
    fitting = [s for s in _SECONDS if s * second >= least]
    seconds = fitting[0] if fitting else max(1, ceil(least / (_DAY * second))) * _DAY
    align = int(min(seconds, _DAY) * second)
    width = int(seconds * second)
    if width % step and width < 20 * step:
        # Else some bins would hold clearly more of the ticks that occur than others.
        width = ceil(width / step) * step
    start = first - first % align
    edges = [width * i for i in range((last - start) // width + 2)]
    whole = [floor((start + edge) / second) for edge in edges]
    unit = "D" if all(s % _DAY == 0 for s in whole) else "s"
    text = np.array(whole, dtype="datetime64[s]").astype(f"datetime64[{unit}]").astype(str).tolist()
    zone = "Z" if unit == "s" and getattr(kind, "tz", None) is not None else ""
    shown = [float((start + edge) * 1000 / second) for edge in edges]
    return Bins(start, np.array(edges, dtype=np.float64), shown), [one + zone for one in text]


def shares(pieces: Pieces, bins: Bins) -> Float64:
    """Return the share of all rows [E − 1] in each bin; the outer ones reach as far as the values."""
    low, high = (_from(bins.start, ends) for ends in (pieces.low, pieces.high))
    inner = bins.edges[1:-1]
    if pieces.step is None:
        # Halves, since the span of two large floats may overflow.
        span = np.where(low == high, 1.0, high / 2 - low / 2)[:, None]
        inside = np.clip((inner / 2 - low[:, None] / 2) / np.where(span > 0.0, span, 1.0), 0.0, 1.0)
        below = np.where((low == high)[:, None], low[:, None] < inner, inside)
    else:
        cells = ((high - low) / pieces.step + 1.0)[:, None]
        below = np.clip(np.ceil((inner - low[:, None]) / pieces.step), 0.0, cells) / cells
    counts = pieces.counts.astype(np.float64)
    total = counts.sum()
    under = np.concatenate([[0.0], counts @ below, [total]])
    found: Float64 = np.diff(under) / (total + pieces.missing)
    return found


def _from(start: int | float, points: np.ndarray) -> Float64:
    """Return the distances of points [K] from one of them: exact, though their span may exceed 2^63."""
    if points.dtype == np.float64:
        return np.asarray(points - start)
    return np.array([float(point - int(start)) for point in points.tolist()])
