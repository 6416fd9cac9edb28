"""The client against a real server that breaks off, refuses, lies and forgets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import uvicorn

import fingan
from fingan.client import Client, ServiceError, ServiceNotFound, ServiceUserError, sampling, transport
from fingan.errors import ConfigError, DataError, NotFound, UserError
from fingan.service.compression import COMPRESSORS
from fingan.service.formats import FORMATS

TOKEN = "fingan_the-token-of-the-tests"
SCHEMA = pa.schema([("row", pa.int64()), ("fee", pa.decimal128(18, 2)), ("text", pa.string())])
BATCH = 100
PART = 1000


def rows(first: int, last: int, version: int = 1) -> pa.Table:
    """Return rows of a version, as the service has them."""
    numbers = range(first, last)
    fees = [Decimal(n) / 100 for n in numbers]
    return pa.table([numbers, fees, [f"v{version}-{n}" for n in numbers]], schema=SCHEMA)


@dataclass
class Fault:
    """What becomes of one request.

    Attributes:
        status, headers, content: of another answer than the rows.
        batches: so many come, and then no more; None for all.
        cut: bytes that the last of them lacks.
        how: `broken` breaks the connection there, `ended` ends the body, `silent` sends nothing more.
        surplus: rows more than were asked for.
        unanswered: the connection is broken before a whole answer.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None
    batches: int | None = None
    cut: int = 0
    how: str = "broken"
    surplus: int = 0
    unanswered: bool = False


def refusal(status: int, retry_after: int | None = None, code: str = "x", detail: str = "not now") -> Fault:
    body = {"type": "about:blank", "title": "t", "status": status, "detail": detail, "code": code}
    more = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Fault(status, {"content-type": "application/problem+json", **more}, json.dumps(body).encode())


class Breaking(Exception):
    """Makes the server break the connection."""


@dataclass
class Request:
    """What the server was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class Shop:
    """A service of numbered rows.

    Attributes:
        version, digest: that answer for `tiny`.
        faults: of the requests to come, one each; None for none.
        asked: the requests so far.
        plain: other answers, by method and path.
    """

    def __init__(self) -> None:
        self.url = ""
        self.version, self.digest = 1, "d1"
        self.faults: deque[Fault | None] = deque()
        self.asked: list[Request] = []
        self.plain: dict[str, Any] = {}

    @property
    def places(self) -> list[tuple[str, int, int]]:
        """Model, first row and rows of the requests for rows."""
        found = [request for request in self.asked if request.path.endswith("/samples")]
        return [(r.path.split("/")[3], r.body["offset"], r.body["rows"]) for r in found]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        raw = scope["raw_path"].decode()
        request = Request(scope["method"], raw, headers, json.loads(body) if body else None)
        self.asked.append(request)
        fault = self.faults.popleft() if self.faults else None
        if fault is not None and fault.unanswered:
            await _begin(send, 200, {"content-length": "100"})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            raise Breaking
        if fault is not None and fault.content is not None:
            await _begin(send, fault.status, fault.headers)
            await send({"type": "http.response.body", "body": fault.content})
        elif raw.endswith("/samples"):
            await self._samples(request, fault or Fault(), send, receive)
        else:
            found = self.plain.get(f"{request.method} {raw}")
            await _begin(send, 404 if found is None else 200, {"content-type": "application/json"})
            content = found if isinstance(found, bytes) else json.dumps(found or {}).encode()
            await send({"type": "http.response.body", "body": content})

    async def _samples(self, request: Request, fault: Fault, send: Any, receive: Any) -> None:
        name, _, selector = request.path.split("/")[3].partition(":")
        version = int(selector) if selector.isdecimal() else self.version
        first, last = request.body["offset"], request.body["offset"] + request.body["rows"] + fault.surplus
        encoding = request.headers["accept-encoding"]
        work = COMPRESSORS[encoding]() if encoding in COMPRESSORS else None
        headers = {"x-model": f"{name}:{version}", "x-digest": self.digest, **fault.headers}
        if work is not None:
            headers["content-encoding"] = encoding
        await _begin(send, 200, {name: value for name, value in headers.items() if value})
        form, pieces = FORMATS["arrow"], [FORMATS["arrow"].head(SCHEMA)]
        assert form.pieces is not None
        for place in range(first, last, BATCH):
            pieces += map(form.pieces, rows(place, min(last, place + BATCH), version).to_batches())
        if fault.batches is not None:
            pieces = pieces[: fault.batches + 1]
        else:
            pieces.append(form.tail())
        pieces = [*map(work.piece, pieces), work.tail() if fault.batches is None else b""] if work else pieces
        content = b"".join(pieces)
        await send(
            {"type": "http.response.body", "body": content[: len(content) - fault.cut], "more_body": True}
        )
        if fault.batches is not None and fault.how == "broken":
            raise Breaking
        if fault.batches is not None and fault.how == "silent":
            while (await receive())["type"] != "http.disconnect":
                pass
        await send({"type": "http.response.body"})


async def _begin(send: Any, status: int, headers: dict[str, str]) -> None:
    wire = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": wire})


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


def other(shop: Shop, slept: list[float], **options: Any) -> Client:
    return Client(shop.url, TOKEN, **{"timeout": 5.0, "attempts": 4, "sleep": slept.append, **options})


def test_rows_come_in_every_shape(client: Client, shop: Shop, tmp_path: Path) -> None:
    expected = rows(50, 2600)
    wanted: dict[str, Any] = {"model": "tiny", "rows": 2550, "offset": 50}
    assert client.table(**wanted).equals(expected)
    assert client.reader(**wanted).read_all().equals(expected)
    assert pa.Table.from_batches(client.batches(**wanted)).equals(expected)
    pd.testing.assert_frame_equal(client.sample(**wanted), expected.to_pandas())
    assert pq.read_table(client.save(**wanted, path=tmp_path / "rows.parquet")).equals(expected)
    found = pa.csv.read_csv(client.save(**wanted, path=str(tmp_path / "rows.csv.gz")))
    assert found["text"].to_pylist() == expected["text"].to_pylist()
    with pa.ipc.open_file(client.save(**wanted, path=tmp_path / "rows.arrow")) as file:
        assert file.read_all().equals(expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.arrow", "rows.csv.gz", "rows.parquet"]


def test_a_request_says_what_is_wanted_and_who_asks(client: Client, shop: Shop) -> None:
    where = {
        "label": "bad",
        "gap": None,
        "age": np.int64(7),
        "share": np.float32(0.5),
        "is": np.bool_(True),
        "day": date(2024, 2, 29),
        "fee": Decimal("1.50"),
        "moment": np.datetime64("2024-01-01T00:00:00"),
    }
    client.table("tiny", np.int64(5), where, np.int64(9), np.int64(3), ("row", "text"), 4)
    (request,) = shop.asked
    assert request.body == {
        "rows": 5,
        "offset": 3,
        "seed": 9,
        "where": {
            "label": "bad",
            "gap": None,
            "age": 7,
            "share": 0.5,
            "is": True,
            "day": "2024-02-29",
            "fee": "1.50",
            "moment": "2024-01-01 00:00:00",
        },
        "columns": ["row", "text"],
        "candidates": 4,
    }
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    assert request.headers["accept"] == FORMATS["arrow"].media_type
    assert request.headers["user-agent"] == f"fingan/{fingan.__version__}"
    assert request.headers["content-type"] == "application/json"


def test_large_samples_are_asked_for_in_parts_of_one_version(client: Client, shop: Shop) -> None:
    assert client.table("tiny:champion", 2500).num_rows == 2500
    assert shop.places == [("tiny:champion", 0, 1000), ("tiny:1", 1000, 1000), ("tiny:1", 2000, 500)]


def test_an_alias_that_moves_meanwhile_does_not_mix_versions(client: Client, shop: Shop) -> None:
    found = client.batches("tiny", 2500)
    got = [next(found)]
    shop.version, shop.faults = 2, deque([Fault(batches=2)])
    got += found
    assert pa.Table.from_batches(got).equals(rows(0, 2500, version=1))
    assert client.table("tiny", 10).equals(rows(0, 10, version=2))


def test_content_that_changes_under_a_number_is_noticed(client: Client, shop: Shop) -> None:
    found = client.batches("tiny", 2500)
    got = [next(found) for _ in range(PART // BATCH)]
    shop.digest = "d2"
    with pytest.raises(ServiceError, match=r"tiny:1 has other content from row 1,000 on"):
        next(found)
    assert pa.Table.from_batches(got).equals(rows(0, PART))


CUTS = {
    "at a message border": Fault(batches=3),
    "before the first batch": Fault(batches=0),
    "within a message": Fault(batches=3, cut=37),
    "within a message's length": Fault(batches=3, cut=rows(0, BATCH).to_batches()[0].serialize().size - 2),
    "after the last row": Fault(batches=10),
    "with an end at a border": Fault(batches=3, how="ended"),
    "with an end within a message": Fault(batches=3, cut=37, how="ended"),
    "with an end before the schema": Fault(
        batches=0, cut=FORMATS["arrow"].head(SCHEMA).__len__(), how="ended"
    ),
}


@pytest.mark.parametrize("compression", [None, "gzip", "zstd"])
@pytest.mark.parametrize("fault", CUTS.values(), ids=CUTS)
def test_a_stream_that_breaks_goes_on_where_it_broke(
    shop: Shop, slept: list[float], fault: Fault, compression: str | None
) -> None:
    if compression is not None and fault.cut > 40:
        fault = Fault(batches=fault.batches, cut=2, how=fault.how)
    shop.faults = deque([None, fault, None, fault, fault])
    found = other(shop, slept, compression=compression).table("tiny", 2500)
    assert found.equals(rows(0, 2500)), "a row is lost or doubled"
    assert all(request.headers["accept-encoding"] == (compression or "identity") for request in shop.asked)
    firsts = [first for _, first, _ in shop.places]
    assert firsts == sorted(firsts)
    assert slept


def test_no_row_is_asked_for_twice(client: Client, shop: Shop) -> None:
    shop.faults = deque([Fault(batches=3, cut=5), Fault(batches=4)])
    assert client.table("tiny", 1500).equals(rows(0, 1500))
    assert shop.places == [("tiny", 0, 1000), ("tiny:1", 200, 1000), ("tiny:1", 600, 900)]


def test_a_server_that_falls_silent_is_asked_again(shop: Shop, slept: list[float]) -> None:
    shop.faults = deque([Fault(batches=2, how="silent")])
    assert other(shop, slept, timeout=0.1).table("tiny", 500).equals(rows(0, 500))
    assert shop.places == [("tiny", 0, 500), ("tiny:1", 200, 300)]


def test_without_progress_it_gives_up_and_what_came_is_right(
    client: Client, shop: Shop, slept: list[float]
) -> None:
    shop.faults = deque([Fault(batches=2), *[Fault(batches=0)] * 10])
    got = []
    with pytest.raises(ServiceError, match=r"broke off 4 times at row 200") as caught:
        got.extend(client.batches("tiny", 500))
    assert not isinstance(caught.value, UserError)
    assert pa.Table.from_batches(got).equals(rows(0, 200))
    assert (len(shop.asked), len(slept)) == (4, 3)


def test_with_progress_it_never_gives_up(client: Client, shop: Shop) -> None:
    shop.faults = deque([Fault(batches=1)] * 20)
    assert client.table("tiny", 2500).equals(rows(0, 2500))


def test_pauses_grow_while_there_is_no_progress(shop: Shop, slept: list[float]) -> None:
    shop.faults = deque([Fault(batches=0)] * 8)
    other(shop, slept, attempts=9).table("tiny", 10)
    # A connection that breaks before the headers is tried again by itself, from the shortest pause on.
    assert all(0.25 <= seconds <= 0.25 * 2**number for number, seconds in enumerate(slept, start=1))
    assert max(slept) > 4 * min(slept)
    assert transport.pause(1000) <= 60.0


def test_more_rows_than_were_asked_for_are_not_taken(client: Client, shop: Shop) -> None:
    shop.faults = deque([Fault(surplus=5)] * 20)
    got = []
    with pytest.raises(ServiceError, match="broke off 4 times"):
        got.extend(client.batches("tiny", 150))
    assert sum(batch.num_rows for batch in got) <= 150


def test_what_is_not_arrow_is_not_taken_for_rows(client: Client, shop: Shop) -> None:
    told = {"x-model": "tiny:1"}
    shop.faults = deque([Fault(200, told, b"<html>rows</html>"), Fault(200, told, b""), None])
    assert client.table("tiny", 10).equals(rows(0, 10))
    shop.faults = deque([Fault(headers={"content-encoding": "br"}), None])
    assert client.table("tiny", 10).equals(rows(0, 10))


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


def test_a_reader_that_breaks_raises_the_same(client: Client, shop: Shop) -> None:
    shop.faults = deque([Fault(batches=2), *[Fault(batches=0)] * 4])
    reader = client.reader("tiny", 500)
    assert reader.schema.equals(SCHEMA)
    with pytest.raises(ServiceError, match="broke off"):
        reader.read_all()


def test_no_rows_are_a_table_of_the_right_columns(client: Client, shop: Shop, tmp_path: Path) -> None:
    assert client.table("tiny", 0).equals(rows(0, 0))
    assert list(client.sample("tiny", 0).columns) == SCHEMA.names
    assert pq.read_table(client.save("tiny", 0, tmp_path / "none.parquet")).equals(rows(0, 0))
    shop.faults = deque([Fault(batches=0), refusal(503)])
    assert client.table("tiny", 0).num_rows == 0


@pytest.mark.parametrize(
    "wrong", [{"rows": -1}, {"rows": 1.5}, {"rows": "10"}, {"rows": None}, {"seed": -1}, {"offset": 0.5}]
)
def test_numbers_that_are_none_are_refused_here(client: Client, shop: Shop, wrong: dict[str, Any]) -> None:
    wanted: dict[str, Any] = {"model": "tiny", "rows": 10, **wrong}
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        client.table(**wanted)
    assert shop.asked == []


def test_a_saved_file_appears_whole_or_not_at_all(client: Client, shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"what was there before")
    shop.faults = deque([None, Fault(batches=2), *[Fault(batches=0)] * 4])
    with pytest.raises(ServiceError):
        client.save("tiny", 2500, path)
    assert path.read_bytes() == b"what was there before"
    assert [p.name for p in tmp_path.iterdir()] == ["rows.parquet"]
    client.save("tiny", 2500, path)
    assert pq.read_table(path).num_rows == 2500


def test_a_file_that_cannot_be_is_refused_and_leaves_nothing(client: Client, tmp_path: Path) -> None:
    for name in ("rows.xlsx", "rows", "nowhere/rows.csv"):
        with pytest.raises(DataError):
            client.save("tiny", 10, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_leaves_ends_the_download(client: Client, shop: Shop) -> None:
    shop.faults = deque([Fault(batches=3, how="silent")])
    found = client.batches("tiny", 500)
    next(found)
    found.close()
    # The server's handler ends when the connection does; else this request would have to wait for it.
    assert client.table("tiny", 10).num_rows == 10


def test_models_cards_and_jobs_are_asked_for_where_they_are(client: Client, shop: Shop) -> None:
    shop.plain = {
        "GET /v1/models": {"models": [{"name": "tiny"}]},
        "GET /v1/models/tiny:champion": {"name": "tiny", "version": 1},
        "GET /v1/models/tiny/card": "# Größe\n".encode(),
        "GET /v1/jobs": {"jobs": [{"id": "a"}]},
        "GET /v1/jobs/a": {"id": "a", "status": "running"},
        "DELETE /v1/jobs/a": {"id": "a", "status": "cancelled"},
    }
    assert client.models() == [{"name": "tiny"}]
    assert client.describe("tiny:champion") == {"name": "tiny", "version": 1}
    assert client.jobs() == [{"id": "a"}]
    assert client.job("a")["status"] == "running"
    assert client.cancel_job("a")["status"] == "cancelled"
    shop.faults = deque([Fault(200, {"content-type": "text/markdown; charset=utf-8"}, "# Größe\n".encode())])
    assert client.card("tiny") == "# Größe\n"


@pytest.mark.parametrize("name", ["a/b", "../jobs", "a?b=c", "a#b", "ä €", "a b", "%2f"])
def test_a_name_stays_one_part_of_the_path(client: Client, shop: Shop, name: str) -> None:
    with pytest.raises(ServiceNotFound):
        client.describe(name)
    assert len(shop.asked[0].path.split("/")) == 4


def test_a_job_says_what_is_wanted(client: Client, shop: Shop) -> None:
    shop.plain["POST /v1/jobs"] = {"id": "a", "status": "queued"}
    found = client.start_job(
        "tiny", np.int64(10**9), where={"day": date(2024, 1, 1), "gap": None}, columns=None
    )
    assert found["id"] == "a"
    where = {"day": "2024-01-01", "gap": None}
    assert shop.asked[0].body == {"model": "tiny", "rows": 10**9, "where": where}


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


@pytest.mark.parametrize("ended", ["done", "failed", "cancelled"])
def test_waiting_ends_when_the_job_does(client: Client, shop: Shop, slept: list[float], ended: str) -> None:
    states = [json.dumps({"id": "a", "status": s}).encode() for s in ("queued", "running", ended)]
    shop.faults = deque([Fault(200, {}, state) for state in states])
    assert client.wait("a", every=3.0)["status"] == ended
    assert slept == [3.0, 3.0]


def test_waiting_has_an_end(client: Client, shop: Shop) -> None:
    shop.plain["GET /v1/jobs/a"] = {"id": "a", "status": "running"}
    with pytest.raises(ServiceError, match="job a is running after 0 s"):
        client.wait("a", timeout=0.0)


def test_the_token_comes_from_the_environment_unless_it_is_given(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINGAN_TOKEN", "from-outside\n")
    for token in (None, "given", ""):
        Client(shop.url, token).table("tiny", 1)
    found = [request.headers.get("authorization") for request in shop.asked]
    assert found == ["Bearer from-outside", "Bearer given", None]


def test_a_password_in_netrc_does_not_take_the_tokens_place(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for token in (TOKEN, ""):
        Client(shop.url, token).table("tiny", 1)
    found = [request.headers.get("authorization") for request in shop.asked]
    assert found == [f"Bearer {TOKEN}", None]


def test_a_redirection_does_not_take_the_token_elsewhere(client: Client, shop: Shop) -> None:
    shop.faults = deque([Fault(307, {"location": f"{shop.url}/elsewhere"}, b"")])
    with pytest.raises(ServiceError, match="307"):
        client.table("tiny", 10)
    assert [request.path for request in shop.asked] == ["/v1/models/tiny/samples"]


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "tökén", "nul\0", "€" * 10])
def test_a_token_that_cannot_be_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ConfigError, match="token") as caught:
        Client("https://fingan.example.com", token)
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "fingan.example.com", "ftp://x", "http://", "https:///v1", "http://[::1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a service"):
        Client(url)


def test_an_unknown_compression_is_refused() -> None:
    with pytest.raises(ConfigError, match="compression is zstd, gzip or None, got 'br'"):
        Client("https://fingan.example.com", compression="br")


def test_an_address_may_end_in_a_stroke_or_have_a_path(shop: Shop) -> None:
    Client(f"{shop.url}/").table("tiny", 1)
    shop.plain["GET /behind/proxy/v1/models"] = {"models": []}
    assert Client(f"{shop.url}/behind/proxy/").models() == []
    assert shop.asked[0].path == "/v1/models/tiny/samples"


def test_several_threads_share_a_client(client: Client, shop: Shop) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: client.table("tiny", 1200, offset=n * 1000), range(8)))
    assert [table.equals(rows(n * 1000, n * 1000 + 1200)) for n, table in enumerate(found)] == [True] * 8


def test_it_is_the_packages_own() -> None:
    assert fingan.Client is Client
