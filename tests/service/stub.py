"""A stand-in for the service, with as much of its interface as the page uses, on a real server."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from fingan.errors import FinganError
from fingan.generator import Generator
from fingan.generator.card import model_card
from fingan.service.formats import FORMATS, ParquetPieces
from fingan.service.marginals import marginals
from fingan.service.page import page, policy

TOKEN = "a-token-of-the-tests"
NAUGHTY = [
    '<img src=x onerror="document.title=1">',
    "__proto__",
    "constructor",
    "</script><b>",
    "a'b\"c",
    " ",
]
"""Names and values that a careless page would run, lose or confuse."""


@dataclass
class Stub:
    """What is served, and what the tests turn and look at.

    Attributes:
        generators: by name.
        busy: answers to come that are 429.
        asked: bodies of the requests for rows.
        accepted: whether the token still is.
    """

    generators: dict[str, Generator]
    busy: int = 0
    asked: list[Any] = field(default_factory=list)
    accepted: bool = True

    def app(self) -> Starlette:
        """Return the application."""
        routes = [
            Route("/", self.page),
            Route("/v1/models", self.models),
            Route("/v1/models/{model}", self.model),
            Route("/v1/models/{model}/card", self.card),
            Route("/v1/models/{model}/marginals", self.marginals),
            Route("/v1/models/{model}/samples", self.samples, methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _problem})

    def page(self, request: Request) -> Response:
        return Response(
            page(), media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": policy()}
        )

    def models(self, request: Request) -> Response:
        self._enter(request)
        created = "2026-01-02T03:04:05+00:00"
        common = {"latest": 1, "versions": [1], "kind": "table", "created": created, "problem": None}
        own = {"aliases": {"champion": 1}, "unreadable": {"torn": "the alias 'torn' cannot be read"}}
        told = [{"name": name, **own, **common} for name in self.generators]
        told.append({"name": "naughty", "aliases": {}, **common})
        broken = {"aliases": {}, **common, "problem": "no version of this model is sound"}
        return JSONResponse({"models": [*told, {"name": "broken", **broken}]})

    def model(self, request: Request) -> Response:
        name, generator = self._named(request)
        metrics: dict[str, Any] = {} if generator is None else dict(generator.metrics)
        columns = [
            {"name": c.name, "kind": c.kind, "type": c.type, "nullable": c.nullable}
            | {"conditionable": c.kind != "identifier"}
            for c in ([] if generator is None else generator.schema.columns)
        ]
        if generator is None:
            columns = [
                {"name": text, "kind": "category", "type": "string", "nullable": True, "conditionable": True}
                for text in NAUGHTY
            ]
        about = {"name": name, "version": 1, "aliases": [], "kind": "table", "digest": "0" * 64}
        about |= {"created": "2026-01-02T03:04:05+00:00", "fingan": "0.1.0", "candidates": 4}
        return JSONResponse(
            about | {"columns": columns, "metrics": metrics, "limits": {"rows": 10**8}, "problem": None}
        )

    def card(self, request: Request) -> Response:
        _, generator = self._named(request)
        text = (
            "# Card of <b>no one</b>\n\n" + "\n".join(NAUGHTY) if generator is None else model_card(generator)
        )
        return PlainTextResponse(text, media_type="text/markdown")

    def marginals(self, request: Request) -> Response:
        _, generator = self._named(request)
        if generator is not None:
            return JSONResponse(marginals(generator))
        size = len(NAUGHTY)
        one = {"kind": "category", "rows": 60, "values": NAUGHTY, "shares": [1 / size] * size}
        columns = [{"name": text, **one, "other": 0.0, "missing": 0.0} for text in NAUGHTY]
        return JSONResponse({"source": "", "columns": columns})

    async def samples(self, request: Request) -> Response:
        name, generator = self._named(request)
        body = await request.json()
        self.asked.append(body)
        if self.busy:
            self.busy -= 1
            raise HTTPException(
                429, "as many answers as the service gives are under way", {"Retry-After": "7"}
            )
        form = FORMATS[request.query_params["format"]]
        if generator is None:
            rows = [
                {text: NAUGHTY[(i + k) % len(NAUGHTY)] for k, text in enumerate(NAUGHTY)} for i in range(60)
            ]
            return Response(json.dumps({"columns": NAUGHTY, "rows": rows}), media_type="application/json")
        try:
            table = generator.sample(body["rows"], body["where"], body["seed"], body["offset"])
        except FinganError as error:
            raise HTTPException(422, str(error)) from error
        table = table.select(body["columns"] or table.column_names)
        headers = {"X-Model": f"{name}:1", "X-Seed": str(body["seed"]), "X-Candidates": "1"}
        return Response(_written(table, form.name), media_type=form.media_type, headers=headers)

    def _enter(self, request: Request) -> None:
        if not self.accepted or request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise HTTPException(401, "give a token")

    def _named(self, request: Request) -> tuple[str, Generator | None]:
        self._enter(request)
        name = request.path_params["model"].partition(":")[0]
        if name == "broken":
            raise HTTPException(503, "this version is damaged and is not served", {"Retry-After": "30"})
        return name, self.generators.get(name)


def _problem(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    body = {"type": "about:blank", "title": "", "status": error.status_code, "detail": error.detail}
    return JSONResponse(body, error.status_code, error.headers, media_type="application/problem+json")


def _written(table: pa.Table, name: str) -> bytes:
    form, batch = FORMATS[name], table.combine_chunks().to_batches()[0]
    if form.pieces is None:
        writer = ParquetPieces(table.schema)
        return writer.piece(batch) + writer.tail()
    return form.head(table.schema) + form.pieces(batch) + form.tail()


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an ASGI application on a free port of loopback; yield its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 10
    while not server.started and time.monotonic() < end:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)
