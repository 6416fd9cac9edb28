"""A reader who leaves before the first byte is no longer worked for, and holds no place."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.service.services import busy, counted, service, until


def test_small_requests_whose_readers_left_are_not_made(
    registry: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with counted(registry) as (bench, passes), service(registry, backend=bench) as found:
        assert found.rows("tiny").status_code == 200
        passes.clear()
        with busy(bench._small), caplog.at_level(logging.INFO, "fingan.audit"):
            with ExitStack() as leaving:
                for seed in range(3):
                    leaving.enter_context(found.asks("tiny", seed=seed))
                # One has gone to the thread that is busy, two are still gathering.
                until(lambda: len(bench._waiting) == 2)
            until(lambda: sum('"status": 499' in one.message for one in caplog.records) == 3)
            assert all(one.answer.cancelled() for one in bench._waiting)
        assert found.rows("tiny").status_code == 200
        # Only what was asked for last.
        assert passes == [1]
    told = [json.loads(one.message) for one in caplog.records if '"status": 200' not in one.message]
    assert len(told) == 3
    assert {(one["status"], one["broken_off"], one["whole"]) for one in told} == {(499, True, False)}


def test_long_answers_give_back_their_places_and_their_turn(registry: Path) -> None:
    """Two places at the gate, one behind them; all leave."""
    with (
        counted(registry) as (bench, _),
        service(registry, backend=bench, limits={"streams": 3, "rows_per_minute": 50_000}) as found,
    ):
        assert found.rows("tiny").status_code == 200
        with busy(bench._large), ExitStack() as leaving:
            for seed in range(3):
                leaving.enter_context(found.asks("tiny", seed=seed, rows=8000))
            until(lambda: (found.gauge("fingan_streams"), found.gauge("fingan_queue")) == (3, 1))
            leaving.close()
            until(lambda: (found.gauge("fingan_streams"), found.gauge("fingan_queue")) == (0, 0))
        # What was not given is not charged.
        assert found.rows("tiny", rows=49_000).status_code == 200


def test_a_long_answer_whose_first_call_nobody_waits_for_any_more_makes_no_second(registry: Path) -> None:
    with counted(registry) as (bench, passes), service(registry, backend=bench) as found:
        assert found.rows("tiny").status_code == 200
        passes.clear()
        with busy(bench._small):
            with found.asks("tiny", rows=100_000):
                until(lambda: found.gauge("fingan_streams") == 1)
            until(lambda: found.gauge("fingan_streams") == 0)
        assert found.rows("tiny").status_code == 200
        assert passes == [1]
        assert bench._large._work_queue.qsize() == 0
