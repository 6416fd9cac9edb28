"""Calls that do not come back in time: made once again, then given up with a time to come again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fingan.service.calls import RowsCall
from fingan.service.patience import Patient
from fingan.service.problems import Refused
from fingan.types import Json
from tests.service.numbered import Replica, run
from tests.service.services import counted, service


class Hanging(Replica):
    """Does not answer its first calls.

    Args:
        first: so many of them.
    """

    def __init__(self, first: int) -> None:
        super().__init__()
        self._first = first
        self.calls = self.left = 0

    async def _hang(self) -> None:
        self.calls += 1
        if self.calls <= self._first:
            try:
                await asyncio.Event().wait()
            finally:
                self.left += 1

    async def rows(self, call: RowsCall) -> bytes:
        await self._hang()
        return await super().rows(call)

    async def prepare(self, model: str) -> Json:
        await self._hang()
        return {"model": model}

    async def marginals(self, model: str) -> Json:
        return await self.prepare(model)

    async def check(self, call: RowsCall) -> Json:
        return await self.prepare(call.model)


CALL = RowsCall("tiny:1", "d", 0, 10)
CALLS = [("prepare", "tiny:1"), ("marginals", "tiny:1"), ("check", CALL), ("rows", CALL)]


@pytest.mark.parametrize(("method", "argument"), CALLS)
def test_a_call_that_hangs_is_made_once_again(method: str, argument: object) -> None:
    async def test() -> None:
        hanging = Hanging(1)
        found = await getattr(Patient(hanging, 0.02), method)(argument)
        assert found == await getattr(hanging, method)(argument)
        # Nobody waits for the first any more.
        assert hanging.left == 1

    run(test())


@pytest.mark.parametrize(("method", "argument"), CALLS)
def test_a_call_that_hangs_again_is_given_up(method: str, argument: object) -> None:
    async def test() -> None:
        hanging = Hanging(2)
        with pytest.raises(Refused, match=r"limits\.call = 0\.02 s.*ask again") as caught:
            await getattr(Patient(hanging, 0.02), method)(argument)
        assert (caught.value.status, caught.value.retry_after) == (503, 1)
        assert (hanging.calls, hanging.left) == (2, 2)

    run(test())


def test_a_call_that_comes_late_is_as_good_as_one_made_again() -> None:
    async def test() -> None:
        class Late(Replica):
            async def rows(self, call: RowsCall) -> bytes:
                first = not self.asked
                made = await super().rows(call)
                await asyncio.sleep(0.08 if first else 60.0)
                return made

        late = Late()
        assert await Patient(late, 0.05).rows(CALL)
        assert len(late.asked) == 2

    run(test())


def test_errors_and_cancellation_pass() -> None:
    async def test() -> None:
        replica = Replica()
        replica.failing[0] = Refused(503, "replica_lost", "lost")
        with pytest.raises(Refused, match="lost"):
            await Patient(replica, 5.0).rows(CALL)
        hanging = Hanging(9)
        waiting = asyncio.create_task(Patient(hanging, 5.0).rows(CALL))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert (waiting.cancelled(), hanging.calls, hanging.left) == (True, 1, 1)

    run(test())


@pytest.mark.parametrize("rows", [10, 5000])
def test_a_replica_that_hangs_costs_a_request_and_no_place(registry: Path, rows: int) -> None:
    with counted(registry) as (bench, _):
        hung: list[RowsCall] = []
        make = bench.rows

        async def rows_of(call: RowsCall) -> bytes:
            if call.seed == 1:
                hung.append(call)
                await asyncio.Event().wait()
            return await make(call)

        bench.rows = rows_of  # type: ignore[method-assign]
        limits = {"call": 0.2, "streams": 1, "queued": 0}
        with service(registry, backend=bench, limits=limits) as found:
            for _ in range(3):
                answer = found.rows("tiny", rows=rows, seed=1)
                assert (answer.status_code, answer.json()["code"]) == (503, "replica_slow")
                assert int(answer.headers["Retry-After"]) >= 1
            assert len(hung) == 6
            assert found.rows("tiny", rows=rows, seed=2).status_code == 200
