"""Asynchronous use of a `Sampler`: threads for large calls, one forward pass for small ones together.

Small calls are not made to wait for company: whatever has gathered while the last pass ran goes
into the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from fingan.errors import FinganError
from fingan.generator import BLOCK
from fingan.generator.packed import Piece, PreparedPiece, prepare_piece, sample_packed
from fingan.service.calls import RowsCall
from fingan.service.sampler import Sampler, Served, written
from fingan.types import Json

Value = TypeVar("Value")
SMALL_ROWS = BLOCK
"""Calls of at most so many rows are made together."""

MOST_TOGETHER = 64


@dataclass(frozen=True)
class _Waiting:
    call: RowsCall
    answer: asyncio.Future[bytes]


class Workbench:
    """A backend in this process.

    Args:
        sampler: makes the rows.
        threads: large calls made at a time.
        observe: is told the number of calls of every forward pass.
    """

    def __init__(
        self, sampler: Sampler, threads: int = 1, observe: Callable[[int], None] | None = None
    ) -> None:
        self._sampler, self._observe = sampler, observe
        self._large = ThreadPoolExecutor(threads, thread_name_prefix="rows")
        # Loading must not hold up rows, and small calls must not wait for large ones.
        self._small = ThreadPoolExecutor(1, thread_name_prefix="small")
        self._other = ThreadPoolExecutor(2, thread_name_prefix="models")
        # Neither must say that rows cannot be made.
        self._probing = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None

    async def prepare(self, model: str) -> Json:
        """See `Backend.prepare`."""
        return await self._in(self._other, self._sampler.prepare, model)

    async def marginals(self, model: str) -> Json:
        """See `Backend.marginals`."""
        return await self._in(self._other, self._sampler.marginals, model)

    async def check(self, call: RowsCall) -> Json:
        """See `Backend.check`."""
        return await self._in(self._other, self._sampler.check, call)

    async def rows(self, call: RowsCall) -> bytes:
        """See `Backend.rows`."""
        if call.last - call.first > SMALL_ROWS:
            return await self._in(self._large, self._sampler.rows, call)
        waiting = _Waiting(call, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await waiting.answer

    async def probe(self, model: str | None = None) -> int:
        """See `Backend.probe`."""
        return await self._in(self._probing, self._sampler.probe, model)

    def close(self) -> None:
        """Let the threads end."""
        for pool in (self._large, self._small, self._other, self._probing):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            # Whoever has left is not worked for.
            wanted = [one for one in taken if not one.answer.done()]
            try:
                found = await self._in(self._small, self._together, [one.call for one in wanted])
            except Exception as error:
                found = [error] * len(wanted)
            for one, result in zip(wanted, found, strict=True):
                if one.answer.done():
                    continue
                if isinstance(result, bytes):
                    one.answer.set_result(result)
                else:
                    one.answer.set_exception(result)

    def _together(self, calls: list[RowsCall]) -> list[bytes | Exception]:
        """Make the rows of several small calls; a call that cannot be met does not harm the others."""
        results: dict[int, bytes | Exception] = {}
        ready: dict[str, list[tuple[int, Served, PreparedPiece]]] = {}
        for place, call in enumerate(calls):
            try:
                served = self._sampler.served(call.model, call.digest)
                piece = Piece(call.seed, call.first, call.last, call.where, call.candidates)
                ready.setdefault(call.model, []).append(
                    (place, served, prepare_piece(served.generator, piece))
                )
            except FinganError as error:
                results[place] = error
        for group in ready.values():
            if self._observe is not None:
                self._observe(len(group))
            batches = sample_packed(group[0][1].generator, [piece for _, _, piece in group])
            for (place, served, _), batch in zip(group, batches, strict=True):
                results[place] = (
                    batch if isinstance(batch, FinganError) else _attempt(served, calls[place], batch)
                )
        return [results[place] for place in range(len(calls))]

    @staticmethod
    async def _in(pool: ThreadPoolExecutor, function: Callable[..., Value], *arguments: Any) -> Value:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)


def _attempt(served: Served, call: RowsCall, batch: pa.RecordBatch) -> bytes | Exception:
    try:
        return written(served, call, [batch])
    except (FinganError, ValueError, pa.ArrowException) as error:
        return error
