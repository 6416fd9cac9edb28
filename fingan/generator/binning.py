"""Columns cut into bins, of which raking counts the rows.

Letters: N rows, B rows, I columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fingan.types import Float32, Int64


def cut_columns(rows: Float32, categorical: Sequence[bool], bins: int) -> tuple[Float32, ...]:
    """Return the ascending cuts of each column.

    Args:
        rows: [N, I]; missing values are NaN.
        categorical: whether a column holds ranks of categories [I], which have a bin each.
        bins: of about as many rows each, into which a column of numbers is cut.
    """
    return tuple(_cuts(column, flag, bins) for column, flag in zip(rows.T, categorical, strict=True))


def _cuts(column: Float32, categorical: bool, bins: int) -> Float32:
    known = column[~np.isnan(column)]
    if not known.size:
        return np.zeros(0, dtype=np.float32)
    if categorical:
        return np.arange(0.5, known.max(), dtype=np.float32)
    return np.unique(np.quantile(known, np.arange(1, bins) / bins, method="higher")).astype(np.float32)


def number_of_bins(cuts: Float32) -> int:
    """Return how many bins a column has, that of missing values included."""
    return cuts.size + 2


def bin_columns(cuts: Sequence[Float32], rows: Float32) -> list[Int64]:
    """Return each column's bins [B] of rows [B, I]; missing values have the last bin."""
    return [_bins(own, column) for own, column in zip(cuts, rows.T, strict=True)]


def _bins(cuts: Float32, column: Float32) -> Int64:
    bins = np.searchsorted(cuts, column, side="right")
    bins[np.isnan(column)] = number_of_bins(cuts) - 1
    return bins


def joint_cells(cuts: Sequence[Float32], bins: Sequence[Int64], first: int, second: int) -> Int64:
    """Return the cell [B] of each row in the table of two columns, flat, that of `second` varying fastest."""
    return bins[first] * number_of_bins(cuts[second]) + bins[second]
