"""Partitioned samples whose workers or driver are killed in the middle: the same bytes in the end."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from fingan.cluster.bulk import sample_partitions
from tests.chaos.drivers import ROOT
from tests.cluster.bulk.samples import contents
from tests.processes import family
from tests.tiny import published

ROWS, PART = 900_000, 300_000


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> str:
    """A registry with version 1 of the model `m`."""
    return published(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def undisturbed(registry, tmp_path_factory) -> dict[str, bytes]:
    """The folder of a run that nothing disturbed."""
    place = tmp_path_factory.mktemp("undisturbed") / "rows"
    sample_partitions(registry, "m", ROWS, place, partition_rows=PART, workers=0)
    return contents(place)


def workers_at(process: psutil.Process, place: Path) -> list[psutil.Process]:
    """Return the descendants that have a file of the folder open."""
    found = []
    for one in family(process):
        with suppress(psutil.Error):
            if any(file.path.startswith(f"{place}/") for file in one.open_files()):
                found.append(one)
    return found


class KillsOnce:
    """Kills one worker, as the kernel would for memory, while it writes a part."""

    def __init__(self, place: Path) -> None:
        self.place, self.killed = place, list[int]()

    def __call__(self) -> bool:
        if not self.killed:
            for worker in workers_at(psutil.Process(), self.place)[:1]:
                self.killed.append(worker.pid)
                os.kill(worker.pid, signal.SIGKILL)
        return False


@pytest.mark.chaos
def test_a_killed_worker_costs_nothing_but_time(registry, undisturbed, tmp_path):
    killer = KillsOnce(tmp_path / "rows")
    done = sample_partitions(
        registry, "m", ROWS, tmp_path / "rows", partition_rows=PART, workers=2, should_stop=killer
    )
    assert killer.killed
    assert (done.finished, done.made) == (True, ROWS)
    assert contents(tmp_path / "rows") == undisturbed


@pytest.mark.chaos
def test_a_killed_driver_is_followed_by_one_that_makes_the_rest(registry, undisturbed, tmp_path):
    place = tmp_path / "rows"
    words = ["sample", "m", "--registry", registry, "-n", str(ROWS), "-o", f"{place}/"]
    words += ["--partition-rows", str(PART), "--workers", "1"]
    with (tmp_path / "log").open("w") as log:
        driver = psutil.Popen([sys.executable, "-m", "fingan", *words], cwd=ROOT, stdout=log, stderr=log)
    limit = time.monotonic() + 200
    while not (place / "_parts" / "part-000000.json").exists():
        assert time.monotonic() < limit
        assert driver.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    whole = [*family(driver), driver]
    for one in reversed(whole):
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(whole, timeout=30)
    assert not (place / "_manifest.json").exists()
    done = sample_partitions(registry, "m", ROWS, place, partition_rows=PART, workers=0)
    assert done.finished
    assert 0 < done.made < ROWS
    assert contents(place) == undisturbed
