"""One connection of the service's own HTTP server: what a caller may send, and how long it may take.

uvicorn bounds neither the bytes of headers (with its faster parser) nor the time in which they come, and
it waits for ever for a reader that takes nothing. All of that happens before anybody has shown a token.
"""

from __future__ import annotations

import asyncio
import socket
import struct

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from fingan.config import LimitsConfig
from fingan.service.problems import Refused, problem

HEAD_SECONDS = 10.0
"""Headers have come by then; and the rest of a body that was answered before its end."""

SPARE_CONNECTIONS = 400
"""Connections beside those with an answer under way or waiting: kept alive, or asking for something small."""

UNSENT_BYTES = 128 << 10
"""Kept by the kernel of what its reader has no room for. Else it takes megabytes and asks for more only when
a third of them is gone, so that a slow reader looks like one that takes nothing for many seconds."""

_LOOKS = 4


class Connection(H11Protocol):
    """Speaks HTTP/1.1 with one caller; see `connection`."""

    most = SPARE_CONNECTIONS
    stalled = 60.0
    _deadline: asyncio.TimerHandle | None = None
    _watch: asyncio.TimerHandle | None = None
    _resumed = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; refuse every request where there are too many connections."""
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        if len(self.connections) > self.most:
            self.app = _crowded
        self._mind(begins=True)
        self._look(None, 0)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        for timer in (self._deadline, self._watch):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come."""
        super().data_received(data)
        self._mind(begins=True)

    def on_response_complete(self) -> None:
        """Go on to the next request."""
        super().on_response_complete()
        self._mind(begins=False)

    def resume_writing(self) -> None:
        """Note that the reader has taken something."""
        self._resumed += 1
        super().resume_writing()

    def _mind(self, begins: bool) -> None:
        """Set the deadline while a caller owes the rest of what it began to send, and only then.

        Args:
            begins: a request begins where none is under way; else the connection is just kept alive.
        """
        if self.cycle is None or self.cycle.response_complete:
            # A body whose answer was ready before its end (no token, too large) is not waited for any more.
            owes = self.conn.their_state is h11.SEND_BODY or (begins and self.conn.their_state is h11.IDLE)
        else:
            owes = False
        if owes and self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._break_off)
        elif not owes and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _look(self, before: tuple[int, int] | None, same: int) -> None:
        """Break the connection off where its reader has taken nothing of what lies ready, so many times."""
        ready = self.transport.get_write_buffer_size()
        now = (self._resumed, ready)
        same = same + 1 if ready and now == before else 0
        if same >= _LOOKS:
            self._break_off()
            return
        self._watch = self.loop.call_later(self.stalled / _LOOKS, self._look, now, same)

    def _break_off(self) -> None:
        """End at once: closing would wait until all is taken, here and then in the kernel's buffers."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def connection_of(limits: LimitsConfig) -> type[Connection]:
    """Return the class of connections under limits."""

    class Limited(Connection):
        most = limits.streams + limits.queued + SPARE_CONNECTIONS
        stalled = limits.stalled

    return Limited


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    detail = "as many connections are open as this service keeps; close some, or ask again"
    await problem(Refused(503, "overloaded", detail, 2), {"Connection": "close"})(scope, receive, send)
