"""Connecting to Ray, as far as it can be seen without a running one."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator

import pytest

from fingan.cluster.address import Address
from fingan.cluster.session import _start, join
from fingan.config import ComputeConfig
from fingan.errors import FinganError


@pytest.fixture
def listening() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Address(f"127.0.0.1:{server.getsockname()[1]}")


def _own(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("connect", [lambda _: _start(ComputeConfig(), 0.0), join])
@pytest.mark.parametrize("handler", [_own, signal.SIG_IGN])
def test_ray_does_not_change_what_a_request_to_terminate_does(
    connect: Callable[[Address], None], handler: signal.Handlers, listening: Address, monkeypatch
):
    # Read by Ray after it has put its own handler in place, and before it starts anything.
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "torn")
    before = signal.signal(signal.SIGTERM, handler)
    try:
        with pytest.raises(FinganError, match="Expecting value"):
            connect(listening)
        assert signal.getsignal(signal.SIGTERM) is handler
    finally:
        signal.signal(signal.SIGTERM, before)
