"""Refusals and lost answers: which are errors at once, and which are tried again."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from fingan.client import Client, ServiceError, ServiceNotFound, ServiceUserError
from fingan.errors import NotFound, UserError
from tests.service.client.shop import (
    TOKEN,
    Fault,
    Shop,
    refusal,
    rows,
)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_passes_is_tried_again(client: Client, shop: Shop, slept: list[float], status: int) -> None:
    shop.faults = deque([refusal(status)] * 3)
    assert client.table("tiny", 10).equals(rows(0, 10))
    assert len(slept) == 3


def test_it_comes_back_when_it_is_told_to(client: Client, shop: Shop, slept: list[float]) -> None:
    shop.faults = deque([refusal(429, 7), refusal(503, 300), refusal(429, 0)])
    client.table("tiny", 10)
    assert [seconds >= asked for seconds, asked in zip(slept, (7, 300, 0), strict=True)] == [True] * 3
    assert all(seconds <= 1.2 * asked for seconds, asked in zip(slept, (7, 300, 0), strict=True))
    assert slept[:2] != [7, 300], "all who were refused come back at the same time"


@pytest.mark.parametrize("text", ["Fri, 31 Dec 1999 23:59:59 GMT", "soon", "-5", "1.5", ""])
def test_a_time_that_it_cannot_read_is_no_reason_to_fail(
    client: Client, shop: Shop, slept: list[float], text: str
) -> None:
    shop.faults = deque([Fault(429, {"retry-after": text}, b"busy")])
    client.table("tiny", 10)
    assert 0.25 <= slept[0] <= 0.5


def test_who_is_told_to_come_back_much_later_is_told_so(
    client: Client, shop: Shop, slept: list[float]
) -> None:
    shop.faults = deque([refusal(503, 3600, "no_jobs", "this service runs no jobs")])
    with pytest.raises(ServiceError, match="this service runs no jobs") as caught:
        client.table("tiny", 10)
    assert (caught.value.status, caught.value.code, slept) == (503, "no_jobs", [])


def test_after_so_many_attempts_the_last_refusal_is_raised(
    client: Client, shop: Shop, slept: list[float]
) -> None:
    shop.faults = deque([refusal(503)] * 3 + [refusal(429, 5, "overloaded", "the service is busy")])
    with pytest.raises(ServiceError, match="the service is busy") as caught:
        client.table("tiny", 10)
    assert (caught.value.status, caught.value.code, len(slept)) == (429, "overloaded", 3)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ServiceUserError),
        (401, ServiceUserError),
        (403, ServiceUserError),
        (404, ServiceNotFound),
        (406, ServiceUserError),
        (413, ServiceUserError),
        (422, ServiceUserError),
        (302, ServiceError),
        (405, ServiceError),
        (500, ServiceError),
    ],
)
def test_a_refusal_is_an_error_of_its_kind_and_not_repeated(
    client: Client, shop: Shop, slept: list[float], status: int, kind: type[ServiceError]
) -> None:
    fault = refusal(status, code="word", detail="where: no column 'labl'")
    fault.headers |= {"x-request-id": "r-1", "location": "http://127.0.0.1:1/"}
    shop.faults = deque([fault])
    with pytest.raises(ServiceError, match="where: no column 'labl'") as caught:
        client.table("tiny", 10)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.request) == (status, "word", "r-1")
    assert isinstance(error, UserError) == (kind is not ServiceError)
    assert isinstance(error, NotFound) == (status == 404)
    assert ("FINGAN_TOKEN" in str(error)) == (status == 401)
    assert TOKEN not in str(error)
    assert (len(shop.asked), slept) == (1, [])


@pytest.mark.parametrize("content", [b"<html>Bad gateway</html>", b"", b"[]", b'{"detail": 1}', b"\xff"])
def test_a_refusal_that_is_not_the_services_is_told_by_its_status(
    client: Client, shop: Shop, content: bytes
) -> None:
    shop.faults = deque([Fault(500, {}, content)])
    with pytest.raises(ServiceError, match="it answered 500 Internal Server Error"):
        client.describe("tiny")


def test_a_refusal_that_breaks_off_is_a_refusal(client: Client, shop: Shop) -> None:
    shop.faults = deque([Fault(422, {"content-length": "100"}, b'{"detail":')])
    with pytest.raises(ServiceError, match="422"):
        client.table("tiny", 10)


@pytest.mark.parametrize(
    ("status", "content"), [(200, b"<html>hello</html>"), (200, b""), (204, b""), (200, b"[1]")]
)
def test_another_service_is_told_from_ours(
    client: Client, shop: Shop, slept: list[float], status: int, content: bytes
) -> None:
    calls = [
        lambda: client.table("tiny", 10),
        client.models,
        client.jobs,
        lambda: client.describe("tiny"),
        lambda: client.start_job("tiny", 10),
    ]
    for call in calls:
        shop.faults = deque([Fault(status, {"content-type": "text/html"}, content)])
        with pytest.raises(ServiceError, match="is it a fingan service"):
            call()
    shop.faults = deque([Fault(200, {}, b"{}")])
    with pytest.raises(ServiceError, match="lists no models; is it a fingan service"):
        client.models()
    assert slept == []


def test_where_nobody_answers_it_says_so(slept: list[float]) -> None:
    nobody = Client("http://127.0.0.1:9", TOKEN, attempts=3, sleep=slept.append)
    with pytest.raises(
        ServiceError, match=r"http://127\.0\.0\.1:9 does not answer: ConnectionError"
    ) as caught:
        nobody.sample("tiny", 10)
    assert (caught.value.status, len(slept)) == (0, 2)


@pytest.mark.parametrize("rows_", [0, 10])
def test_every_failure_is_an_error_of_the_clients_own(
    client: Client, shop: Shop, tmp_path: Path, rows_: int
) -> None:
    calls = [
        lambda: client.sample("tiny", rows_),
        lambda: client.table("tiny", rows_),
        lambda: client.reader("tiny", rows_).read_all(),
        lambda: list(client.batches("tiny", rows_)),
        lambda: client.save("tiny", rows_, tmp_path / "rows.csv"),
    ]
    for call in calls:
        shop.faults = deque([Fault(batches=0)] * 4)
        with pytest.raises(ServiceError, match="broke off 4 times"):
            call()


@pytest.fixture
def hanging_up() -> Iterator[tuple[str, list[bytes]]]:
    """A server that reads a request and hangs up: its address, and what it read."""
    read: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with connection:
                        read.append(connection.recv(1 << 16))

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", read
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_server_that_hangs_up_is_asked_so_many_times(
    hanging_up: tuple[str, list[bytes]], slept: list[float]
) -> None:
    url, read = hanging_up
    with pytest.raises(ServiceError, match="does not answer"):
        Client(url, TOKEN, attempts=3, sleep=slept.append).table("tiny", 10)
    assert (len(read), len(slept)) == (3, 2)


def test_a_job_is_not_sent_again_to_a_server_that_hung_up(
    hanging_up: tuple[str, list[bytes]], slept: list[float]
) -> None:
    url, read = hanging_up
    with pytest.raises(ServiceError, match="does not answer"):
        Client(url, TOKEN, sleep=slept.append).start_job("tiny", 10)
    assert (len(read), slept) == (1, [])


@pytest.mark.parametrize(
    "lost", [Fault(unanswered=True), refusal(502), refusal(504)], ids=["broken", "502", "504"]
)
def test_a_job_whose_answer_was_lost_is_not_started_again(
    client: Client, shop: Shop, slept: list[float], lost: Fault
) -> None:
    shop.faults = deque([lost])
    shop.plain["POST /v1/jobs"] = {"id": "a"}
    with pytest.raises(ServiceError):
        client.start_job("tiny", 10)
    assert (len(shop.asked), slept) == (1, [])


def test_a_job_that_was_refused_is_started_later(client: Client, shop: Shop, slept: list[float]) -> None:
    shop.faults = deque([refusal(429, 60), refusal(503, 5)])
    shop.plain["POST /v1/jobs"] = {"id": "a"}
    assert client.start_job("tiny", 10) == {"id": "a"}
    assert (len(shop.asked), len(slept)) == (3, 2)


def test_other_requests_whose_answer_was_lost_are_sent_again(client: Client, shop: Shop) -> None:
    shop.plain = {"GET /v1/jobs": {"jobs": []}, "DELETE /v1/jobs/a": {"status": "cancelled"}}
    shop.faults = deque([Fault(unanswered=True), None, refusal(502), None])
    assert client.jobs() == []
    assert client.cancel_job("a") == {"status": "cancelled"}
