"""The service over HTTP: what it tells, what it counts, and that its rows are the generator's."""

from __future__ import annotations

import gzip
import io
import json
import logging
import re
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import requests

from fingan.generator import load
from fingan.registry import Registry
from fingan.service.formats import FORMATS
from tests import tiny
from tests.service.services import TOKEN, Service, publish, service


@pytest.fixture(scope="module")
def expected(registry: Path) -> pa.Table:
    return load(Registry(registry).fetch("tiny")).sample(30_000, seed=3)


def test_lists_and_describes_models(running: Service) -> None:
    (model,) = running.ask("GET", "/v1/models").json()["models"]
    assert (model["name"], model["latest"], model["versions"]) == ("tiny", 2, [1, 2])
    found = running.ask("GET", "/v1/models/tiny:1").json()
    columns = {column["name"]: column for column in found["columns"]}
    assert found["version"] == 1
    assert found["metrics"]["number"] == 1
    assert columns["fee"]["type"] == "decimal128(5, 2)"
    assert columns["label"]["conditionable"]
    assert not columns["customer"]["conditionable"]
    assert "Model card" in running.ask("GET", "/v1/models/tiny/card").text


@pytest.mark.parametrize("rows", [0, 1, 1024, 9000, 30_000])
def test_rows_are_those_of_the_generator(running: Service, expected: pa.Table, rows: int) -> None:
    if rows == 0:
        assert running.rows("tiny", rows=0).status_code == 422
        return
    answer = running.rows("tiny", rows=rows, seed=3)
    assert answer.status_code == 200
    assert answer.headers["X-Model"] == "tiny:2"
    assert pa.ipc.open_stream(answer.content).read_all().equals(expected.slice(0, rows))


def test_every_format_holds_the_same_rows(running: Service, expected: pa.Table) -> None:
    rows = expected.slice(0, 12_000)
    found = {name: running.rows("tiny", name, rows=12_000, seed=3) for name in FORMATS}
    assert {name: a.headers["Content-Type"].split(";")[0] for name, a in found.items()} == {
        name: form.media_type for name, form in FORMATS.items()
    }
    assert pq.read_table(io.BytesIO(found["parquet"].content)).equals(rows)
    options = pyarrow.csv.ConvertOptions(
        column_types=rows.schema, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    read = pyarrow.csv.read_csv(io.BytesIO(found["csv"].content), convert_options=options)
    assert read.cast(rows.schema).equals(rows)
    lines = [json.loads(line) for line in found["ndjson"].text.splitlines()]
    whole = found["json"].json()
    assert whole["columns"] == rows.column_names
    assert whole["rows"] == lines
    assert [line["amount"] for line in lines] == rows["amount"].to_pylist()
    assert lines[0]["fee"] == str(rows["fee"][0].as_py())


def test_a_broken_download_goes_on_with_offset(running: Service, expected: pa.Table) -> None:
    rest = running.rows("tiny", rows=17_000, offset=13_000, seed=3)
    assert pa.ipc.open_stream(rest.content).read_all().equals(expected.slice(13_000))
    assert rest.content == running.rows("tiny", rows=17_000, offset=13_000, seed=3).content


def test_columns_condition_and_candidates(running: Service, registry: Path) -> None:
    generator = load(Registry(registry).fetch("tiny:1"))
    body = {"rows": 50, "seed": 9, "offset": 1000, "where": {"label": "bad"}, "candidates": 2}
    answer = running.rows("tiny:1", columns=["label", "amount"], **body)
    wanted = generator.sample(50, {"label": "bad"}, 9, 1000).select(["label", "amount"])
    assert pa.ipc.open_stream(answer.content).read_all().equals(wanted)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("rows", [10, 20_000])
def test_compression(running: Service, encoding: str, rows: int) -> None:
    plain = running.rows("tiny", "csv", rows=rows).content
    url = f"{running.url}/v1/models/tiny/samples?format=csv"
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": encoding}
    answer = requests.post(url, json={"rows": rows}, headers=headers, stream=True, timeout=30)
    assert answer.headers["Content-Encoding"] == encoding
    packed = answer.raw.read(decode_content=False)
    assert len(packed) < len(plain)
    found = (
        gzip.decompress(packed) if encoding == "gzip" else pa.input_stream(io.BytesIO(packed), "zstd").read()
    )
    assert found == plain


def test_headers_of_every_answer(running: Service) -> None:
    for path in ("/v1/models", "/v1/nothing", "/", "/v2/health/live", "/openapi.json"):
        headers = running.ask("GET", path, headers={"Origin": "https://evil.example"}).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert len(headers["X-Request-Id"]) == 32
        assert "Access-Control-Allow-Origin" not in headers
        assert "Server" not in headers
    assert (
        running.ask("GET", "/", headers={"X-Request-Id": "my-request-1"}).headers["X-Request-Id"]
        == "my-request-1"
    )


def test_audit_log_has_no_token_and_no_row(running: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "fingan.audit"):
        running.rows("tiny", "csv", rows=5, where={"city": "Bonn"})
        running.ask("GET", "/v1/models", headers={"Authorization": "Bearer secret-of-somebody"})
        deadline = time.monotonic() + 5
        while len(caplog.records) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    sampled, refused = (json.loads(record.message) for record in caplog.records)
    assert (sampled["caller"], sampled["model"], sampled["rows"], sampled["whole"]) == (
        "tester",
        "tiny:2",
        5,
        True,
    )
    assert (refused["caller"], refused["status"]) == ("-", 401)
    text = caplog.text
    assert TOKEN not in text
    assert "secret-of-somebody" not in text
    assert "Bonn" not in text


def test_metrics_count(running: Service) -> None:
    running.rows("tiny", rows=7)
    text = running.ask("GET", "/metrics").text
    assert re.search(
        r'fingan_requests_total\{method="POST",route="/v1/models/\{model\}/samples",status="200"\} [1-9]',
        text,
    )
    assert 'fingan_rows_total{model="tiny"}' in text
    assert re.search(r"^fingan_batch_calls_count [1-9]", text, re.MULTILINE)
    assert running.gauge("fingan_streams") == running.gauge("fingan_queue") == 0
    assert 'fingan_model_version{reference="tiny:latest"} 2.0' in text


def test_open_inference_protocol(running: Service) -> None:
    assert requests.get(f"{running.url}/v2/health/live", timeout=10).json() == {"live": True}
    assert requests.get(f"{running.url}/v2/health/ready", timeout=10).json() == {"ready": True}
    assert running.ask("GET", "/v2").json()["name"] == "fingan"
    found = running.ask("GET", "/v2/models/tiny/versions/1").json()
    assert found["versions"] == ["1"]
    assert {"name": "age", "datatype": "INT64", "shape": [-1]} in found["outputs"]
    assert running.ask("GET", "/v2/models/tiny/ready").json()["ready"]


def test_ready_waits_for_the_preloaded(registry: Path) -> None:
    with service(registry, preload=["tiny", "nothing"]) as found:
        answer = requests.get(f"{found.url}/v2/health/ready", timeout=10)
        assert (answer.status_code, answer.json()) == (503, {"ready": False})


def test_documentation_names_every_format_and_has_examples(running: Service) -> None:
    told = running.ask("GET", "/openapi.json").json()
    posted = told["paths"]["/v1/models/{model}/samples"]["post"]
    assert set(posted["responses"]["200"]["content"]) == {form.media_type for form in FORMATS.values()}
    assert told["components"]["schemas"]["SampleRequest"]["examples"]
    assert {"401", "404", "406", "413", "422", "429", "503"} <= set(posted["responses"])


def test_a_new_version_is_picked_up_and_a_corrupt_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    store = tmp_path / "registry"
    publish(store, "tiny", tiny.generator(), tmp_path / "bundles", number=1)
    with service(store) as found:
        assert found.rows("tiny").headers["X-Model"] == "tiny:1"
        publish(store, "tiny", tiny.generator(), tmp_path / "bundles", number=2)
        _until(lambda: found.rows("tiny").headers["X-Model"] == "tiny:2")
        publish(store, "tiny", tiny.generator(), tmp_path / "bundles", number=3)
        weights = store / "tiny" / "3" / "generator.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
        _until(lambda: found.ask("GET", "/v1/models/tiny").json()["problem"] is not None)
        assert found.rows("tiny").headers["X-Model"] == "tiny:2"
        assert "version 3 is damaged" in found.ask("GET", "/v1/models").json()["models"][0]["problem"]
        broken = found.rows("tiny:3")
        assert broken.status_code == 503
        assert str(tmp_path) not in broken.text


def _until(holds: object, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come to hold"
        time.sleep(0.05)


def test_a_reader_that_stalls_is_not_worked_for(running: Service) -> None:
    """The sockets' buffers fill, then nothing more is made; when the reader goes, its place is free."""
    with running.asks("tiny", rows=50_000_000) as slow:
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        _until(lambda: running.gauge("fingan_streams") == 1)
        before = _settled(running)
        time.sleep(0.5)
        assert _made(running) == before
    _until(lambda: running.gauge("fingan_streams") == 0)


def _made(running: Service) -> float:
    return running.gauge("fingan_pieces_total")


def _settled(running: Service) -> float:
    """Return the number of pieces made once it stays the same for a while."""
    last, deadline = -1.0, time.monotonic() + 30
    while time.monotonic() < deadline:
        now = _made(running)
        if now == last:
            return now
        last = now
        time.sleep(0.5)
    raise AssertionError("pieces are made without end")


def test_a_reader_who_leaves_early_has_used_up_what_it_was_given(registry: Path) -> None:
    """Leaving must be no way round a quota."""
    with service(registry, limits={"rows_per_minute": 20_000}) as found:
        url = f"{found.url}/v1/models/tiny/samples"
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "identity"}
        with requests.post(url, json={"rows": 20_000}, headers=headers, stream=True, timeout=30) as answer:
            answer.raw.read(1_500_000)
        _until(lambda: found.gauge("fingan_streams") == 0)
        assert found.rows("tiny", rows=19_000).status_code == 429


def test_a_version_that_is_published_anew_under_its_number_is_served_anew(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    store = tmp_path / "registry"
    publish(store, "tiny", tiny.generator(), tmp_path / "bundles", number=1)
    with service(store) as found:
        assert found.ask("GET", "/v1/models/tiny").json()["metrics"]["number"] == 1
        shutil.rmtree(store / "tiny")  # by hand: the registry itself gives no number twice
        publish(store, "tiny", tiny.generator(), tmp_path / "bundles", number=9)
        _until(lambda: found.ask("GET", "/v1/models/tiny").json().get("metrics", {}).get("number") == 9)
        assert found.rows("tiny").status_code == 200
