"""A deadline for every call to a replica, so that one that hangs does not hold its places for ever."""

from __future__ import annotations

import asyncio
import logging
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fingan.service.calls import Backend, RowsCall
from fingan.service.problems import Refused
from fingan.types import Json

ATTEMPTS = 2
"""A call is a pure function: one that did not come in time is made again, most likely on another replica."""

Value = TypeVar("Value")
log = logging.getLogger(__name__)


class Patient:
    """A backend whose calls end in time, one way or the other.

    Args:
        backend: makes the rows.
        seconds: longest time for one call.
    """

    def __init__(self, backend: Backend, seconds: float) -> None:
        self._backend, self._seconds = backend, seconds

    async def prepare(self, model: str) -> Json:
        """See `Backend.prepare`."""
        return await self._in_time("prepare", lambda: self._backend.prepare(model))

    async def marginals(self, model: str) -> Json:
        """See `Backend.marginals`."""
        return await self._in_time("marginals", lambda: self._backend.marginals(model))

    async def check(self, call: RowsCall) -> Json:
        """See `Backend.check`."""
        return await self._in_time("check", lambda: self._backend.check(call))

    async def rows(self, call: RowsCall) -> bytes:
        """See `Backend.rows`."""
        return await self._in_time("rows", lambda: self._backend.rows(call))

    async def probe(self, model: str) -> int:
        """See `Backend.probe`; who asks has a deadline already."""
        return await self._backend.probe(model)

    async def _in_time(self, what: str, call: Callable[[], Awaitable[Value]]) -> Value:
        # The first is not given up before the second has ended: Ray Serve prefers a replica that has fewer
        # calls in hand, which is then another one; and should the first come late, it is welcome.
        making: list[asyncio.Future[Value]] = []
        try:
            for attempt in range(1, ATTEMPTS + 1):
                making.append(asyncio.ensure_future(call()))
                done, _ = await asyncio.wait(making, timeout=self._seconds, return_when=FIRST_COMPLETED)
                if done:
                    return await done.pop()
                log.warning("%s took longer than %g s (attempt %d)", what, self._seconds, attempt)
        finally:
            for one in making:
                one.cancel()
            await asyncio.gather(*making, return_exceptions=True)
        detail = (
            f"a replica did not answer within limits.call = {self._seconds:g} s, and no other did; ask again"
        )
        raise Refused(503, "replica_slow", detail, max(1, round(self._seconds / 4)))
