"""Small requests that come together are made together, and neither loading nor long answers hold them up."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fingan.registry import Registry
from fingan.service import sampler as sampling
from fingan.service.calls import MOST_TOGETHER, RowsCall
from fingan.service.sampler import Served
from fingan.service.workbench import Workbench
from tests.service.services import Service, busy, counted, service, until

MANY = 40


def small(found: Service, number: int) -> bytes:
    where = {"label": "bad"} if number % 3 == 0 else {}
    answer = found.rows("tiny", rows=100, seed=number, offset=50 * number, where=where)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_small_requests_over_http_share_forward_passes_and_keep_their_bytes(registry: Path) -> None:
    with counted(registry) as (bench, passes), service(registry, backend=bench) as found:
        alone = [small(found, number) for number in range(MANY)]
        assert passes == [1] * MANY
        passes.clear()
        with ThreadPoolExecutor(MANY) as pool:
            with busy(bench._small):
                asked = [pool.submit(small, found, 0)]
                until(lambda: bench._small._work_queue.qsize() == 1)
                asked += [pool.submit(small, found, number) for number in range(1, MANY)]
                # All are let in: none is refused, and none waits for another's answer.
                until(lambda: len(bench._waiting) == MANY - 1)
            assert [one.result() for one in asked] == alone
        assert sum(passes) == MANY
        assert passes == [1, MANY - 1]


def test_small_requests_get_in_beside_as_many_long_answers_as_may_be(registry: Path) -> None:
    with (
        counted(registry) as (bench, _),
        service(registry, backend=bench, limits={"streams": 2, "queued": 0}) as found,
        ThreadPoolExecutor(2) as pool,
    ):
        small(found, 0)
        with busy(bench._large):
            long = [pool.submit(found.rows, "tiny", rows=5000, seed=seed) for seed in range(2)]
            until(lambda: bench._large._work_queue.qsize() == 2)
            assert found.rows("tiny", rows=5000).status_code == 429
            for number in range(5):
                small(found, number)
        assert [one.result().status_code for one in long] == [200, 200]


def test_more_than_are_made_together_wait_or_are_refused(registry: Path) -> None:
    """Of 70, 64 are made, four wait and two are told to come again."""
    with (
        counted(registry) as (bench, _),
        service(registry, backend=bench, limits={"queued": 4}) as found,
        ThreadPoolExecutor(70) as pool,
    ):
        small(found, 0)
        with busy(bench._small):
            asked = [pool.submit(found.rows, "tiny", rows=10, seed=seed) for seed in range(70)]
            until(lambda: sum(one.done() for one in asked) == 2)
        answers = [one.result() for one in asked]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert [answer.status_code for answer in answers].count(200) == 68
        assert len(refused) == 2
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)


def test_loading_a_version_holds_up_no_small_request(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go, load = threading.Event(), sampling.load_served

    def slow(store: Registry, reference: str, device: str = "cpu") -> Served:
        if reference == "tiny:1":
            go.wait(30.0)
        return load(store, reference, device)

    monkeypatch.setattr(sampling, "load_served", slow)
    digests = {number: Registry(registry).show(f"tiny:{number}")["manifest"]["digest"] for number in (1, 2)}

    async def test(bench: Workbench) -> None:
        calls = {number: RowsCall(f"tiny:{number}", digests[number], 0, 10) for number in (1, 2)}
        await bench.rows(calls[2])
        loading = asyncio.create_task(bench.rows(calls[1]))
        await asyncio.sleep(0.05)
        async with asyncio.timeout(5.0):
            await bench.rows(calls[2])
            await bench.check(calls[2])
        assert not loading.done()
        go.set()
        await loading

    with counted(registry) as (bench, _):
        asyncio.run(test(bench))


def test_checks_and_marginals_are_let_in_like_small_requests(registry: Path) -> None:
    limits = {"queued": 0, "wait": 5.0}
    with counted(registry) as (bench, _), service(registry, backend=bench, limits=limits) as found:
        small(found, 0)
        paths = [f"/v1/models/tiny/samples?format=csv&n={n}" for n in range(MOST_TOGETHER + 6)]
        with ThreadPoolExecutor(len(paths)) as pool, busy(bench._other):
            # Each has a condition of its own, so that each is checked.
            asked = [
                pool.submit(found.ask, "POST", path, json={"rows": 10, "where": {"age": 18 + n / 100}})
                for n, path in enumerate(paths)
            ]
            until(lambda: sum(one.done() for one in asked) == 6)
            assert found.ask("GET", "/v1/models/tiny/marginals").status_code == 429
            assert {one.result().status_code for one in asked if one.done()} == {429}
