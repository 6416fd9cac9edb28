"""Tied columns: pairs that occur in few of the combinations that they would make by chance.

A rate and its grade, a scenario and its flag: neither need determine the other, but their
joint support is thin. A network finds such a support slowly and never exactly; as one
category it is exact from the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from fingan.encoding.relations import PROBE_ROWS, Coded
from fingan.rng import numpy_generator
from fingan.types import Bool, Int32

TIED_SHARE = 0.2
MOST_COMBINATIONS = 128
MIN_COMBINATIONS_BY_CHANCE = 40
ROWS_PER_COMBINATION = 20


def _combinations(a: Int32, b: Int32, b_count: int) -> int:
    return int(np.count_nonzero(np.bincount(a.astype(np.int64) * b_count + b)))


def _ratio(left: Coded, right: Coded) -> float:
    """Return the combinations that occur over those made by chance; infinite where it proves nothing.

    Rows in which either column is missing do not count: a missing cell says nothing of the tie.
    """
    a, b, count = left.codes, right.codes, right.count
    probe = _present(left, right, slice(0, PROBE_ROWS))
    seen = _combinations(a[:PROBE_ROWS][probe], b[:PROBE_ROWS][probe], count)
    # Chance makes no more than all combinations: most pairs of a wide table end here.
    if seen > min(MOST_COMBINATIONS, TIED_SHARE * left.count * count):
        return math.inf
    present = _present(left, right, slice(None))
    a, b = a[present], b[present]
    together = _combinations(a, b, count)
    by_chance = _combinations(a, numpy_generator(0, "ties").permutation(b), count)
    if together > min(MOST_COMBINATIONS, a.size / ROWS_PER_COMBINATION):
        return math.inf
    return together / by_chance if by_chance >= MIN_COMBINATIONS_BY_CHANCE else math.inf


def _present(left: Coded, right: Coded, rows: slice) -> Bool:
    present: Bool = (left.codes[rows] != left.null) & (right.codes[rows] != right.null)
    return present


def tied_columns(coded: Mapping[str, Coded], names: Sequence[str]) -> list[tuple[str, str]]:
    """Find disjoint pairs whose combinations are at most a fifth of those made by chance.

    Args:
        coded: the codes of each column.
        names: columns that may be tied; those of many distinct values are passed over.

    Returns:
        Pairs, the most tightly tied first.
    """
    listed = [name for name in names if 2 < coded[name].count <= MOST_COMBINATIONS]
    ratios = (
        (_ratio(coded[left], coded[right]), left, right)
        for position, left in enumerate(listed)
        for right in listed[position + 1 :]
    )
    found = [(ratio, left, right) for ratio, left, right in ratios if ratio <= TIED_SHARE]
    taken: set[str] = set()
    pairs = []
    for _, left, right in sorted(found):
        if not taken & {left, right}:
            taken |= {left, right}
            pairs.append((left, right))
    return pairs
