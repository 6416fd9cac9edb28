"""The gate in front of every route: identity, size, time, headers and the audit log.

Refusal is the rule: a route answers without a token only if it is named in `PUBLIC`, so a route that
is added later is closed until somebody opens it. Pure ASGI, because an answer is a stream and must
not be gathered on its way.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fingan.config import LimitsConfig
from fingan.errors import FinganError
from fingan.service.audit import LOGGER
from fingan.service.identity import ANYBODY, Authority, Caller
from fingan.service.problems import INTERNAL, Refused, problem, refusal
from fingan.service.telemetry import Telemetry, known_method

PUBLIC = frozenset({"/", "/v2/health/live", "/v2/health/ready"})
"""Answer without a token: the page, which asks for one and holds no data, and health."""

HEAD_BYTES = 32 << 10
"""Address and headers of a request."""

BODY_SECONDS = 30.0
"""A request's body has come by then."""

SLICE_BYTES = 64 << 10
"""Of an answer handed to the server at a time: a reader has `limits.stalled` for each."""

METHOD_LENGTH = 20
"""Of a method in the audit log: a caller may send one as long as all headers."""

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{8,64}$")
_LOCAL_HOST = re.compile(rb"(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)
_DIGITS = 20
log = logging.getLogger(__name__)
audit_log = logging.getLogger(LOGGER)


@dataclass
class Record:
    """What the audit log says of a request; routes add to `facts`. Never a token, never a row."""

    id: str
    method: str
    path: str
    caller: str = "-"
    status: int = 0
    sent: int = 0
    facts: dict[str, Any] = field(default_factory=dict)


class Guard:
    """Wraps an application.

    Args:
        app: what it guards.
        authority: knows callers; None lets everybody in.
        limits: of a request.
        telemetry: counts requests.
    """

    def __init__(
        self, app: ASGIApp, authority: Authority | None, limits: LimitsConfig, telemetry: Telemetry
    ) -> None:
        self._app, self._authority, self._limits, self._telemetry = app, authority, limits, telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"the service does not speak {scope['type']}")
        headers = {name.lower(): value for name, value in scope["headers"]}
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        known = given if _REQUEST_ID.match(given) else uuid.uuid4().hex
        record = Record(known, scope["method"][:METHOD_LENGTH], scope["path"][:200])
        answer = _Answer(send, record, self._limits.stalled)
        started = time.monotonic()
        try:
            _check_head(scope)
            caller = await self._admit(scope, headers)
            record.caller = caller.name
            scope.setdefault("state", {}).update(caller=caller, record=record)
            body = _Body(receive, self._limits.body_bytes, headers.get(b"content-length"))
            await self._app(scope, body, answer)
        except asyncio.CancelledError:
            record.facts["broken_off"] = True
            raise
        except Exception as error:
            await self._fail(error, scope, receive, answer)
        finally:
            seconds = time.monotonic() - started
            self._telemetry.request(known_method(record.method), _route(scope), record.status, seconds)
            _audit(record, seconds)

    async def _admit(self, scope: Scope, headers: Mapping[bytes, bytes]) -> Caller:
        if self._authority is None:
            _check_host(headers.get(b"host"))
        if self._authority is None or (scope["path"] in PUBLIC and scope["method"] in ("GET", "HEAD")):
            return ANYBODY
        scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        caller = await self._authority.caller(token.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            raise Refused(
                401, "unauthorized", "this needs a token that is known: send Authorization: Bearer …"
            )
        return caller

    async def _fail(self, error: Exception, scope: Scope, receive: Receive, answer: _Answer) -> None:
        refused = (
            refusal(error) if isinstance(error, FinganError) else Refused(500, "internal_error", INTERNAL)
        )
        if refused.status >= 500:
            log.error("request %s failed", answer.record.id, exc_info=error)
        if answer.ended:
            return
        if answer.begun:
            # Too late to say so: the connection is broken off, which no reader takes for an end.
            answer.record.facts["broken_off"] = True
            raise _BrokenOff(f"request {answer.record.id} failed after its answer had begun") from error
        await problem(refused)(scope, receive, answer)


class _BrokenOff(Exception):
    """Makes the server close the connection without the end of the body."""


class _Answer:
    """Sends an answer on: adds headers, counts bytes, and ends it where its reader takes nothing."""

    def __init__(self, send: Send, record: Record, patience: float) -> None:
        self._send, self.record, self._patience = send, record, patience
        self.begun = self.ended = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self.record.status = message["status"]
            own = {name.lower() for name, _ in message.get("headers", [])}
            more = [(n.encode(), v.encode()) for n, v in HEADERS.items() if n.encode() not in own]
            identity = (b"x-request-id", self.record.id.encode())
            message = {**message, "headers": [*message.get("headers", []), *more, identity]}
        elif message["type"] == "http.response.body":
            await self._body(message.get("body", b""), message.get("more_body", False))
            return
        await self._pass(message)

    async def _body(self, content: bytes, more: bool) -> None:
        """Send a piece slice by slice: who reads slowly takes nothing of most, and yet is not stalled."""
        self.record.sent += len(content)
        for start in range(0, max(1, len(content)), SLICE_BYTES):
            end = start + SLICE_BYTES
            goes_on = more or end < len(content)
            await self._pass({"type": "http.response.body", "body": content[start:end], "more_body": goes_on})
        self.ended = not more

    async def _pass(self, message: Message) -> None:
        async with asyncio.timeout(self._patience):
            await self._send(message)


class _Body:
    """Hands a request's body on, up to a size, and for so long from when it is first asked for."""

    def __init__(self, receive: Receive, most: int, announced: bytes | None) -> None:
        self._receive, self._most, self._come = receive, most, 0
        self._done = False
        self._until: float | None = None
        if announced is not None and not _is_at_most(announced, most):
            raise self._too_large()

    def _too_large(self) -> Refused:
        return Refused(413, "too_large", f"the body of a request may have {self._most:,} bytes; send less")

    async def __call__(self) -> Message:
        if self._done:
            return await self._receive()
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + BODY_SECONDS
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError as error:
            raise Refused(
                408, "too_slow", "the body of the request did not come in time; send it again"
            ) from error
        if message["type"] == "http.request":
            self._come += len(message.get("body", b""))
            self._done = not message.get("more_body", False)
            if self._come > self._most:
                raise self._too_large()
        return message


def _is_at_most(announced: bytes, most: int) -> bool:
    """Tell whether a length is a number that is not too large; Python reads none of many digits."""
    return announced.isdigit() and len(announced) <= _DIGITS and int(announced) <= most


def _check_head(scope: Scope) -> None:
    """Refuse long headers that came in one piece, which no server looks at again."""
    size = len(scope.get("raw_path") or b"") + len(scope.get("query_string", b""))
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > HEAD_BYTES:
        raise Refused(
            431, "headers_too_large", f"address and headers may have {HEAD_BYTES:,} bytes; send less"
        )


def _check_host(host: bytes | None) -> None:
    """Refuse a page from elsewhere whose name was made to lead here, where whoever reaches us is let in."""
    if host is not None and not _LOCAL_HOST.fullmatch(host):
        detail = (
            f"Host: {host[:80].decode('latin-1')!r} is not this machine; a service without tokens answers "
            "for localhost, 127.0.0.0/8 and [::1] only"
        )
        raise Refused(421, "wrong_host", detail)


def _route(scope: Scope) -> str:
    """Return the route's pattern: bounded in number, and free of what callers write."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))


def _audit(record: Record, seconds: float) -> None:
    entry = {
        "time": time.time(),
        "request": record.id,
        "caller": record.caller,
        "method": record.method,
        "path": record.path,
        "status": record.status,
        "bytes": record.sent,
        "seconds": round(seconds, 4),
        **record.facts,
    }
    audit_log.info("%s", json.dumps(entry, ensure_ascii=True, default=str))
