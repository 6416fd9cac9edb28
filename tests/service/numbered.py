"""Replicas that number their rows, and stop and fail as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pyarrow as pa

from fingan.config import LimitsConfig
from fingan.service.admission import Admission
from fingan.service.answer import Answer
from fingan.service.calls import RowsCall
from fingan.service.formats import FORMATS
from fingan.types import Json

SCHEMA = pa.schema([("row", pa.int64()), ("text", pa.string())])
CHUNK = 2048


def made(call: RowsCall) -> pa.RecordBatch:
    numbers = range(call.first, call.last)
    return pa.RecordBatch.from_pydict({"row": numbers, "text": [f"n{n}" for n in numbers]}, SCHEMA)


class Replica:
    """Numbers its rows. Stops, fails and counts as a test wants.

    Attributes:
        asked: the calls so far.
        working: those under way now, and the most there were.
        open: calls go on while it is set.
        failing: number of the call that fails → its error.
    """

    def __init__(self) -> None:
        self.asked: list[RowsCall] = []
        self.working = self.most = self.cancelled = 0
        self.open = asyncio.Event()
        self.open.set()
        self.failing: dict[int, Exception] = {}

    async def rows(self, call: RowsCall) -> bytes:
        number = len(self.asked)
        self.asked.append(call)
        self.working += 1
        self.most = max(self.most, self.working)
        try:
            await asyncio.sleep(0)
            await self.open.wait()
            if number in self.failing:
                raise self.failing[number]
            write = FORMATS[call.form].pieces
            assert write is not None
            return write(made(call))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.working -= 1

    async def prepare(self, model: str) -> Json:
        raise NotImplementedError

    async def marginals(self, model: str) -> Json:
        raise NotImplementedError

    async def check(self, call: RowsCall) -> Json:
        raise NotImplementedError


def answer(first: int, last: int, form: str = "arrow", chunk: int = CHUNK, ahead: int = 2) -> Answer:
    return Answer(RowsCall("tiny:1", "d", first, last), FORMATS[form], SCHEMA, chunk, ahead=ahead)


def admission(places: int = 16, **limits: Any) -> Admission:
    return Admission(LimitsConfig(**limits), places, places)


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10.0))


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(30):
        await asyncio.sleep(0)
