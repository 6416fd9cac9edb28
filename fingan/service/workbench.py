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
from fingan.generator import Generator
from fingan.generator.packed import Piece, PreparedPiece, prepare_piece, sample_packed
from fingan.service.calls import MOST_TOGETHER, SMALL_ROWS, RowsCall
from fingan.service.sampler import Sampler, Served, checked, made, written
from fingan.types import Json

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Waiting:
    call: RowsCall
    served: Served
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
        # Loading must not hold up rows or checks, and small calls must not wait for large ones.
        self._small = ThreadPoolExecutor(1, thread_name_prefix="small")
        self._loading = ThreadPoolExecutor(2, thread_name_prefix="models")
        self._other = ThreadPoolExecutor(1, thread_name_prefix="other")
        # Neither must say that rows cannot be made.
        self._probing = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None

    async def prepare(self, model: str) -> Json:
        """See `Backend.prepare`."""
        return await self._in(self._loading, self._sampler.prepare, model)

    async def marginals(self, model: str) -> Json:
        """See `Backend.marginals`."""
        served = await self._served(model, None)
        return await self._in(self._other, lambda: served.marginals)

    async def check(self, call: RowsCall) -> Json:
        """See `Backend.check`."""
        return await self._in(self._other, checked, await self._served(call.model, call.digest), call)

    async def rows(self, call: RowsCall) -> bytes:
        """See `Backend.rows`."""
        served = await self._served(call.model, call.digest)
        if call.last - call.first > SMALL_ROWS:
            return await self._in(self._large, made, served, call)
        waiting = _Waiting(call, served, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await waiting.answer

    async def _served(self, model: str, digest: str | None) -> Served:
        """Return a version, loaded in a thread of its own where it is not in memory."""
        if (known := self._sampler.known(model, digest)) is not None:
            return known
        return await self._in(self._loading, self._sampler.served, model, digest)

    async def probe(self, model: str | None = None) -> int:
        """See `Backend.probe`."""
        return await self._in(self._probing, self._sampler.probe, model)

    def close(self) -> None:
        """Let the threads end."""
        for pool in (self._large, self._small, self._loading, self._other, self._probing):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _work(self) -> None:
        while self._waiting:
            wanted, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            try:
                found = await self._in(self._small, self._together, wanted)
            except Exception as error:
                found = [error] * len(wanted)
            for one, result in zip(wanted, found, strict=True):
                if one.answer.done():
                    continue
                if isinstance(result, bytes):
                    one.answer.set_result(result)
                else:
                    one.answer.set_exception(result)

    def _together(self, wanted: list[_Waiting]) -> list[bytes | Exception]:
        """Make the rows of several small calls; a call that cannot be met does not harm the others."""
        results: dict[int, bytes | Exception] = {}
        ready: dict[int, tuple[Generator, list[tuple[int, PreparedPiece]]]] = {}
        for place, one in enumerate(wanted):
            call = one.call
            if one.answer.done():
                # Whoever has left meanwhile is not worked for.
                results[place] = b""
                continue
            maker = one.served.maker(call.columns)
            piece = Piece(call.seed, call.first, call.last, call.where, call.candidates)
            try:
                prepared = prepare_piece(maker, piece)
            except FinganError as error:
                results[place] = error
            else:
                ready.setdefault(id(maker), (maker, []))[1].append((place, prepared))
        for maker, group in ready.values():
            if self._observe is not None:
                self._observe(len(group))
            batches = sample_packed(maker, [piece for _, piece in group])
            for (place, _), batch in zip(group, batches, strict=True):
                failed = isinstance(batch, FinganError)
                results[place] = batch if failed else _attempt(wanted[place], batch)
        return [results[place] for place in range(len(wanted))]

    @staticmethod
    async def _in(pool: ThreadPoolExecutor, function: Callable[..., Value], *arguments: Any) -> Value:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)


def _attempt(one: _Waiting, batch: pa.RecordBatch) -> bytes | Exception:
    try:
        return written(one.served, one.call, [batch])
    except (FinganError, ValueError, pa.ArrowException) as error:
        return error
