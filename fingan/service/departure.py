"""Readers who leave before their answer has begun: nothing is made for them any more.

Once an answer is under way the HTTP server tells; before that only the request's channel knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from starlette.requests import Request

LEFT = 499
"""Status, for audit log and counts, of an answer that nobody waits for any more."""

Value = TypeVar("Value")


async def unless_gone(request: Request, work: Awaitable[Value]) -> Value | None:
    """Do work for a request whose body was read, unless its reader leaves meanwhile.

    Args:
        request: whose reader it is.
        work: is cancelled when the reader leaves.

    Returns:
        What came of it; None where the reader has left.
    """
    doing, leaving = asyncio.ensure_future(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await doing if doing.done() else None
    finally:
        for task in (doing, leaving):
            task.cancel()
        # What was held is given back before the request ends.
        await asyncio.gather(doing, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
