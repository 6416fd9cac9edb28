"""Connections that send too much, too slowly or take nothing, over real sockets."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil
import pytest

from fingan.service import connection, guard
from tests.service.services import TOKEN, Service, service
from tests.service.wires import asking, closes, connect, rest, state, until

HEAD = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(guard, "BODY_SECONDS", 1.0)


def test_headers_without_end_are_refused_and_not_kept(running: Service) -> None:
    before = psutil.Process().memory_info().rss
    for line in (b"X-More: " + b"y" * 1000 + b"\r\n", b"z" * 1000):
        with connect(running.url) as sock:
            sock.sendall(HEAD)
            sent = 0
            try:
                while sent < 64 << 20:
                    sock.sendall(line)
                    sent += len(line)
            except ConnectionError:
                pass
            assert sent < 16 << 20, "the socket took far more than its buffers hold"
            got = rest(sock)
            assert got == b"" or got.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert psutil.Process().memory_info().rss - before < 16 << 20


def test_headers_that_are_a_little_too_long_are_told_so(running: Service) -> None:
    with connect(running.url) as sock:
        sock.sendall(HEAD + b"X-More: " + b"y" * (guard.HEAD_BYTES + 1))
        assert rest(sock).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    with connect(running.url) as sock:
        # Whole, and perhaps in one piece, of which the server takes more.
        sock.sendall(HEAD + b"X-More: " + b"y" * 2 * guard.HEAD_BYTES + b"\r\nConnection: close\r\n\r\n")
        assert rest(sock).startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    with connect(running.url) as sock:
        sock.sendall(HEAD + b"X-More: " + b"y" * (guard.HEAD_BYTES // 2) + b"\r\nConnection: close\r\n\r\n")
        assert rest(sock).startswith(b"HTTP/1.1 200")


@pytest.mark.usefixtures("hasty")
def test_headers_that_trickle_are_closed(registry: Path) -> None:
    with service(registry) as found:
        with connect(found.url) as sock:
            assert closes(sock, HEAD + b"X-More: " + b"y" * 1000, 10) < 5
        with connect(found.url) as silent:
            assert rest(silent) == b""
        with connect(found.url) as sock:
            # A second request on a connection that is kept alive has no more time than the first.
            sock.sendall(HEAD + b"\r\n")
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200")
            time.sleep(1.5)
            sock.sendall(HEAD + b"\r\n")
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200"), "being idle is no offence"
            assert closes(sock, HEAD + b"X-More: " + b"y" * 1000, 10) < 5


@pytest.mark.usefixtures("hasty")
def test_a_body_that_trickles_has_one_deadline(registry: Path) -> None:
    head = asking(5).partition(b"{")[0].replace(b"Content-Length: 11", b"Content-Length: 1000")
    assert b"1000" in head
    with service(registry) as found, connect(found.url) as sock:
        sock.sendall(head)
        began, got = time.monotonic(), b""
        sock.settimeout(0.1)
        while not got and time.monotonic() - began < 10:
            sock.sendall(b" ")
            try:
                got = sock.recv(1 << 16)
            except TimeoutError:
                continue
        assert got.startswith(b"HTTP/1.1 408")
        assert time.monotonic() - began < 3
        assert closes(sock, b" ", 10) < 5, "what is trickled after the answer keeps nothing open"


@pytest.mark.usefixtures("hasty")
def test_who_is_refused_cannot_go_on_sending_a_body(registry: Path) -> None:
    with service(registry) as found, connect(found.url) as sock:
        head = asking(5, token="nobody").partition(b"{")[0]
        sock.sendall(head.replace(b"Content-Length: 11", b"Content-Length: 1000"))
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 401")
        assert closes(sock, b" ", 10) < 5


def test_the_connection_of_a_reader_that_takes_nothing_is_broken_off(registry: Path) -> None:
    with service(registry, limits={"stalled": 1.0}) as found, connect(found.url) as slow:
        slow.sendall(asking(50_000_000))
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        ends = (slow.getsockname(), slow.getpeername())
        assert state(ends) == "ESTABLISHED"
        until(lambda: state(ends) == "NONE", 10)
        until(lambda: "fingan_streams 0.0" in found.ask("GET", "/metrics").text)


def test_a_reader_that_is_slow_but_reads_is_let_finish(registry: Path) -> None:
    with service(registry, limits={"stalled": 2.0}) as found, connect(found.url) as slow:
        slow.sendall(asking(60_000).replace(b"Host: x", b"Host: x\r\nConnection: close"))
        got = b""
        while part := slow.recv(200_000):
            got += part
            time.sleep(0.05)
        assert got.endswith(b"0\r\n\r\n")


def test_a_reader_that_is_slower_than_a_piece_is_let_finish(registry: Path) -> None:
    """One piece of this answer, and what the kernel keeps of it, takes it longer than it may stall."""
    with (
        service(registry, limits={"stalled": 2.0}) as found,
        connect(found.url, receive_buffer=1 << 16) as slow,
    ):
        asked = asking(30_000).replace(b"/samples", b"/samples?format=json")
        slow.sendall(asked.replace(b"Host: x", b"Host: x\r\nConnection: close"))
        got, began = b"", time.monotonic()
        while part := slow.recv(20_000):
            got += part
            time.sleep(0.05)
        assert time.monotonic() - began > 4.0, "slow enough to tell"
        assert got.endswith(b"0\r\n\r\n")


def test_more_connections_than_are_kept_are_refused_with_a_problem(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SPARE_CONNECTIONS", 3)
    with service(registry, limits={"streams": 1, "queued": 0}) as found:
        kept = [connect(found.url) for _ in range(4)]
        try:
            for sock in kept:
                sock.sendall(HEAD + b"\r\n")
                assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200")
            with connect(found.url) as more:
                more.sendall(HEAD + b"\r\n")
                head, _, body = rest(more).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503")
            assert b"retry-after: 2" in head.lower()
            assert json.loads(body)["code"] == "overloaded"
        finally:
            for sock in kept:
                sock.close()
        until(lambda: _answers(found))


def _answers(found: Service) -> bool:
    return (
        found.ask("GET", "/v2/health/live", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    )
