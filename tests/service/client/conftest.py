"""A server, and a client that asks it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from fingan.client import Client, sampling
from tests.service.client.shop import (
    PART,
    TOKEN,
    Shop,
)


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, dict[str, Shop]]]:
    """A server that asks the shop of the test at hand."""
    current: dict[str, Shop] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await current["shop"](scope, receive, send)

    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    running = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(running.serve()))
    thread.start()
    try:
        while not running.started:
            assert thread.is_alive()
            thread.join(0.005)
        yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}", current
    finally:
        running.should_exit = True
        thread.join()
        loop.close()


@pytest.fixture
def shop(server: tuple[str, dict[str, Shop]], monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setattr(sampling, "PART_ROWS", PART)
    monkeypatch.delenv("FINGAN_TOKEN", raising=False)
    url, current = server
    current["shop"] = found = Shop()
    found.url = url
    return found


@pytest.fixture
def slept() -> list[float]:
    """How long the client waited."""
    return []


@pytest.fixture
def client(shop: Shop, slept: list[float]) -> Client:
    return Client(shop.url, TOKEN, timeout=5.0, attempts=4, sleep=slept.append)
