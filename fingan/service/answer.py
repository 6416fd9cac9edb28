"""Putting an answer together: the calls it is made of, their order, and how far they run ahead.

At most `ahead` calls are made before the reader has taken what came before, so an answer holds a
few pieces in memory, whatever its length and however slow its reader. (That a slow reader is
noticed is the HTTP server's part: see `deployment`.) A reader that leaves cancels what is under way.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa

from fingan.service.admission import Admission, Lane
from fingan.service.calls import SMALL_ROWS, Backend, RowsCall
from fingan.service.compression import Compressor
from fingan.service.formats import ParquetPieces, RowFormat

FIRST_ROWS = 1024
"""Rows of the first call of a long answer: its first byte comes at once."""

PARQUET_ROWS = 1 << 17
"""Rows of a row group, but for the first ones."""

PARQUET_BYTES = 16 << 20
"""Of Arrow, after which a row group ends too: rows of many columns would take hundreds of megabytes."""

_GROWTH = 8


@dataclass(frozen=True)
class Answer:
    """What was asked for, checked.

    Attributes:
        call: all its rows, as one call.
        form: how they are written.
        schema: of the wanted columns.
        chunk_rows: rows of a later call.
        row_bytes: what a row takes, on average.
        ahead: calls made ahead of the reader.
    """

    call: RowsCall
    form: RowFormat
    schema: pa.Schema
    chunk_rows: int
    row_bytes: float = 0.0
    ahead: int = 2

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.call.last - self.call.first

    @property
    def size(self) -> int:
        """How many bytes it has, about."""
        return math.ceil(self.rows * self.row_bytes)

    @property
    def is_short(self) -> bool:
        """Whether it is no longer than one call."""
        return self.rows <= self.chunk_rows

    @property
    def is_small(self) -> bool:
        """Whether replicas make it together with others."""
        return self.rows <= SMALL_ROWS

    def calls(self) -> Iterator[RowsCall]:
        """Return the calls, in order; where they end depends on row numbers alone."""
        first, last = self.call.first, self.call.last
        form = self.form.name if self.form.pieces is not None else "arrow"
        sizes = [] if self.is_short else [FIRST_ROWS]
        while first < last:
            size = sizes.pop() if sizes else self.chunk_rows
            end = min(last, first - first % size + size)
            yield replace(self.call, first=first, last=end, form=form)
            first = end


async def pieces(
    answer: Answer, backend: Backend, admission: Admission, given: Callable[[int], None] = lambda rows: None
) -> AsyncGenerator[bytes]:
    """Yield the answer's bytes, uncompressed.

    Args:
        answer: what is to be made.
        backend: makes it.
        admission: bounds what is under way.
        given: is told the rows of a piece before it is handed on.

    Raises:
        Refused: nothing could be begun; before the first byte only.
        FinganError: a call failed; the answer is broken off.
    """
    pending: deque[tuple[RowsCall, asyncio.Task[bytes]]] = deque()

    def begin(call: RowsCall) -> None:
        pending.append((call, asyncio.create_task(_further(call, backend, lane))))

    lane = admission.small if answer.is_small else admission.large
    calls = answer.calls()
    first = next(calls, None)
    try:
        if first is not None:
            async with lane.first():
                made = await backend.rows(first)
            for call in calls:
                begin(call)
                if len(pending) >= answer.ahead:
                    break
            given(first.last - first.first)
            yield answer.form.head(answer.schema) + made
            while pending:
                call, task = pending.popleft()
                made = await task
                if (later := next(calls, None)) is not None:
                    begin(later)
                given(call.last - call.first)
                yield answer.form.between() + made
            yield answer.form.tail()
        else:
            yield answer.form.head(answer.schema) + answer.form.tail()
    finally:
        for _, task in pending:
            task.cancel()


async def _further(call: RowsCall, backend: Backend, lane: Lane) -> bytes:
    async with lane.further():
        return await backend.rows(call)


async def parquet(parts: AsyncIterator[bytes], schema: pa.Schema) -> AsyncIterator[bytes]:
    """Turn the Arrow pieces of an answer into a Parquet file, one row group after the other.

    The first piece is a row group of its own, so that a reader need not wait for a large one, and those after
    it grow. Where groups end depends on the pieces alone: the same request gets the same bytes.
    """
    writer = ParquetPieces(schema)
    waiting: list[pa.RecordBatch] = []
    wanted = 1

    def group() -> bytes:
        whole = pa.Table.from_batches(waiting, schema).combine_chunks()
        # Before a reader takes them: a slow one holds the bytes alone.
        waiting.clear()
        return b"".join(writer.piece(batch) for batch in whole.to_batches())

    async for part in parts:
        waiting += await asyncio.to_thread(_batches, part, schema)
        if sum(b.num_rows for b in waiting) >= wanted or sum(b.nbytes for b in waiting) >= PARQUET_BYTES:
            yield await asyncio.to_thread(group)
            wanted = min(PARQUET_ROWS, _GROWTH * max(wanted, FIRST_ROWS))
    if waiting:
        yield await asyncio.to_thread(group)
    yield await asyncio.to_thread(writer.tail)


def _batches(part: bytes, schema: pa.Schema) -> list[pa.RecordBatch]:
    """Read the record batches among the messages of a piece of an Arrow stream."""
    found: list[pa.RecordBatch] = []
    reader = pa.ipc.MessageReader.open_stream(pa.BufferReader(part))
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return found
        if message.type == "record batch":
            found.append(pa.ipc.read_record_batch(message, schema))


async def compressed(parts: AsyncIterator[bytes], work: Compressor) -> AsyncIterator[bytes]:
    """Compress an answer's pieces as they come."""
    async for part in parts:
        small = len(part) < 1 << 14
        content = work.piece(part) if small else await asyncio.to_thread(work.piece, part)
        if content:
            yield content
    if end := work.tail():
        yield end
