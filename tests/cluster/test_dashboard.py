"""An open dashboard is refused: real servers that answer as dashboards with and without tokens do."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fingan.cluster import dashboard as dashboard_module
from fingan.cluster.address import Address
from fingan.cluster.dashboard import is_open, refuse_open_dashboard
from fingan.errors import ConfigError


@pytest.fixture(params=[200, 302, 401, 403, 404])
def dashboard(request) -> Iterator[tuple[str, int]]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            pages = {"/api/jobs/": request.param, "/login": 200}
            self.send_response(pages.get(self.path, 404))
            self.send_header("Location", "/login")
            self.end_headers()

        def log_message(self, *words: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", request.param
    server.shutdown()
    server.server_close()


def test_only_a_dashboard_that_lists_jobs_to_anyone_is_open(dashboard):
    url, status = dashboard
    assert is_open(url) is is_open(url + "/") is (status == 200)
    refuse_open_dashboard(url, allowed=True)
    if status == 200:
        with pytest.raises(ConfigError, match=r"without a token.*--allow-open-dashboard"):
            refuse_open_dashboard(url, allowed=False)
    else:
        refuse_open_dashboard(url, allowed=False)


def test_where_nothing_answers_nothing_is_open():
    assert not is_open("http://127.0.0.1:9")
    refuse_open_dashboard(None, allowed=False)


@contextmanager
def answering(*replies: bytes) -> Iterator[str]:
    """Give the URL of a server that says this to whoever asks, and without a reply keeps silent."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    connection.recv(4096)
                    for reply in replies:
                        connection.sendall(reply)
                        connection.close()
                    kept.append(connection)

        kept: list[socket.socket] = []
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for connection in kept:
            connection.close()


# What Ray's own port, of gRPC, says to HTTP/1.1; and a dashboard too busy to say anything.
@pytest.mark.parametrize(
    "replies", [[b"\x00\x00\x18\x04\x00\x00\x00\x00\x00\x00\x04\x00\x3f\xff\xff"], [b""], []]
)
def test_what_may_be_open_is_refused_unless_the_user_accepts_it(replies, monkeypatch):
    monkeypatch.setattr(dashboard_module, "_PATIENCE_SECONDS", 0.5)
    with answering(*replies) as url:
        with pytest.raises(
            ConfigError, match=rf"what answers at {url} asks for a token.*8265.*--allow-open-dashboard"
        ):
            refuse_open_dashboard(url, allowed=False)
        refuse_open_dashboard(url, allowed=True)


def test_a_certificate_that_is_not_trusted_does_not_pass_for_a_token():
    with answering(b"no TLS at all\n") as url, pytest.raises(ConfigError, match=r"SSLError.*8265"):
        is_open(url.replace("http://", "https://"))


@pytest.mark.parametrize("url", ["http://127.0.0.1:82x65", "http://[::1:8265"])
def test_what_is_no_url_is_named(url):
    with pytest.raises(ConfigError, match=rf"--address '{re.escape(url)}'.*as http://127\.0\.0\.1:8265"):
        is_open(url)


@pytest.mark.parametrize("text", ["nowhere", "host:port", ":1", "127.0.0.1:99999"])
def test_addresses_that_cannot_be_joined(text, monkeypatch):
    with pytest.raises(ConfigError):
        Address(text).knock()


def test_auto_means_the_address_that_the_job_was_given(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9"):
        Address("auto").knock()
    monkeypatch.delenv("RAY_ADDRESS")
    Address("auto").knock()
    assert Address("http://h:8265").is_dashboard
    assert not Address("h:6379").is_dashboard
