"""A service over real HTTP, in a thread of the test's process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests
import uvicorn
from starlette.types import ASGIApp

from fingan.config import LimitsConfig, ServiceConfig
from fingan.generator import Generator
from fingan.registry import Registry
from fingan.service.app import create_app
from fingan.service.calls import Backend
from fingan.service.front import Jobs
from fingan.service.identity import Authority, Caller, OneToken
from fingan.service.local import settings
from fingan.service.sampler import Sampler
from fingan.service.telemetry import Prometheus
from fingan.service.workbench import Workbench

TOKEN = "fingan_test-token-of-the-tests"


@dataclass(frozen=True)
class Service:
    """Where it answers, and how to ask."""

    url: str

    def ask(self, method: str, path: str, **wanted: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "identity"}
        headers |= wanted.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=30, **wanted)

    def rows(self, model: str, form: str = "arrow", **body: Any) -> requests.Response:
        return self.ask("POST", f"/v1/models/{model}/samples?format={form}", json={"rows": 10, **body})


def publish(registry: Path, name: str, generator: Generator, folder: Path, **metrics: Any) -> int:
    """Publish a generator as the next version of a model; `metrics` make its content another."""
    place = folder / f"bundle-{len(list(folder.iterdir()))}"
    replace(generator, metrics={**generator.metrics, **metrics}).save(place)
    return Registry(registry).publish(name, place)


@contextmanager
def answering(app: ASGIApp, limits: LimitsConfig | None = None) -> Iterator[str]:
    """Run an application on a free port of loopback; give its URL."""
    server = uvicorn.Server(settings(app, "127.0.0.1", 0, limits or LimitsConfig()))
    ready = threading.Event()
    startup = server.startup

    async def started(*arguments: Any, **named: Any) -> None:
        await startup(*arguments, **named)
        ready.set()

    server.startup = started  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        assert ready.wait(20), "the server did not start"
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(40)
        assert not thread.is_alive()


@contextmanager
def service(
    registry: Path,
    *,
    authority: Authority | None = None,
    backend: Backend | None = None,
    jobs: Jobs | None = None,
    paced: bool = True,
    telemetry: Prometheus | None = None,
    **values: Any,
) -> Iterator[Service]:
    """Run the service of a registry with one token, `TOKEN`, that may do everything."""
    config = ServiceConfig.model_validate({"registry": str(registry), "refresh": 0.1, **values})
    counts = telemetry or Prometheus()
    bench = None
    if backend is None:
        backend = bench = Workbench(Sampler(Registry(registry)), config.replicas.threads, counts.together)
    known = authority or OneToken(TOKEN, Caller("tester"))
    app = create_app(config, backend, known, paced=paced, telemetry=counts, jobs=jobs)
    try:
        with answering(app, config.limits) as url:
            yield Service(url)
    finally:
        if bench is not None:
            bench.close()
