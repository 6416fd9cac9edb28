"""What a real `fingan serve` writes to standard error, and how it ends under load."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import requests

from tests import tiny
from tests.cli.serving import started
from tests.service.services import publish

ROWS = 400_000


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("process")
    (folder / "bundles").mkdir()
    publish(folder / "registry", "tiny", tiny.generator(), folder / "bundles")
    return folder / "registry"


def lines(text: str) -> list[dict[str, Any]]:
    """Return the JSON lines in a process's output."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_the_audit_log_is_written_and_holds_no_secret(registry: Path, tmp_path: Path) -> None:
    with started(registry, tmp_path, "--replicas", "0") as (url, process):
        token = (tmp_path / "fingan" / "token").read_text().strip()
        known = {"Authorization": f"Bearer {token}"}
        place = f"{url}/v1/models/tiny/samples"
        asked = {"rows": 5, "where": {"city": "Bonn"}}
        assert requests.post(place, json=asked, headers=known, timeout=20).status_code == 200
        wrong = {"Authorization": "Bearer a-token-of-somebody"}
        assert requests.get(f"{url}/v1/models?token={token}", headers=wrong, timeout=20).status_code == 401
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=40)
    sampled, refused = lines(said)
    assert (sampled["caller"], sampled["model"], sampled["rows"]) == ("owner", "tiny:1", 5)
    assert (sampled["status"], sampled["whole"]) == (200, True)
    assert (refused["caller"], refused["status"], refused["path"]) == ("-", 401, "/v1/models")
    for secret in (token, "a-token-of-somebody", "Bonn"):
        assert secret not in said


def test_standard_error_that_nobody_reads_does_not_stop_the_service(registry: Path, tmp_path: Path) -> None:
    with (
        started(registry, tmp_path, "--replicas", "0", "--no-auth") as (url, process),
        requests.Session() as s,
    ):
        # Far more than a pipe holds.
        for number in range(400):
            answer = s.get(
                f"{url}/v1/nothing/{'x' * 180}", headers={"X-Request-Id": f"request-{number}"}, timeout=20
            )
            assert answer.status_code == 404
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        _, said = process.communicate(timeout=40)
    assert [line["request"] for line in lines(said)] == [f"request-{number}" for number in range(400)]


def test_an_answer_under_way_is_finished_when_the_service_is_asked_to_end(
    registry: Path, tmp_path: Path
) -> None:
    with started(registry, tmp_path, "--replicas", "0", "--no-auth") as (url, process):
        place, asked = f"{url}/v1/models/tiny/samples", {"rows": ROWS, "seed": 5}
        plain = {"Accept-Encoding": "identity"}
        with requests.post(place, json=asked, headers=plain, stream=True, timeout=30) as answer:
            got = answer.raw.read(1000)
            process.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + 10
            while _takes_requests(url):
                assert time.monotonic() < deadline, "new requests are still taken"
                time.sleep(0.05)
            assert process.poll() is None, "the service ended before its answer had"
            got += answer.raw.read()
        # Within the limit for answers under way, and without being told twice.
        process.communicate(timeout=30)
        assert process.returncode in (0, 130)
    table = pa.ipc.open_stream(got).read_all()
    assert table.num_rows == ROWS
    assert table.slice(ROWS - 100).equals(tiny.generator().sample(100, seed=5, offset=ROWS - 100))


def _takes_requests(url: str) -> bool:
    try:
        requests.get(f"{url}/v2/health/live", timeout=5)
    except requests.ConnectionError:
        return False
    return True


def test_everybody_is_let_in_on_loopback_where_that_is_configured(registry: Path, tmp_path: Path) -> None:
    words = ["--replicas", "0", "--set", "auth.required=false"]
    with started(registry, tmp_path, *words) as (url, _):
        assert requests.get(f"{url}/v1/models", timeout=10).status_code == 200
    assert not (tmp_path / "fingan" / "token").exists()
