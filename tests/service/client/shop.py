"""A service of numbered rows that breaks off, refuses, lies and forgets."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.csv

from fingan.client import Client
from fingan.service.compression import COMPRESSORS
from fingan.service.formats import FORMATS

TOKEN = "fingan_the-token-of-the-tests"
SCHEMA = pa.schema([("row", pa.int64()), ("fee", pa.decimal128(18, 2)), ("text", pa.string())])
BATCH = 100
PART = 1000


def rows(first: int, last: int, version: int = 1) -> pa.Table:
    """Return rows of a version, as the service has them."""
    numbers = range(first, last)
    fees = [Decimal(n) / 100 for n in numbers]
    return pa.table([numbers, fees, [f"v{version}-{n}" for n in numbers]], schema=SCHEMA)


@dataclass
class Fault:
    """What becomes of one request.

    Attributes:
        status, headers, content: of another answer than the rows.
        batches: so many come, and then no more; None for all.
        cut: bytes that the last of them lacks.
        how: `broken` breaks the connection there, `ended` ends the body, `silent` sends nothing more.
        surplus: rows more than were asked for.
        unanswered: the connection is broken before a whole answer.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    batches: int | None = None
    cut: int = 0
    how: str = "broken"
    surplus: int = 0
    unanswered: bool = False


def refusal(status: int, retry_after: int | None = None, code: str = "x", detail: str = "not now") -> Fault:
    body = {"type": "about:blank", "title": "t", "status": status, "detail": detail, "code": code}
    more = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Fault(status, {"content-type": "application/problem+json", **more}, json.dumps(body).encode())


class Breaking(Exception):
    """Makes the server break the connection."""


@dataclass
class Request:
    """What the server was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Shop:
    """A service of numbered rows.

    Attributes:
        version, digest: that answer for `tiny`.
        faults: of the requests to come, one each; None for none.
        asked: the requests so far.
        plain: other answers, by method and path.
    """

    def __init__(self) -> None:
        self.url = ""
        self.version, self.digest = 1, "d1"
        self.faults: deque[Fault | None] = deque()
        self.asked: list[Request] = []
        self.plain: dict[str, Any] = {}

    @property
    def places(self) -> list[tuple[str, int, int]]:
        """Model, first row and rows of the requests for rows."""
        found = [request for request in self.asked if request.path.endswith("/samples")]
        return [(r.path.split("/")[3], r.body["offset"], r.body["rows"]) for r in found]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        raw = scope["raw_path"].decode()
        request = Request(scope["method"], raw, headers, json.loads(body) if body else None)
        self.asked.append(request)
        fault = self.faults.popleft() if self.faults else None
        if fault is not None and fault.unanswered:
            await _begin(send, 200, {"content-length": "100"})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            raise Breaking
        if fault is not None and fault.content is not None:
            await _begin(send, fault.status, fault.headers)
            await send({"type": "http.response.body", "body": fault.content})
        elif raw.endswith("/samples"):
            await self._samples(request, fault or Fault(), send, receive)
        else:
            found = self.plain.get(f"{request.method} {raw}")
            await _begin(send, 404 if found is None else 200, {"content-type": "application/json"})
            content = found if isinstance(found, bytes) else json.dumps(found or {}).encode()
            await send({"type": "http.response.body", "body": content})

    async def _samples(self, request: Request, fault: Fault, send: Any, receive: Any) -> None:
        name, _, selector = request.path.split("/")[3].partition(":")
        version = int(selector) if selector.isdecimal() else self.version
        first, last = request.body["offset"], request.body["offset"] + request.body["rows"] + fault.surplus
        encoding = request.headers["accept-encoding"]
        work = COMPRESSORS[encoding]() if encoding in COMPRESSORS else None
        headers = {"x-model": f"{name}:{version}", "x-digest": self.digest, **fault.headers}
        if work is not None:
            headers["content-encoding"] = encoding
        await _begin(send, 200, {name: value for name, value in headers.items() if value})
        form, pieces = FORMATS["arrow"], [FORMATS["arrow"].head(SCHEMA)]
        assert form.pieces is not None
        for place in range(first, last, BATCH):
            pieces += map(form.pieces, rows(place, min(last, place + BATCH), version).to_batches())
        if fault.batches is not None:
            pieces = pieces[: fault.batches + 1]
        else:
            pieces.append(form.tail())
        pieces = [*map(work.piece, pieces), work.tail() if fault.batches is None else b""] if work else pieces
        content = b"".join(pieces)
        await send(
            {"type": "http.response.body", "body": content[: len(content) - fault.cut], "more_body": True}
        )
        if fault.batches is not None and fault.how == "broken":
            raise Breaking
        if fault.batches is not None and fault.how == "silent":
            while (await receive())["type"] != "http.disconnect":
                pass
        await send({"type": "http.response.body"})


async def _begin(send: Any, status: int, headers: dict[str, str]) -> None:
    wire = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": wire})


def other(shop: Shop, slept: list[float], **options: Any) -> Client:
    return Client(shop.url, TOKEN, **{"timeout": 5.0, "attempts": 4, "sleep": slept.append, **options})
