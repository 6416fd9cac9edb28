"""Who is let in: bounds, the seconds that are told, and places that are always given back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from fingan.config import LimitsConfig
from fingan.service.admission import Admission
from fingan.service.problems import Refused

Entry = Callable[[], AbstractAsyncContextManager[None]]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def admission(places: int = 1, clock: Clock | None = None, **limits: Any) -> Admission:
    wanted = LimitsConfig(**{"streams": 2, "queued": 2, "wait": 0.05, **limits})
    return Admission(wanted, places, places, clock or Clock())


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 5.0))


async def settle() -> None:
    """Let everything that can go on go on."""
    for _ in range(10):
        await asyncio.sleep(0)


async def refused(entry: Entry) -> Refused:
    with pytest.raises(Refused) as caught:
        async with entry():
            pass
    return caught.value


class Held:
    """Holds a place in a task of its own until it is let go."""

    def __init__(self, entry: Entry) -> None:
        self.inside, self._go = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(self._hold(entry))

    async def _hold(self, entry: Entry) -> None:
        async with entry():
            self.inside.set()
            await self._go.wait()

    async def leave(self) -> None:
        self._go.set()
        await self.task


def test_so_many_answers_are_under_way_and_no_more() -> None:
    async def test() -> None:
        doors = admission(streams=2)
        held = [Held(doors.stream) for _ in range(2)]
        await settle()
        error = await refused(doors.stream)
        assert (error.status, error.code) == (429, "overloaded")
        assert error.retry_after == 1
        assert "2 answers are under way" in error.detail
        await held[0].leave()
        async with doors.stream():
            assert doors.streams == 2
        await held[1].leave()
        assert doors.streams == 0

    run(test())


def test_so_many_requests_wait_and_the_next_is_refused_at_once() -> None:
    async def test() -> None:
        doors = admission(queued=2, wait=60.0)
        working = Held(doors.large.first)
        waiting = [Held(doors.large.first) for _ in range(2)]
        await settle()
        assert doors.waiting == 2
        error = await asyncio.wait_for(refused(doors.large.first), 0.5)
        assert (error.status, error.code) == (429, "overloaded")
        assert "2 requests are waiting" in error.detail
        for held in (working, *waiting):
            await held.leave()
        async with doors.large.first():
            assert doors.waiting == 0

    run(test())


def test_none_waits_where_none_may() -> None:
    async def test() -> None:
        doors = admission(queued=0)
        async with doors.large.first():
            assert (await refused(doors.large.first)).status == 429
        async with doors.large.first():
            pass

    run(test())


def test_who_waits_too_long_is_told_so_and_gives_up_its_place_in_the_queue() -> None:
    async def test() -> None:
        doors = admission(wait=0.02)
        async with doors.large.first():
            error = await refused(doors.large.first)
            assert (error.status, error.code, doors.waiting) == (503, "overloaded", 0)
            assert error.retry_after == 1
        async with doors.large.first():
            pass

    run(test())


def test_those_who_go_on_come_before_those_who_begin() -> None:
    async def test() -> None:
        doors, order = admission(queued=10, wait=5.0), []

        async def call(number: int, entry: Entry) -> None:
            async with entry():
                order.append(number)

        working = Held(doors.large.first)
        await settle()
        entries = [doors.large.first, doors.large.further, doors.large.first, doors.large.further]
        tasks = [asyncio.create_task(call(n, entry)) for n, entry in enumerate(entries)]
        await settle()
        assert order == []
        await working.leave()
        await asyncio.gather(*tasks)
        assert order == [1, 3, 0, 2]

    run(test())


def test_further_calls_wait_as_long_as_it_takes() -> None:
    async def test() -> None:
        doors = admission(queued=0, wait=0.01)
        working = Held(doors.large.first)
        await settle()
        later = [Held(doors.large.further) for _ in range(5)]
        await asyncio.sleep(0.03)
        assert not any(held.inside.is_set() for held in later)
        await working.leave()
        for held in later:
            await held.inside.wait()
            await held.leave()

    run(test())


def test_as_many_calls_are_made_at_a_time_as_there_are_places() -> None:
    async def test() -> None:
        doors = admission(places=3, queued=10)
        held = [Held(doors.large.first) for _ in range(2)] + [Held(doors.large.further) for _ in range(3)]
        await settle()
        assert [one.inside.is_set() for one in held] == [True, True, True, False, False]
        for one in held:
            await one.leave()

    run(test())


@pytest.mark.parametrize("door", ["stream", "first", "further"])
def test_a_place_is_given_back_after_an_error_and_after_a_cancellation(door: str) -> None:
    async def test() -> None:
        doors = admission(streams=1, queued=0)
        entry: Entry = doors.stream if door == "stream" else getattr(doors.large, door)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="a replica is lost"):
                async with entry():
                    raise RuntimeError("a replica is lost")
        held = Held(entry)
        await settle()
        held.task.cancel()
        await asyncio.gather(held.task, return_exceptions=True)
        async with asyncio.timeout(0.5), entry():
            pass
        assert (doors.streams, doors.waiting) == (0, 0)

    run(test())


@pytest.mark.parametrize("door", ["first", "further"])
def test_who_leaves_while_waiting_takes_no_place(door: str) -> None:
    async def test() -> None:
        doors = admission(queued=10, wait=5.0)
        working = Held(doors.large.first)
        await settle()
        leaving, staying = Held(getattr(doors.large, door)), Held(getattr(doors.large, door))
        await settle()
        leaving.task.cancel()
        # In the same breath, so that the place is offered to the one who leaves.
        working._go.set()
        await asyncio.wait_for(staying.inside.wait(), 0.5)
        assert leaving.task.cancelled()
        assert not leaving.inside.is_set()
        assert doors.waiting == 0
        await staying.leave()
        await working.task

    run(test())


def test_the_seconds_that_are_told_grow_with_the_work_ahead() -> None:
    async def test() -> None:
        clock = Clock()
        doors = admission(clock=clock, streams=10, queued=2, wait=60.0)
        # Calls of ten seconds, until the mean has come close.
        for _ in range(60):
            async with doors.large.first():
                clock.now += 10.0
        streams = [Held(doors.stream) for _ in range(10)]
        await settle()
        alone = (await refused(doors.stream)).retry_after
        working, waiting = Held(doors.large.first), [Held(doors.large.first) for _ in range(2)]
        await settle()
        crowded = (await refused(doors.large.first)).retry_after
        assert alone is not None
        assert crowded is not None
        assert 95 <= alone <= 100
        assert 115 <= crowded <= 120
        for held in (*streams, working, *waiting):
            await held.leave()

    run(test())


def test_more_places_promise_less_waiting() -> None:
    async def told(places: int) -> int | None:
        clock = Clock()
        doors = admission(places, clock, streams=4)
        for _ in range(60):
            async with doors.large.further():
                clock.now += 10.0
        held = [Held(doors.stream) for _ in range(4)]
        await settle()
        error = await refused(doors.stream)
        for one in held:
            await one.leave()
        return error.retry_after

    assert (asyncio.run(told(1)), asyncio.run(told(4))) == (40, 10)
