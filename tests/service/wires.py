"""Raw sockets to a service: callers that do not keep to HTTP, or to its pace."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from urllib.parse import urlparse

import psutil

from tests.service.services import TOKEN


def connect(url: str, receive_buffer: int | None = None) -> socket.socket:
    place = urlparse(url)
    made = socket.socket()
    if receive_buffer is not None:
        # Before it is connected: else the kernel has told of a larger one.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.settimeout(20)
    made.connect((str(place.hostname), int(place.port or 0)))
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def asking(rows: int, token: str = TOKEN, model: str = "tiny") -> bytes:
    """Return a request for rows."""
    body = json.dumps({"rows": rows}).encode()
    head = f"POST /v1/models/{model}/samples HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def rest(sock: socket.socket) -> bytes:
    """Read until the other side ends or breaks off."""
    got = b""
    try:
        while part := sock.recv(1 << 16):
            got += part
    except ConnectionError:
        pass
    return got


def closes(sock: socket.socket, trickle: bytes, seconds: float, every: float = 0.1) -> float:
    """Send one byte after the other; return the seconds after which the other side has closed."""
    sock.settimeout(every)
    began, place = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        try:
            sock.sendall(trickle[place % len(trickle) :][:1])
            place += 1
            if sock.recv(1 << 16) == b"":
                return time.monotonic() - began
        except TimeoutError:
            continue
        except ConnectionError:
            return time.monotonic() - began
    raise AssertionError(f"the connection was still open after {seconds} s")


def state(ends: tuple[object, object]) -> str:
    """Return the state of the service's end of a connection, of which a caller has these `ends`."""
    for found in psutil.net_connections("tcp"):
        if (found.raddr, found.laddr) == ends:
            return str(found.status)
    return "NONE"


def until(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.05)
