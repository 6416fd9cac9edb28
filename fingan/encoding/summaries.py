"""Summaries of the training rows: profiles that tell rare categories apart, and correlated pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from fingan.encoding.base import AnyArray, one_chunk
from fingan.encoding.relations import Coded
from fingan.ranks import mid_ranks
from fingan.types import Float32, Float64

PROFILE_FEATURES = 24
PROFILE_LEVELS = 4
CORRELATED = 0.5
PAIRS_AT_MOST = 8
PAIR_ROWS = 20_000
_RANK_GRID = 10_000


def _numbers(array: AnyArray) -> Float64:
    """Return [N] float64 of a numeric column, NaN where null."""
    numbers: Float64 = one_chunk(array).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def row_profile(table: pa.Table, numeric: Sequence[str], few: Mapping[str, Coded]) -> Float32:
    """Return a few standardised features per row [N, P], which tell levels of wide categories apart.

    Args:
        table: training rows.
        numeric: numeric columns; their ranks are features.
        few: columns of few values; indicators of the most frequent ones are features.
    """
    features: list[Float32] = []
    for name in numeric[:PROFILE_FEATURES]:
        values = np.nan_to_num(_numbers(table[name]))
        grid = np.sort(values[:: max(1, values.size // _RANK_GRID)])
        features.append(np.searchsorted(grid, values).astype(np.float32))
    for coded in few.values():
        top = np.argsort(-coded.sizes, kind="stable")[:PROFILE_LEVELS]
        features += [(coded.codes == c).astype(np.float32) for c in top]
    if not features:
        return np.zeros((table.num_rows, 1), dtype=np.float32)
    stacked = np.stack(features[:PROFILE_FEATURES], axis=1)
    spread = np.maximum(stacked.std(axis=0), 1e-6)
    profile: Float32 = (stacked - stacked.mean(axis=0)) / spread
    return profile


def correlated_pairs(table: pa.Table, fields: Mapping[int, str]) -> tuple[tuple[int, int], ...]:
    """Return the most rank-correlated pairs of numeric fields, strongest first.

    Args:
        table: training rows.
        fields: number of a numeric field → its numeric column.
    """
    if len(fields) < 2:
        return ()
    step = max(1, table.num_rows // PAIR_ROWS)
    sample = [np.nan_to_num(_numbers(table[name])[::step]) for name in fields.values()]
    # Mean ranks of ties: ranks by position would tie columns of many zeros to each other.
    ranks = np.stack([mid_ranks(numbers) for numbers in sample])
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.abs(np.nan_to_num(np.corrcoef(ranks)))
    numbers = list(fields)
    found = [
        (-float(correlation[a, b]), numbers[a], numbers[b])
        for a in range(len(numbers))
        for b in range(a + 1, len(numbers))
        if correlation[a, b] >= CORRELATED
    ]
    return tuple((a, b) for _, a, b in sorted(found)[:PAIRS_AT_MOST])
