"""Who is let in: so many answers under way, so many waiting for their first row, no longer than so long.

Work is done in calls of bounded size, which pass a gate, so that a front's load is known and everything
beyond it is refused at once, with a time after which to come again, instead of piling up. There are
two lanes. Small answers are made together, so their gate has as many places as share a forward pass;
the gate of all others has about as many as there are threads that make rows. Neither lane's crowd
takes the other's places.
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


class Lane:
    """A gate before the replicas, and the queue at it.

    Args:
        limits: of waiting requests and of their patience.
        places: calls to the replicas at a time.
        under_way: tells how many are let in already, of whom more calls are to come.
        clock: seconds, never going back.
    """

    def __init__(
        self, limits: LimitsConfig, places: int, under_way: Callable[[], int], clock: Callable[[], float]
    ) -> None:
        self._limits, self._clock = limits, clock
        self._places, self._under_way = places, under_way
        self._gate = Gate(places)
        self._call_seconds = 0.05
        self.waiting = self.working = 0

    @asynccontextmanager
    async def first(self) -> AsyncIterator[None]:
        """Hold a place at the gate for the first call of an answer.

        Raises:
            Refused: 429, too many wait; 503, it waited too long.
        """
        if self.waiting >= self._limits.queued and self._gate.is_full:
            raise busy(f"{self.waiting} requests are waiting", self.seconds())
        self.waiting += 1
        try:
            async with asyncio.timeout(self._limits.wait):
                await self._gate.enter(BEGIN)
        except TimeoutError as error:
            detail = "no replica became free in time; ask again"
            raise Refused(503, "overloaded", detail, self.seconds()) from error
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

    def seconds(self) -> int:
        """Return after how many seconds to come again."""
        ahead = self._gate.waiting + self._under_way()
        return max(1, math.ceil(ahead * self._call_seconds / self._places))

    @asynccontextmanager
    async def _held(self) -> AsyncIterator[None]:
        started = self._clock()
        self.working += 1
        try:
            yield
        finally:
            self.working -= 1
            self._gate.leave()
            # A running mean: what a waiting request has to expect.
            self._call_seconds += 0.1 * (self._clock() - started - self._call_seconds)


class Admission:
    """Counts and bounds what a front has under way.

    Args:
        limits: of streams, of waiting requests and of their patience.
        places: calls of large answers at a time.
        together: calls of small answers at a time.
        clock: seconds, never going back.

    Attributes:
        large: the lane of answers that hold a stream's place.
        small: the lane of those that are made together.
        streams: answers under way, small ones left out.
        held: bytes of the answers that hold room.
    """

    def __init__(
        self,
        limits: LimitsConfig,
        places: int,
        together: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self.large = Lane(limits, places, lambda: self.streams, clock)
        self.small = Lane(limits, together, lambda: self.small.working, clock)
        self.streams = self.held = 0

    @property
    def waiting(self) -> int:
        """Requests that wait for their first row."""
        return self.large.waiting + self.small.waiting

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """Hold one of the places for answers under way.

        Raises:
            Refused: 429, all of them are taken.
        """
        if self.streams >= self._limits.streams:
            raise busy(f"{self.streams} answers are under way", self.large.seconds())
        self.streams += 1
        try:
            yield
        finally:
            self.streams -= 1

    @asynccontextmanager
    async def room(self, size: int) -> AsyncIterator[None]:
        """Hold memory for an answer that no reader holds back.

        Raises:
            Refused: 429, others hold too much.
        """
        if self.held and self.held + size > self._limits.unpaced_together:
            raise busy(f"{self.held:,} bytes of answers are under way", self.large.seconds())
        self.held += size
        try:
            yield
        finally:
            self.held -= size


def busy(what: str, seconds: int) -> Refused:
    """Return the refusal of a service that has enough to do."""
    return Refused(429, "overloaded", f"the service is busy: {what}; ask again later", seconds)
