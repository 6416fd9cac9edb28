"""Drivers and workers that die or hang: the run goes on, to the same bits."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.chaos.drivers import (
    EVERY,
    STEPS,
    between,
    driver,
    end_of,
    run_of,
    steps_of,
    wait_for_step,
)
from tests.processes import family, train_workers

WORKERS = ("--workers", "2")


def finished(folder: Path, *words: str) -> Path:
    """Train without any disturbance."""
    with driver(folder, *words) as process:
        end_of(process, folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A run of two workers that nothing happened to."""
    return finished(tmp_path_factory.mktemp("undisturbed"), *WORKERS)


@pytest.mark.chaos
def test_a_killed_driver_without_workers_is_resumed_at_once(tmp_path):
    with driver(tmp_path) as process:
        wait_for_step(tmp_path, 2 * EVERY)
        process.kill()
        process.wait(10)
    reached = steps_of(tmp_path)[-1]
    assert reached < STEPS
    finished(tmp_path, "--resume")
    (tmp_path / "other").mkdir()
    assert between(tmp_path, finished(tmp_path / "other")) == 0.0


@pytest.mark.chaos
def test_a_killed_driver_takes_its_workers_along_and_its_run_is_resumed(undisturbed, tmp_path):
    with driver(tmp_path, *WORKERS) as process:
        wait_for_step(tmp_path, 2 * EVERY)
        trained, left = train_workers(process), family(process)
        process.kill()
        process.wait(10)
        _, alive = psutil.wait_procs(trained, timeout=30)
        assert not alive, "workers outlive their driver"
        # Ray's agents notice the end of their node a while later.
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
    reached = steps_of(tmp_path)[-1]
    notes = [p for p in (run_of(tmp_path).path / "ray").rglob("*") if p.is_file() and p.stat().st_size]
    for path in notes:
        os.truncate(path, path.stat().st_size // 2)
    begun = time.monotonic()
    with driver(tmp_path, *WORKERS, "--resume") as process:
        wait_for_step(tmp_path, reached + 20)
        assert time.monotonic() - begun < 60
        end_of(process, tmp_path)
    again = [s for s, before in zip(steps_of(tmp_path)[1:], steps_of(tmp_path), strict=False) if s <= before]
    assert len(again) <= 1
    assert all(s > reached - EVERY for s in again), "more was lost than one checkpoint interval"
    assert between(tmp_path, undisturbed) == 0.0


@pytest.mark.chaos
def test_a_worker_that_hangs_is_replaced(undisturbed, tmp_path):
    with driver(
        tmp_path, *WORKERS, "--set", "compute.timeout=10s", env={"RAY_TRAIN_COLLECTIVE_TIMEOUT_S": "10"}
    ) as process:
        wait_for_step(tmp_path, 2 * EVERY)
        victim = train_workers(process)[-1]
        victim.send_signal(signal.SIGSTOP)
        end_of(process, tmp_path)
        assert not psutil.pid_exists(victim.pid)
    assert steps_of(tmp_path)[-1] == STEPS
    assert len((run_of(tmp_path).path / "starts.jsonl").read_text().splitlines()) == 2
    assert between(tmp_path, undisturbed) == 0.0


@pytest.mark.chaos
@pytest.mark.parametrize("kills", [2])
def test_workers_killed_again_and_again(undisturbed, tmp_path, kills):
    with driver(tmp_path, *WORKERS) as process:
        for number in range(kills):
            wait_for_step(tmp_path, (2 + 3 * number) * EVERY)
            train_workers(process)[number % 2].kill()
        end_of(process, tmp_path)
    assert between(tmp_path, undisturbed) == 0.0
