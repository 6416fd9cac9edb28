"""The service while its replicas are killed, and with none at first: every answer of status 200 is right."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

import fingan
from benchmarks.served import serving
from fingan.client import ServiceError
from fingan.generator import load
from fingan.registry import Registry
from tests import tiny
from tests.service.services import publish

ROWS = 30_000
KILLS = 4

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service")
    (folder / "bundles").mkdir()
    publish(folder / "registry", "tiny", tiny.generator(), folder / "bundles")
    return folder / "registry"


def test_replicas_that_are_killed_under_load(registry: Path) -> None:
    wanted = load(Registry(registry).fetch("tiny")).sample(ROWS, seed=1)
    found: list[pa.Table] = []
    problems: list[str] = []
    over = threading.Event()

    def ask(url: str) -> None:
        client = fingan.Client(url)
        while not over.is_set():
            try:
                found.append(client.table("tiny", ROWS, seed=1))
            except ServiceError as error:
                problems.append(str(error))

    with serving(registry, 2) as served:
        threads = [threading.Thread(target=ask, args=(served.url,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(KILLS):
            time.sleep(4)
            replicas = [p for p in served.replicas() if p.pid != served.process.pid]
            if replicas:
                replicas[0].send_signal(signal.SIGKILL)
        time.sleep(15)
        over.set()
        for thread in threads:
            thread.join(120)
        before = len(found)
        found.append(fingan.Client(served.url).table("tiny", ROWS, seed=1))
    assert before >= KILLS
    assert all(rows.equals(wanted) for rows in found)
    assert not problems


def test_the_first_request_brings_up_a_replica(registry: Path) -> None:
    sets = ("replicas.fewest=0", "replicas.most=1", "replicas.idle=3s")
    with serving(registry, 1, *sets) as served:
        client = fingan.Client(served.url)
        wanted = tiny.generator().sample(100, seed=3)
        assert client.table("tiny", 100, seed=3).equals(wanted)
        deadline = time.monotonic() + 90
        while any(p.pid != served.process.pid for p in served.replicas()):
            assert time.monotonic() < deadline, "the idle replica stays"
            time.sleep(1)
        assert client.table("tiny", 100, seed=3).equals(wanted)
