"""Which rows a worker meets in which batch: a function of (seed, batch) alone.

Rows in memory are walked in a fresh permutation of the whole table in every epoch. Stored rows
are shared out among the virtual shards as the rows of a batch are, consecutive ones to each; a
shard reads windows of them in a fresh order in every epoch, and permutes the rows inside a
window. Both visit every row once in an epoch, and neither depends on the number of workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fingan.encoding.stored import StoredTable, concat
from fingan.encoding.table import EncodedTable
from fingan.rng import key, numpy_generator, permute
from fingan.types import Bool, Int32, Int64

ROWS_AHEAD = 16_384
"""Rows of the run (an epoch of them at most) whose numbers are computed together: permuting a few
at a time is mostly overhead."""

WINDOW_ROWS = 16_384
"""Stored rows of a shard that are held, and shuffled, together."""

Bounds = Sequence[tuple[int, int, int]]
"""(shard, first, last) of the rows in the global batch that each of a worker's shards draws."""


@dataclass(frozen=True)
class Draws:
    """What chooses among rows, for the B rows of a worker's slice of a batch.

    Attributes:
        by_label: which rows are drawn for their label instead of visited [B].
        code, row: uniforms that choose the label's code and a row of it [B].
        paying: places of the rows that pay a penalty [K], ascending.
        other: uniforms that choose another row for each of those [K].
    """

    by_label: Bool
    code: Tensor
    row: Tensor
    paying: Int64
    other: Tensor

    def part(self, first: int, last: int) -> Draws:
        """Return the draws of the places from `first` up to `last`."""
        low, high = np.searchsorted(self.paying, (first, last))
        here = slice(first, last)
        paying, other = self.paying[low:high] - first, self.other[low:high]
        return Draws(self.by_label[here], self.code[here], self.row[here], paying, other)


class Rows(Protocol):
    """The training rows as one worker meets them."""

    def meet(self, number: int, draws: Draws) -> tuple[EncodedTable, Int32]:
        """Return this worker's rows of batch `number` of the run [B], and the codes of the others [K, C]."""
        ...


class RareCodes:
    """Draws rows by the log frequency of a label, so that conditions show its rare codes.

    A code of n rows is drawn in proportion to log(1 + n), its rows evenly ("training by sampling",
    Xu et al., "Modeling tabular data using conditional GAN", 2019, section 4.3).
    """

    def __init__(self, codes: Int32) -> None:
        counts = np.bincount(codes)
        counts = counts[counts > 0]
        weights = np.log1p(counts)
        self._order = torch.from_numpy(np.argsort(codes, kind="stable"))
        self._first = torch.from_numpy(np.cumsum(counts) - counts)
        self._counts = torch.from_numpy(counts)
        self._cumulative = torch.from_numpy(np.cumsum(weights) / weights.sum())

    def draw(self, pick_code: Tensor, pick_row: Tensor) -> Tensor:
        """Return row numbers [B] for two uniforms [B] each."""
        code = torch.searchsorted(self._cumulative, pick_code.double(), right=True)
        code.clamp_(max=len(self._counts) - 1)
        count = self._counts[code]
        within = (pick_row.double() * count).long().minimum(count - 1)
        return self._order[self._first[code] + within]


def _anywhere(pick: Tensor, rows: int) -> Int64:
    """Return a row number for each uniform [K]."""
    chosen: Int64 = (pick.double() * rows).long().clamp_(max=rows - 1).numpy()
    return chosen


class MemoryRows:
    """Rows that are held whole.

    Args:
        table: the N training rows.
        bounds: this worker's part of every batch.
        size: rows of the global batch.
        label: categorical field by which rows may be drawn; None for none.
        seed: of the run.
    """

    def __init__(self, table: EncodedTable, bounds: Bounds, size: int, label: int | None, seed: int) -> None:
        self._table, self._size, self._seed = table, size, seed
        self._first, self._last = bounds[0][1], bounds[-1][2]
        self._rare = None if label is None else RareCodes(table.codes[:, label])
        self._batches_ahead = max(1, min(ROWS_AHEAD, len(table)) // size)
        self._ahead: tuple[int, Int64] | None = None

    def meet(self, number: int, draws: Draws) -> tuple[EncodedTable, Int32]:
        """Return rows of the epoch's permutation, some replaced for their label (see `Rows`)."""
        index = self._visited(number)
        if self._rare is not None:
            index = np.where(draws.by_label, self._rare.draw(draws.code, draws.row).numpy(), index)
        # Taken by numpy: the table may be shared memory that torch must not wrap as writable.
        others = self._table.codes[_anywhere(draws.other, len(self._table))]
        return self._table.take(index), others

    def _visited(self, number: int) -> Int64:
        """Return the rows that a batch visits; computed for several batches at once."""
        block, within = divmod(number, self._batches_ahead)
        if self._ahead is None or self._ahead[0] != block:
            batches = block * self._batches_ahead + np.arange(self._batches_ahead, dtype=np.int64)
            position = self._size * batches[:, None] + np.arange(self._first, self._last)
            self._ahead = block, self._permuted(position)
        numbers_B: Int64 = self._ahead[1][within]
        return numbers_B

    def _permuted(self, position: Int64) -> Int64:
        rows = len(self._table)
        epoch, place = np.divmod(position, rows)
        for now in range(int(epoch.min()), int(epoch.max()) + 1):
            here = epoch == now
            place[here] = permute(place[here], rows, key(self._seed, "epoch", now))
        return place


@dataclass(frozen=True, eq=False)
class _Window:
    """Rows that a shard holds for a stretch of its walk.

    Attributes:
        begin, end: positions of the walk at which they are visited.
        rows: in the order of the file.
        order: in which they are visited.
        rare: draws among them by label; None for none.
    """

    begin: int
    end: int
    rows: EncodedTable
    order: Int64
    rare: RareCodes | None


class _Walk:
    """One virtual shard's endless walk through its rows of a stored table, `first` up to `last`."""

    def __init__(
        self, table: StoredTable, shard: int, first: int, last: int, label: int | None, seed: int
    ) -> None:
        self._table, self._shard, self._label, self._seed = table, shard, label, seed
        self._rows = last - first
        windows = -(-self._rows // WINDOW_ROWS)
        self._edges = first + np.arange(windows + 1, dtype=np.int64) * self._rows // windows
        self._window: _Window | None = None

    def meet(self, start: int, draws: Draws) -> tuple[EncodedTable, Int32]:
        """Return the rows at the positions from `start` on, and others of the same windows."""
        pieces, others = [], []
        done, wanted = 0, len(draws.by_label)
        while done < wanted:
            window = self._at(start + done)
            last = min(wanted, window.end - start)
            mine = draws.part(done, last)
            index = window.order[start + done - window.begin : start + last - window.begin]
            if window.rare is not None:
                index = np.where(mine.by_label, window.rare.draw(mine.code, mine.row).numpy(), index)
            pieces.append(window.rows.take(index))
            others.append(window.rows.codes[_anywhere(mine.other, len(window.rows))])
            done = last
        return concat(pieces), np.concatenate(others)

    def _at(self, position: int) -> _Window:
        """Return the window that is visited at a position; the newest one is held."""
        held = self._window
        if held is None or not held.begin <= position < held.end:
            held = self._window = self._load(position)
        return held

    def _load(self, position: int) -> _Window:
        epoch, place = divmod(position, self._rows)
        sizes = np.diff(self._edges)
        turns = numpy_generator(self._seed, "windows", self._shard, epoch).permutation(len(sizes))
        ends = np.cumsum(sizes[turns])
        turn = int(np.searchsorted(ends, place, side="right"))
        number, end = int(turns[turn]), epoch * self._rows + int(ends[turn])
        size = int(sizes[number])
        rows = self._table.read(int(self._edges[number]), int(self._edges[number + 1]))
        order = numpy_generator(self._seed, "window", self._shard, epoch, number).permutation(size)
        rare = None if self._label is None else RareCodes(rows.codes[:, self._label])
        return _Window(end - size, end, rows, order, rare)


class StoredRows:
    """Rows in files, of which each of this worker's shards holds a window or two.

    Args:
        table: the N training rows.
        bounds: this worker's part of every batch.
        size: rows of the global batch.
        label: categorical field by which rows may be drawn, among those of a window; None for none.
        seed: of the run.
    """

    def __init__(self, table: StoredTable, bounds: Bounds, size: int, label: int | None, seed: int) -> None:
        rows = len(table)
        self._bounds = bounds
        self._walks = {
            shard: _Walk(table, shard, rows * first // size, rows * last // size, label, seed)
            for shard, first, last in bounds
        }

    def meet(self, number: int, draws: Draws) -> tuple[EncodedTable, Int32]:
        """Return each shard's next rows (see `Rows`)."""
        start = self._bounds[0][1]
        met = [
            self._walks[shard].meet(number * (last - first), draws.part(first - start, last - start))
            for shard, first, last in self._bounds
        ]
        return concat([rows for rows, _ in met]), np.concatenate([others for _, others in met])
