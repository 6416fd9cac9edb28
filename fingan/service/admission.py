"""Who is let in: so many answers under way, so many waiting for their first row, no longer than so long.

Work is done in calls of bounded size. They pass a gate of as many places as there are threads that
make rows, so that a front's load is known and everything beyond it is refused at once, with a
time after which to come again, instead of piling up.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fingan.config import LimitsConfig
from fingan.service.gate import BEGIN, GO_ON, Gate
from fingan.service.problems import Refused


class Admission:
    """Counts and bounds what a front has under way.

    Args:
        limits: of streams, of waiting requests and of their patience.
        places: calls to the replicas at a time.
        clock: seconds, never going back.
    """

    def __init__(
        self, limits: LimitsConfig, places: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limits, self._clock = limits, clock
        self._places = places
        self._gate = Gate(places)
        self._call_seconds = 0.05
        self.streams = 0
        self.waiting = 0

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """Hold one of the places for answers under way.

        Raises:
            Refused: 429, all of them are taken.
        """
        if self.streams >= self._limits.streams:
            raise self._busy(f"{self.streams} answers are under way")
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    @asynccontextmanager
    async def first(self) -> AsyncIterator[None]:
        """Hold a place at the gate for the first call of an answer.

        Raises:
            Refused: 429, too many wait; 503, it waited too long.
        """
        if self.waiting >= self._limits.queued and self._gate.is_full:
            raise self._busy(f"{self.waiting} requests are waiting")
        self.waiting += 1
        try:
            async with asyncio.timeout(self._limits.wait):
                await self._gate.enter(BEGIN)
        except TimeoutError as error:
            raise Refused(
                503, "overloaded", "no replica became free in time; ask again", self._seconds()
            ) from error
        finally:
            self.waiting -= 1
        async with self._held():
            yield

    @asynccontextmanager
    async def further(self) -> AsyncIterator[None]:
        """Hold a place at the gate for a later call of an answer."""
        await self._gate.enter(GO_ON)
        async with self._held():
            yield

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        started = self._clock()
        try:
            yield
        finally:
            self._gate.leave()
            # A running mean: what a waiting request has to expect.
            self._call_seconds += 0.1 * (self._clock() - started - self._call_seconds)

    def _seconds(self) -> int:
        ahead = self._gate.waiting + self.streams
        return max(1, math.ceil(ahead * self._call_seconds / self._places))

    def _busy(self, what: str) -> Refused:
        return Refused(429, "overloaded", f"the service is busy: {what}; ask again later", self._seconds())
