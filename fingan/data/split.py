"""Splitting rows into training and holdout parts, the same way for a seed everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fingan import rng
from fingan.errors import ConfigError
from fingan.types import Int64

ROWS_A_CLASS = 10
"""Rows that a class has in the holdout on average, at least: labels of more values are not classes."""


def split_rows(
    n_rows: int, share: float, seed: int, stratify: NDArray[Any] | None = None
) -> tuple[Int64, Int64]:
    """Draw a holdout without replacement; a function of the arguments alone.

    With `stratify`, every class gets its share by largest remainders, and a class of two or more
    rows is on both sides as long as the holdout has room for that. Labels of so many values that
    the holdout has fewer than ten rows of one on average (amounts, names) are not heeded: their
    rare values would be held out too seldom or too often, and the holdout be another population.

    Args:
        n_rows: rows to split, N.
        share: share of the holdout, in [0, 1); a positive one gives at least one row if N >= 2.
        seed: the split is keyed by it.
        stratify: class of each row, [N], of any type, or None.

    Returns:
        Row numbers of the training part and of the holdout, both ascending.

    Raises:
        ConfigError: `share` or `n_rows` out of range, or `stratify` of another length.
    """
    if not 0.0 <= share < 1.0:
        raise ConfigError(f"the share held out must be in [0, 1), got {share!r}")
    if n_rows < 1:
        raise ConfigError(f"cannot split {n_rows} rows; give at least one")
    if stratify is not None and len(stratify) != n_rows:
        raise ConfigError(f"stratify has {len(stratify)} values for {n_rows} rows; give one value per row")
    held = 0 if share == 0.0 else min(max(round(share * n_rows), 1), n_rows - 1)
    order = rng.numpy_generator(seed, "split").permutation(n_rows)
    codes = np.zeros(n_rows, dtype=np.int64) if stratify is None else _codes(stratify)[order]
    quotas = _quotas(codes, held)
    if quotas is None:
        codes, quotas = np.zeros_like(codes), np.array([held])
    # The first rows of each class, in the drawn order, are the holdout.
    by_class = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    rank = np.arange(n_rows) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    chosen = np.zeros(n_rows, dtype=np.bool_)
    chosen[order[by_class[rank < np.repeat(quotas, sizes)]]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _codes(stratify: NDArray[Any]) -> Int64:
    """Number the classes 0, 1, … in the order they appear; a missing value is a class too."""
    encoded = pa.array(stratify, from_pandas=True).dictionary_encode(null_encoding="encode")
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def _quotas(codes: Int64, held: int) -> Int64 | None:
    """Return the holdout's rows per class, or None where there are too many classes, or of a single row."""
    sizes = np.bincount(codes)
    if sizes.size > 1 and sizes.size * ROWS_A_CLASS > held:
        return None
    room = np.where(sizes > 1, sizes - 1, 0)
    if room.sum() < held:
        return None
    ideal = held * sizes / sizes.sum()
    quotas: Int64 = np.minimum(np.floor(ideal).astype(np.int64), room)
    least = np.maximum(quotas, np.minimum(room, 1))
    if least.sum() <= held:
        quotas = least
    while (short := held - int(quotas.sum())) > 0:
        wish = np.where(quotas < room, ideal - quotas, -np.inf)
        open_classes = int(np.count_nonzero(quotas < room))
        quotas[np.argsort(-wish, kind="stable")[: min(short, open_classes)]] += 1
    return quotas
