"""Tied columns: pairs that occur in few of the combinations that they would make by chance.

A rate and its grade, a scenario and its flag: neither need determine the other, but their
joint support is thin. A network finds such a support slowly and never exactly; as one
category it is exact from the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fingan.encoding.relations import PROBE_ROWS, Coded
from fingan.rng import numpy_generator
from fingan.types import Int32

TIED_SHARE = 0.2
MOST_COMBINATIONS = 128
MIN_COMBINATIONS_BY_CHANCE = 40
ROWS_PER_COMBINATION = 20


def _combinations(a: Int32, b: Int32, b_count: int) -> int:
    return int(np.unique(a.astype(np.int64) * b_count + b).size)


def tied_columns(coded: Mapping[str, Coded], names: Sequence[str]) -> list[tuple[str, str]]:
    """Find disjoint pairs whose combinations are at most a fifth of those made by chance.

    Args:
        coded: the codes of each column.
        names: columns that may be tied; those of many distinct values are passed over.

    Returns:
        Pairs, the most tightly tied first.
    """
    listed = [name for name in names if 2 < coded[name].count <= MOST_COMBINATIONS]
    if len(listed) < 2:
        return []
    order = numpy_generator(0, "ties").permutation(coded[listed[0]].codes.size)
    probe = slice(0, PROBE_ROWS)
    found: list[tuple[float, str, str]] = []
    for position, left in enumerate(listed):
        a = coded[left].codes
        for right in listed[position + 1 :]:
            b, count = coded[right].codes, coded[right].count
            if _combinations(a[probe], b[probe], count) > MOST_COMBINATIONS:
                continue
            together = _combinations(a, b, count)
            by_chance = _combinations(a, b[order], count)
            thin = together <= min(MOST_COMBINATIONS, TIED_SHARE * by_chance, a.size / ROWS_PER_COMBINATION)
            if thin and by_chance >= MIN_COMBINATIONS_BY_CHANCE:
                found.append((together / by_chance, left, right))
    taken: set[str] = set()
    pairs = []
    for _, left, right in sorted(found):
        if not taken & {left, right}:
            taken |= {left, right}
            pairs.append((left, right))
    return pairs
