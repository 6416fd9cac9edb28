"""The service on Ray Serve: replicas behind a front, over HTTP, and replicas that die."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pyarrow as pa
import pytest
import ray
import requests
from ray import serve
from ray.serve.exceptions import BackPressureError

from fingan.config import ServiceConfig
from fingan.generator import load
from fingan.registry import Registry
from fingan.service import deployment
from fingan.service.authorities import authority_of
from fingan.service.calls import MOST_TOGETHER, RowsCall
from fingan.service.deployment import SAMPLER, Replicas, application, replicas
from fingan.service.identity import add_token
from fingan.service.problems import Refused
from fingan.service.telemetry import Prometheus
from tests.cluster.heads import free_port
from tests.service.services import Service, service
from tests.service.spoilt import SpoiltReplica

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
    counts = Prometheus()
    backend = Replicas(handle, counts.together)
    with service(registry, backend=backend, telemetry=counts, replicas=config.replicas.model_dump()) as found:
        yield found
    serve.delete("own")


def test_rows_from_replicas_are_those_of_the_generator(on_serve: Service, expected: pa.Table) -> None:
    answer = on_serve.rows("tiny", rows=60_000, seed=5)
    assert pa.ipc.open_stream(answer.content).read_all().equals(expected)
    small = on_serve.rows("tiny", rows=10, seed=5, offset=100)
    assert pa.ipc.open_stream(small.content).read_all().equals(expected.slice(100, 10))


def test_what_replicas_make_together_is_counted_by_the_front(on_serve: Service) -> None:
    asked = 12
    before = _together(on_serve)
    with ThreadPoolExecutor(asked) as pool:
        answers = list(pool.map(lambda seed: on_serve.rows("tiny", seed=seed), range(asked)))
    assert {answer.status_code for answer in answers} == {200}
    passes, calls = (now - then for now, then in zip(_together(on_serve), before, strict=True))
    assert calls == asked
    assert 1 <= passes <= calls


def _together(found: Service) -> tuple[float, float]:
    text = found.ask("GET", "/metrics").text
    counted = [
        re.search(rf"^fingan_batch_calls_{end} (\S+)$", text, re.MULTILINE) for end in ("count", "sum")
    ]
    return tuple(float(one[1]) for one in counted if one is not None)  # type: ignore[return-value]


def test_errors_cross_from_replicas(on_serve: Service) -> None:
    answer = on_serve.rows("tiny", where={"labl": "bad"})
    assert answer.status_code == 422
    assert "'label'" in answer.json()["detail"]


def test_ready_where_replicas_make_rows_and_not_where_they_do_not(on_serve: Service, registry: Path) -> None:
    assert on_serve.ask("GET", "/v2/health/ready").status_code == 200
    config = ServiceConfig.model_validate({"registry": str(registry)})
    options = {"name": SAMPLER, "ray_actor_options": {"num_cpus": 0.1}}
    handle = serve.run(
        serve.deployment(**options)(SpoiltReplica).bind(config), name="spoilt", route_prefix=None
    )
    try:
        with service(registry, backend=Replicas(handle)) as found:
            assert found.ask("GET", "/v2/health/ready").status_code == 503
            assert found.ask("GET", "/v2/health/live").status_code == 200
    finally:
        serve.delete("spoilt")


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
        assert requests.post(place, json={"rows": 10}, headers=headers, timeout=60).status_code == 200
        wanted = load(Registry(registry).fetch("tiny")).sample(20_000)
        assert pa.ipc.open_stream(answer.content).read_all().equals(wanted)
        assert requests.post(place, json={"rows": 50_001}, headers=headers, timeout=10).status_code == 413
        assert b"<html" in requests.get(url, timeout=10).content
        _gathered_by_ray()
        audit = _errors_of_front()
        assert '"caller": "tester"' in audit
        assert '"status": 401' in audit
        assert token not in audit
    finally:
        serve.delete("fingan")


def _gathered_by_ray() -> None:
    """Wait until Ray tells what the front counted, under the front's own names behind `ray_`."""
    (node,) = ray.nodes()
    wanted = {
        "fingan_rows_total": r'model="tiny"',
        "fingan_requests_total": r'status="413"',
        "fingan_request_seconds_bucket": r'route="/v1/models/{model}/samples"',
        "fingan_batch_calls_count": "",
        "fingan_model_version": r'reference="tiny:latest"',
        "fingan_streams": "",
        "fingan_queue": "",
    }
    deadline = time.monotonic() + 60
    missing = set(wanted)
    while missing:
        assert time.monotonic() < deadline, missing
        time.sleep(1)
        place = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        lines = requests.get(place, timeout=10).text.splitlines()
        missing = {
            name
            for name in missing
            if not any(line.startswith(f"ray_{name}{{") and wanted[name] in line for line in lines)
        }


def _errors_of_front() -> str:
    """Return what the front of this test's Ray wrote to standard error."""
    family = psutil.Process().children(recursive=True)
    (front,) = [one for one in family if "ServeReplica:fingan:front" in " ".join(one.cmdline())]
    return Path(f"/proc/{front.pid}/fd/2").read_text(errors="replace")


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


def test_a_front_that_would_let_everybody_in_is_refused(tmp_path: Path) -> None:
    """Where the proxy listens is not known to the application."""
    from fingan.errors import ConfigError

    add_token(tmp_path / "tokens.yaml", "tester")
    auth = {"required": False, "token_file": str(tmp_path / "tokens.yaml")}
    with pytest.raises(ConfigError, match=r"auth\.required: False.*auth\.token_file"):
        application(ServiceConfig.model_validate({"auth": auth}))
