"""The gate in front of every route: what it counts, notes and sends on."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from pathlib import Path

import pytest
import requests
from starlette.types import Message, Receive, Scope, Send

from fingan.config import LimitsConfig, ServiceConfig
from fingan.registry import Registry
from fingan.service.app import create_app
from fingan.service.guard import SLICE_BYTES, Guard, Record, _Answer
from fingan.service.sampler import Sampler
from fingan.service.telemetry import Prometheus
from fingan.service.workbench import Workbench
from tests.service.services import Service, answering, service


def test_methods_that_callers_make_up_are_neither_kept_nor_written_out(
    registry: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody needs a token to send them, and a label that was counted once is kept for good."""
    counts = Prometheus()
    with service(registry, telemetry=counts) as found, caplog.at_level(logging.INFO, "fingan.audit"):
        for number in range(30):
            method = f"M{number}" + "A" * 20_000
            assert requests.request(method, f"{found.url}/v1/models", timeout=20).status_code == 401
        assert requests.put(f"{found.url}/v1/models", timeout=20).status_code == 401
    text = counts.text().decode()
    assert len(text) < 20_000
    assert 'fingan_requests_total{method="other",route="none",status="401"} 30.0' in text
    assert 'fingan_requests_total{method="PUT",route="none",status="401"} 1.0' in text
    lines = [record.getMessage() for record in caplog.records if record.name == "fingan.audit"]
    assert len(lines) == 31
    assert all(len(line) < 500 for line in lines)
    assert json.loads(lines[0])["method"] == "M0" + "A" * 18


BEGIN: Message = {"type": "http.response.start", "status": 200, "headers": []}
PIECE = bytes(range(256)) * 2000


def test_a_reader_has_its_patience_for_every_slice_of_a_piece() -> None:
    """What the server takes slowly but steadily is not broken off, however long the whole piece takes."""

    async def test() -> None:
        came: list[bytes] = []

        async def send(message: Message) -> None:
            body = message.get("body", b"")
            await asyncio.sleep(len(body) / 300_000)
            came.append(body)
            assert message.get("more_body", True) is (len(b"".join(came)) < 2 * len(PIECE))

        answer, began = _Answer(send, Record("request1", "POST", "/"), 0.6), time.monotonic()
        await answer(BEGIN)
        await answer({"type": "http.response.body", "body": PIECE, "more_body": True})
        assert time.monotonic() - began > 2 * 0.6
        assert not answer.ended
        await answer({"type": "http.response.body", "body": PIECE})
        assert answer.ended
        assert b"".join(came) == 2 * PIECE
        assert answer.record.sent == 2 * len(PIECE)
        assert max(map(len, came)) == SLICE_BYTES

    asyncio.run(test())


def test_a_server_that_takes_no_more_ends_an_answer() -> None:
    async def test() -> None:
        taken = 0

        async def send(message: Message) -> None:
            nonlocal taken
            taken += len(message.get("body", b""))
            await asyncio.sleep(0 if taken < len(PIECE) // 2 else 60)

        answer, began = _Answer(send, Record("request1", "POST", "/"), 0.3), time.monotonic()
        await answer(BEGIN)
        with pytest.raises(TimeoutError):
            await answer({"type": "http.response.body", "body": PIECE})
        assert time.monotonic() - began < 5
        assert not answer.ended

    asyncio.run(test())


def test_an_answer_without_a_body_ends_too() -> None:
    async def test() -> None:
        came: list[Message] = []

        async def send(message: Message) -> None:
            came.append(message)

        answer = _Answer(send, Record("request1", "GET", "/"), 5.0)
        await answer(BEGIN)
        await answer({"type": "http.response.body"})
        assert answer.ended
        assert came[1:] == [{"type": "http.response.body", "body": b"", "more_body": False}]

    asyncio.run(test())


LOCAL = ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:80", "127.1.2.3:8000", "[::1]", "[::1]:8000"]
FOREIGN = ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil", "127.0.0.1:80@x"]
FOREIGN += ["203.0.113.7", "0.0.0.0:8000", "[::]", "", "127.0.0", "xlocalhost"]


def test_without_tokens_only_who_asks_this_machine_by_its_own_name_is_answered(registry: Path) -> None:
    """A page from elsewhere may lead its own name here; its requests carry that name."""
    bench = Workbench(Sampler(Registry(registry)))
    app = create_app(ServiceConfig(registry=str(registry)), bench, None, paced=True)
    with answering(app) as url:
        assert requests.get(f"{url}/v1/models", timeout=20).status_code == 200
        for path in ("/v1/models", "/", "/v2/health/live"):
            for host, status in [(host, 200) for host in LOCAL] + [(host, 421) for host in FOREIGN]:
                answer = requests.get(url + path, headers={"Host": host}, timeout=20)
                assert answer.status_code == status, (path, host)
        assert "'evil.example' is not this machine" in _told(url, "evil.example")
        assert len(_told(url, "e" * 10_000)) < 500
    bench.close()


def _told(url: str, host: str) -> str:
    return str(requests.get(url, headers={"Host": host}, timeout=20).json()["detail"])


def test_with_tokens_any_name_of_the_service_will_do(running: Service) -> None:
    assert running.ask("GET", "/v1/models", headers={"Host": "fingan.example.com"}).status_code == 200


@pytest.mark.parametrize("length", ["9" * 5000, "9" * 19, "1048577", "-1", "x"])
def test_a_body_that_is_announced_too_long_is_refused_before_it_comes(length: str) -> None:
    """Python itself reads no number of more than 4,300 digits."""

    async def test() -> None:
        came: list[Message] = []

        async def receive() -> Message:
            raise AssertionError("nobody waits for the body")

        async def send(message: Message) -> None:
            came.append(message)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise AssertionError("it is not even begun")

        scope = {"type": "http", "method": "POST", "path": "/v1/jobs", "query_string": b""}
        scope["headers"] = [(b"content-length", length.encode())]
        await Guard(app, None, LimitsConfig(), Prometheus())(scope, receive, send)
        assert came[0]["status"] == 413

    asyncio.run(test())
