"""The application that a front runs: routes, documentation, page, behind its guard."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from fingan import __version__
from fingan.config import ServiceConfig
from fingan.errors import FinganError
from fingan.registry import Registry
from fingan.service.admission import Admission
from fingan.service.calls import MOST_TOGETHER, Backend
from fingan.service.catalogue import Catalogue
from fingan.service.front import Front, Jobs, caller_of, front_of
from fingan.service.guard import Guard
from fingan.service.identity import ANYBODY, Authority
from fingan.service.inference import router as inference
from fingan.service.page import page, policy
from fingan.service.patience import Patient
from fingan.service.problems import INTERNAL, Refused, problem, refusal
from fingan.service.quota import Quotas
from fingan.service.routes import router
from fingan.service.telemetry import Prometheus

log = logging.getLogger(__name__)
PRELOAD_SECONDS = 60.0
"""Longest pause between two attempts to load what is to be there from the start."""

_SHOWN = 200
_DESCRIPTION = """Rows of trained generators.

Every request but health needs `Authorization: Bearer …`. Errors are `application/problem+json`.
"""


def create_app(
    config: ServiceConfig,
    backend: Backend,
    authority: Authority | None,
    *,
    paced: bool,
    telemetry: Prometheus | None = None,
    jobs: Jobs | None = None,
) -> ASGIApp:
    """Return the application of one front.

    Args:
        config: of the service.
        backend: makes the rows.
        authority: knows callers; None lets everybody in.
        paced: whether the HTTP server in front holds a generator back for a slow reader.
        telemetry: counts; a new one where None.
        jobs: writes large samples; None for a service without jobs.
    """
    counts = telemetry or Prometheus()
    registry, backend = Registry(config.registry), Patient(backend, config.limits.call)
    catalogue = Catalogue(registry, backend, config.models, config.refresh, serving=counts.serving)
    most = config.replicas.most
    admission = Admission(config.limits, most * (config.replicas.threads + 1), most * MOST_TOGETHER)
    counts.watch(lambda: admission.streams, lambda: admission.waiting)
    front = Front(
        config=config,
        backend=backend,
        catalogue=catalogue,
        admission=admission,
        quotas=Quotas(config.limits.rows_per_minute),
        telemetry=counts,
        paced=paced,
        jobs=jobs,
    )
    return Guard(_routed(front), authority, config.limits, counts)


def _routed(front: Front) -> FastAPI:
    app = FastAPI(
        title="fingan",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.front = front
    app.include_router(router)
    app.include_router(inference)
    app.add_api_route("/", _page, methods=["GET"], include_in_schema=False)
    app.add_api_route("/metrics", _metrics, methods=["GET"], include_in_schema=False)
    app.add_exception_handler(FinganError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _unexpected)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load what is to be loaded at the start, without holding up the rest."""
    task = asyncio.create_task(_preload(app.state.front))
    yield
    task.cancel()


async def _preload(front: Front) -> None:
    """Load what is to be loaded at the start; what cannot be yet is tried again, less and less often."""
    left, pause = list(front.config.preload), front.config.refresh
    while left := [reference for reference in left if not await _is_loaded(front, reference)]:
        await asyncio.sleep(pause)
        pause = min(2 * pause, PRELOAD_SECONDS)


async def _is_loaded(front: Front, reference: str) -> bool:
    try:
        await front.catalogue.version(reference, ANYBODY)
    except Exception as error:
        # Whatever it is, it may pass: until all are there the service is not ready.
        log.error("model %r cannot be loaded at the start; it is tried again: %s", reference, error)
        return False
    return True


async def _page() -> Response:
    return HTMLResponse(page(), headers={"Content-Security-Policy": policy()})


async def _metrics(request: Request) -> Response:
    if caller_of(request).models is not None:
        detail = "the counts name all models, and your token is for some; use one without a list of models"
        raise Refused(404, "not_found", detail)
    return Response(front_of(request).telemetry.text(), media_type="text/plain; version=0.0.4")


async def _refused(request: Request, error: Exception) -> Response:
    refused = refusal(error) if isinstance(error, FinganError) else Refused(500, "internal_error", INTERNAL)
    if refused.status >= 500:
        log.error("a request failed", exc_info=error)
    return problem(refused)


async def _invalid(request: Request, error: Exception) -> Response:
    """Name the fields that do not fit, what they held and what they may hold."""
    texts = []
    for item in error.errors() if isinstance(error, RequestValidationError) else []:
        place = ".".join(str(part) for part in item["loc"] if part not in ("body", "path", "query"))
        got = repr(item.get("input"))
        shown = "" if isinstance(item.get("input"), dict | list) else f" (got {got[:_SHOWN]})"
        texts.append(f"{place[:_SHOWN] or 'body'}: {item['msg']}{shown}")
    return problem(Refused(422, "invalid_request", "; ".join(dict.fromkeys(texts[:10]))))


async def _plain(request: Request, error: Exception) -> Response:
    if isinstance(error.__cause__, FinganError):
        # A refusal from within the reading of a body, which FastAPI takes for a body that cannot be read.
        return await _refused(request, error.__cause__)
    status = error.status_code if isinstance(error, HTTPException) else 500
    details = {
        404: "there is no such route; /openapi.json lists them",
        405: "this route does not take that method; /openapi.json lists what it takes",
    }
    headers = dict((isinstance(error, HTTPException) and error.headers) or {})
    if status == 405:
        headers["Allow"] = ", ".join(_methods(request.url.path))
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "invalid_request")
    detail = details.get(status, "the body of the request cannot be read; send JSON in UTF-8")
    return problem(Refused(status, code, detail), headers)


def _methods(path: str) -> list[str]:
    """Return the methods of all routes that a path leads to; Starlette names those of the first."""
    routes = (route for route in [*router.routes, *inference.routes] if isinstance(route, Route))
    found = {m for route in routes if route.path_regex.match(path) for m in route.methods or ()}
    return sorted(found) or ["GET"]


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return problem(Refused(500, "internal_error", INTERNAL))
