"""The service on Ray Serve: replicas behind a front, over HTTP, and replicas that die."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
import requests
from ray import serve
from ray.serve.exceptions import BackPressureError

from fingan.config import ServiceConfig
from fingan.generator import load
from fingan.registry import Registry
from fingan.service import deployment
from fingan.service.authorities import authority_of
from fingan.service.calls import MOST_TOGETHER, RowsCall
from fingan.service.deployment import Replicas, application, replicas
from fingan.service.identity import add_token
from fingan.service.problems import Refused
from tests.cluster.heads import free_port
from tests.service.services import Service, service

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def expected(registry: Path) -> pa.Table:
    return load(Registry(registry).fetch("tiny")).sample(60_000, seed=5)


@pytest.fixture(scope="module")
def proxy(ray_cluster: None) -> Iterator[str]:
    """Ray Serve with its own proxy; the URL of that."""
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()


@pytest.fixture(scope="module")
def on_serve(proxy: str, registry: Path) -> Iterator[Service]:
    """Our own HTTP server before two replicas of Ray Serve."""
    config = ServiceConfig.model_validate(
        {"registry": str(registry), "replicas": {"fewest": 2, "most": 2, "cpus": 0.1}}
    )
    handle = serve.run(replicas(config), name="own", route_prefix=None)
    with service(registry, backend=Replicas(handle), replicas=config.replicas.model_dump()) as found:
        yield found
    serve.delete("own")


def test_rows_from_replicas_are_those_of_the_generator(on_serve: Service, expected: pa.Table) -> None:
    answer = on_serve.rows("tiny", rows=60_000, seed=5)
    assert pa.ipc.open_stream(answer.content).read_all().equals(expected)
    small = on_serve.rows("tiny", rows=10, seed=5, offset=100)
    assert pa.ipc.open_stream(small.content).read_all().equals(expected.slice(100, 10))


def test_errors_cross_from_replicas(on_serve: Service) -> None:
    answer = on_serve.rows("tiny", where={"labl": "bad"})
    assert answer.status_code == 422
    assert "'label'" in answer.json()["detail"]


def test_a_replica_that_hangs_costs_time_and_no_request(registry: Path, on_serve: Service) -> None:
    """Calls that it does not answer are made again on the other one."""
    backend = Replicas(serve.get_app_handle("own"))
    with service(registry, backend=backend, limits={"call": 2.0}) as found:
        assert found.rows("tiny").status_code == 200
        hung = _replicas()[0]
        hung.suspend()
        try:
            answers = [found.rows("tiny", rows=rows, seed=rows) for rows in (*range(10, 100, 10), 3000, 9000)]
        finally:
            hung.resume()
        assert [answer.status_code for answer in answers] == [200] * 11
        assert answers[0].content == found.rows("tiny", rows=10, seed=10).content


def test_a_replica_that_is_killed_costs_no_row(on_serve: Service, expected: pa.Table) -> None:
    """The calls that were lost are made again on the other replica: the answer is whole and right."""
    killed: list[int] = []

    def kill() -> None:
        while not killed:
            time.sleep(0.05)
            for process in _replicas():
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
                return

    with requests.post(
        f"{on_serve.url}/v1/models/tiny/samples",
        json={"rows": 60_000, "seed": 5},
        headers=_headers(),
        stream=True,
        timeout=60,
    ) as answer:
        answer.raw.read(1000)
        thread = threading.Thread(target=kill)
        thread.start()
        rest = answer.raw.read()
        thread.join()
    assert len(killed) == 1
    assert len(rest) > 0
    for _ in range(5):
        again = on_serve.rows("tiny", rows=60_000, seed=5)
        assert again.status_code == 200
        assert again.content.endswith(rest[-1000:])
        assert pa.ipc.open_stream(again.content).read_all().equals(expected)


def _headers() -> dict[str, str]:
    from tests.service.services import TOKEN

    return {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "identity"}


def _replicas() -> list[psutil.Process]:
    """Return the processes of the replicas that this test's Ray started."""
    family = psutil.Process().children(recursive=True)
    return [process for process in family if "ServeReplica:own:sampler" in " ".join(process.cmdline())]


def test_behind_ray_serves_proxy(proxy: str, registry: Path, tmp_path: Path) -> None:
    """`serve run serve.app:build`: routes, token and rows as before; answers are capped there."""
    token = add_token(tmp_path / "tokens.yaml", "tester")
    config = ServiceConfig.model_validate(
        {
            "registry": str(registry),
            "auth": {"token_file": str(tmp_path / "tokens.yaml")},
            "limits": {"unpaced_rows": 50_000},
            "replicas": {"cpus": 0.1},
        }
    )
    assert authority_of(config) is not None
    serve.run(application(config), name="fingan", route_prefix="/")
    try:
        url = proxy
        assert requests.get(f"{url}/v1/models", timeout=10).status_code == 401
        headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
        place = f"{url}/v1/models/tiny/samples"
        answer = requests.post(place, json={"rows": 20_000}, headers=headers, timeout=60)
        wanted = load(Registry(registry).fetch("tiny")).sample(20_000)
        assert pa.ipc.open_stream(answer.content).read_all().equals(wanted)
        assert requests.post(place, json={"rows": 50_001}, headers=headers, timeout=10).status_code == 413
        assert b"<html" in requests.get(url, timeout=10).content
    finally:
        serve.delete("fingan")


def test_ray_serves_own_overflow_is_a_429_with_a_time_to_come_again(
    proxy: str, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "front_requests", lambda config: 1)
    token = add_token(tmp_path / "tokens.yaml", "tester")
    values = {"registry": str(registry), "auth": {"token_file": str(tmp_path / "tokens.yaml")}}
    config = ServiceConfig.model_validate({**values, "replicas": {"cpus": 0.1}})
    serve.run(application(config), name="fingan", route_prefix="/")
    try:

        def ask(seed: int) -> requests.Response:
            body, headers = {"rows": 50_000, "seed": seed}, {"Authorization": f"Bearer {token}"}
            return requests.post(f"{proxy}/v1/models/tiny/samples", json=body, headers=headers, timeout=60)

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(ask, range(12)))
        refused = [answer for answer in answers if answer.status_code != 200]
        assert 0 < len(refused) < 12
        assert {answer.status_code for answer in refused} == {429}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    finally:
        serve.delete("fingan")


def test_calls_beyond_the_queue_of_the_replicas_are_refused_with_a_time_to_come_again() -> None:
    class Full:
        def remote(self, argument: object) -> object:
            raise BackPressureError(5, 5)

    class Handle:
        rows = check = prepare = marginals = Full()

    call = RowsCall("tiny:1", "d", 0, 10)
    with pytest.raises(Refused) as caught:
        asyncio.run(Replicas(Handle()).rows(call))  # type: ignore[arg-type]
    assert (caught.value.status, caught.value.retry_after) == (429, 2)


def test_ray_serve_queues_no_more_than_is_bounded(tmp_path: Path) -> None:
    """A front takes all that its own gates let in, so that it is the front that refuses, and says why."""
    add_token(tmp_path / "tokens.yaml", "tester")
    values = {"auth": {"token_file": str(tmp_path / "tokens.yaml")}, "replicas": {"most": 3, "cpus": 2}}
    config = ServiceConfig.model_validate(values)
    admitted = config.limits.streams + 3 * MOST_TOGETHER + 2 * config.limits.queued
    front = application(config)._bound_deployment
    assert front.max_ongoing_requests >= admitted
    assert 0 < front.max_queued_requests < 10 * admitted
    made = replicas(config)._bound_deployment
    assert made.max_ongoing_requests >= MOST_TOGETHER + 3
    assert made.max_queued_requests >= 3 * (MOST_TOGETHER + 3)


def test_a_front_that_could_let_nobody_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from fingan.errors import ConfigError

    monkeypatch.delenv("FINGAN_TOKEN_FILE", raising=False)
    with pytest.raises(ConfigError, match=r"token_file.*--add-token"):
        application(ServiceConfig())
