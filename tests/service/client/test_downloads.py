"""Rows that the client downloads: whole and in order, however often the server breaks off."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
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

import fingan
from fingan.client import Client, ServiceError, ServiceUserError, sampling, transport
from fingan.errors import DataError, UserError
from fingan.generator import load
from fingan.registry import Registry
from fingan.service.formats import FORMATS
from tests.service.client.shop import (
    BATCH,
    PART,
    SCHEMA,
    TOKEN,
    Fault,
    Shop,
    other,
    refusal,
    rows,
)
from tests.service.services import TOKEN as OWN_TOKEN
from tests.service.services import service


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


def test_whole_numbers_beside_nulls_are_not_rounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"account": [2**60 + 1, None]})
    monkeypatch.setattr(client, "table", lambda *_: table)
    assert client.sample("tiny", 2)["account"][0] == 2**60 + 1


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
        "nanoseconds": np.datetime64("2024-01-01T00:00:00.000000000"),
        "not a number": np.float64("nan"),
        "not available": pd.NA,
        "not a time": pd.NaT,
        "no time": np.datetime64("NaT", "ns"),
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
            "nanoseconds": "2024-01-01 00:00:00",
            "not a number": None,
            "not available": None,
            "not a time": None,
            "no time": None,
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


def test_several_threads_share_a_client(client: Client, shop: Shop) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: client.table("tiny", 1200, offset=n * 1000), range(8)))
    assert [table.equals(rows(n * 1000, n * 1000 + 1200)) for n, table in enumerate(found)] == [True] * 8


def test_a_service_that_gives_fewer_rows_at_a_time_is_asked_for_fewer(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "PART_ROWS", 5000)
    with service(registry, limits={"rows": 1300}) as found:
        read = Client(found.url, OWN_TOKEN).table("tiny", 6000, seed=4)
    assert read.equals(load(Registry(registry).fetch("tiny")).sample(6000, seed=4))


@pytest.mark.parametrize("code", ["too_many_rows", "too_many_bytes"])
def test_a_service_that_gives_no_row_is_not_asked_for_ever(client: Client, shop: Shop, code: str) -> None:
    shop.faults = deque([refusal(413, code=code)] * 20)
    with pytest.raises(ServiceUserError, match="not now"):
        client.table("tiny", 10)
    assert [rows for _, _, rows in shop.places] == [10, 5, 2, 1]


def test_wide_rows_are_asked_for_in_parts_that_the_service_gives(registry: Path) -> None:
    """Behind a proxy that holds nobody back a service caps the bytes of an answer."""
    with service(registry, paced=False, limits={"unpaced_bytes": 1 << 18}) as found:
        read = Client(found.url, OWN_TOKEN).table("tiny", 9000, seed=4)
    assert read.equals(load(Registry(registry).fetch("tiny")).sample(9000, seed=4))
