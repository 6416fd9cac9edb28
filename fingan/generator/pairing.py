"""Raking of pairs: corrections of log weights that bring the joint shares of two columns to the real rows'.

A few thousand cells, each with its own noise: a correction is made only by so much as the
difference exceeds what chance makes of it (see `beyond_chance`).

Letters: N real rows, M groups, C candidates of a group, B rows, I columns, P pairs, Q cells of a
pair, T cells of all pairs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fingan.errors import BundleError
from fingan.generator.binning import bin_columns, cut_columns, joint_cells, number_of_bins
from fingan.generator.pool import Pool, beyond_chance
from fingan.types import Float32, Float64, Int64

BINS = 10
"""Bins of a column of numbers; of categories, the commonest have one each, fewer by one."""

FEWEST = 50
"""A cell needs so many real rows, and so many kept ones, to be corrected."""

LARGEST_STEP = 1.0
LARGEST = 3.0
MOST_PAIRS = 500
"""Where columns make more pairs, those that are most off are corrected."""

LOOK_ROWS, LOOK_FEWEST = 8_192, 10
"""About so many rows tell which those are, and so many of them make a cell count."""

Pair = tuple[int, int]


@dataclass(frozen=True)
class PairRaking:
    """A number for each cell of each pair of columns, summed over the pairs.

    Attributes:
        cuts: ascending cuts between the bins of each column; missing values have the last bin.
        pairs: the columns of each.
        table: corrections [T], those of the first pair first.
    """

    cuts: tuple[Float32, ...]
    pairs: tuple[Pair, ...]
    table: Float64

    def __call__(self, inputs: Float32) -> Float64:
        """Return the corrections [B] of rows [B, I]."""
        total = np.zeros(len(inputs))
        if not self.pairs:
            return total
        bins = bin_columns(self.cuts, inputs)
        start = 0
        for pair in self.pairs:
            size = _size(self.cuts, pair)
            total += self.table[start : start + size][joint_cells(self.cuts, bins, *pair)]
            start += size
        return total

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that `from_arrays` reads back."""
        if not self.pairs:
            return {}
        cuts = {f"pairs.cuts.{i}": array for i, array in enumerate(self.cuts)}
        return {"pairs": np.array(self.pairs, dtype=np.int64), "pairs.table": self.table, **cuts}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], columns: int) -> PairRaking:
        """Read what `arrays` gave.

        Raises:
            BundleError: pairs of columns that the table does not have, or without corrections.
        """
        if "pairs" not in arrays:
            return cls((), (), np.zeros(0))
        cuts = tuple(arrays[f"pairs.cuts.{i}"] for i in range(columns))
        pairs = tuple((int(first), int(second)) for first, second in arrays["pairs"])
        if not all(0 <= place < columns for pair in pairs for place in pair):
            raise BundleError("its density ratio rakes pairs of columns that the table does not have")
        if arrays["pairs.table"].shape != (sum(_size(cuts, pair) for pair in pairs),):
            raise BundleError("its density ratio has not one correction for each cell of a pair")
        return cls(cuts, pairs, arrays["pairs.table"])


class PairSweep:
    """Corrects every pair's table once.

    Args:
        real: real rows [N, I].
        categorical: whether a column holds ranks of categories [I].
        group: column whose pairs are left, as columns are raked within each of its classes; None for none.
        rows: generated rows [M · C, I], the candidates of a group side by side.
        pool: with what probability they are kept.
    """

    def __init__(
        self, real: Float32, categorical: Sequence[bool], group: int | None, rows: Float32, pool: Pool
    ) -> None:
        cuts = cut_columns(real, categorical, BINS)
        self._cuts = tuple(
            own[: BINS - 1] if flag else own for own, flag in zip(cuts, categorical, strict=True)
        )
        self._bins = bin_columns(self._cuts, rows)
        known = bin_columns(self._cuts, real)
        places = [place for place in range(len(self._cuts)) if place != group]
        pairs = list(itertools.combinations(places, 2))
        if len(pairs) > MOST_PAIRS:
            pairs = self._most_off(pairs, known, pool)
        self._known = {
            pair: np.bincount(joint_cells(self._cuts, known, *pair), minlength=_size(self._cuts, pair))
            for pair in pairs
        }
        self._tables = {pair: np.zeros(counts.size) for pair, counts in self._known.items()}

    def __call__(self, pool: Pool) -> None:
        for pair, table in self._tables.items():
            cells = joint_cells(self._cuts, self._bins, *pair)
            step = _step(self._known[pair], pool.counts(cells, table.size))
            if step.any():
                step = np.clip(table + step, -LARGEST, LARGEST) - table
                table += step
                pool.move(cells, step)

    def result(self) -> PairRaking:
        """Return the corrections of the pairs that needed any."""
        used = {pair: table for pair, table in self._tables.items() if table.any()}
        return PairRaking(self._cuts, tuple(used), np.concatenate([np.zeros(0), *used.values()]))

    def _most_off(self, pairs: Sequence[Pair], bins: Sequence[Int64], pool: Pool) -> list[Pair]:
        """Return the pairs whose shares differ most, beyond chance, between some real and kept rows."""
        # Every so-manieth row: real ones may lie in an order.
        every = max(1, bins[0].size // LOOK_ROWS)
        real = [column[::every] for column in bins]
        every = max(1, int(pool.kept.sum()) // LOOK_ROWS)
        made, kept = [column[::every] for column in self._bins], pool.kept[::every]

        def off(pair: Pair) -> float:
            size = _size(self._cuts, pair)
            known = np.bincount(joint_cells(self._cuts, real, *pair), minlength=size)
            own = np.bincount(joint_cells(self._cuts, made, *pair), kept, size)
            return float(known @ np.abs(_step(known, own, LOOK_FEWEST)))

        return sorted(sorted(pairs, key=off, reverse=True)[:MOST_PAIRS])


def _size(cuts: Sequence[Float32], pair: Pair) -> int:
    return number_of_bins(cuts[pair[0]]) * number_of_bins(cuts[pair[1]])


def _step(known: Int64 | Float64, kept: Int64 | Float64, fewest: int = FEWEST) -> Float64:
    """Return by how much the correction of each cell [Q] moves, from numbers of real and of kept rows."""
    seen = (known >= fewest) & (kept >= fewest)
    step = np.zeros(known.size)
    if seen.any():
        aim, own = known[seen].astype(np.float64), kept[seen].astype(np.float64)
        full = np.log(aim / aim.sum() * own.sum() / own)
        step[seen] = beyond_chance(full, 1 / aim + 1 / own)
    return np.clip(step, -LARGEST_STEP, LARGEST_STEP)
