"""Answers that are sent while they are made."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class Streamed(StreamingResponse):
    """Ends what makes its body as soon as the answer ends, however it does.

    Else that is left to the garbage collector: until it comes by, a reader that left keeps its place.

    Args:
        content: makes the body.
        more: as `StreamingResponse` takes it.
    """

    def __init__(self, content: AsyncGenerator[bytes], **more: Any) -> None:
        super().__init__(content, **more)
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._content.aclose()
