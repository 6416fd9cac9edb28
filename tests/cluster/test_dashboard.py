"""An open dashboard is refused: real servers that answer as dashboards with and without tokens do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fingan.cluster.address import Address
from fingan.cluster.dashboard import is_open, refuse_open_dashboard
from fingan.errors import ConfigError


@pytest.fixture(params=[200, 401, 403, 404])
def dashboard(request) -> Iterator[tuple[str, int]]:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param if self.path == "/api/jobs/" else 404)
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
