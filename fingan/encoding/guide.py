"""Look-up in a cumulative distribution in constant time for most positions.

Source: the guide table (indexed search) of Chen & Asau (1974).
"""

from __future__ import annotations

import numpy as np

from fingan.types import Float64, Int64

_SMALLEST = 1 << 8
_LARGEST = 1 << 20


class Guide:
    """Answers "how many edges are <= u" for many u in [0, 1].

    [0, 1) is divided into a power of two of equal buckets, so that the bucket of u is
    exact in floating point. A bucket with one edge at most costs one comparison; the
    positions that fall into fuller buckets are searched.
    """

    def __init__(self, edges: Float64) -> None:
        """Prepare the table for ascending `edges` [K] in [0, 1], K >= 1."""
        size = 1 << (4 * len(edges) - 1).bit_length()
        self._size = min(max(size, _SMALLEST), _LARGEST)
        corners = np.searchsorted(edges, np.arange(self._size + 1) / self._size, side="right")
        self._first = corners[:-1].astype(np.int32)
        crowded = np.diff(corners) > 1
        self._crowded = crowded if crowded.any() else None
        self._edges = edges
        self._padded = np.append(edges, np.inf)

    def find(self, u: Float64) -> Int64:
        """Return [B] the index of the piece that holds each u, in [0, K): the last also holds u = 1."""
        bucket = np.minimum((u * self._size).astype(np.int64), self._size - 1)
        index = self._first[bucket].astype(np.int64)
        index += self._padded[index] <= u
        if self._crowded is not None:
            rows = np.flatnonzero(self._crowded[bucket])
            index[rows] = np.searchsorted(self._edges, u[rows], side="right")
        return np.minimum(index, len(self._edges) - 1, out=index)
