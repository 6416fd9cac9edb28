"""A service over real HTTP, in a thread of the test's process."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

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

    def asks(self, model: str, **body: Any) -> socket.socket:
        """Ask for rows, and return the connection without waiting for the answer."""
        place = urlparse(self.url)
        content = json.dumps({"rows": 10, **body}).encode()
        head = f"POST /v1/models/{model}/samples HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        opened = socket.create_connection((str(place.hostname), int(place.port or 0)))
        opened.sendall(head.encode() + content)
        return opened

    def gauge(self, name: str) -> float:
        """Return what a front counts."""
        found = re.search(rf"^{name} ([0-9.e+]+)$", self.ask("GET", "/metrics").text, re.MULTILINE)
        assert found is not None, name
        return float(found[1])

    def rows(self, model: str, form: str = "arrow", **body: Any) -> requests.Response:
        return self.ask("POST", f"/v1/models/{model}/samples?format={form}", json={"rows": 10, **body})


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something to hold."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.01)


@contextmanager
def counted(registry: Path) -> Iterator[tuple[Workbench, list[int]]]:
    """Give a backend, and the list in which it notes the calls of every forward pass."""
    passes: list[int] = []
    bench = Workbench(Sampler(Registry(registry)), observe=passes.append)
    try:
        yield bench, passes
    finally:
        bench.close()


@contextmanager
def busy(pool: ThreadPoolExecutor) -> Iterator[None]:
    """Keep a thread of a pool at work."""
    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(30.0)

    pool.submit(work)
    assert begun.wait(20.0)
    try:
        yield
    finally:
        go.set()


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
