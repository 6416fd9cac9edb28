"""A disk that is full in mid-run costs checkpoints, not the run."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.drivers import EVERY, between, driver, end_of, run_of, wait_for_step

SIZE = "8m"


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """The registry's folder, on a disk of 8 MiB of its own."""
    folder = tmp_path / "models"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(path: Path) -> None:
    """Take all that is left of a disk."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(os.urandom(size))
            except OSError:
                continue


def wait_for_log(folder: Path, text: str, seconds: float = 60.0) -> str:
    limit = time.monotonic() + seconds
    while text not in (log := (folder / "driver.log").read_text()):
        assert time.monotonic() < limit, log[-4000:]
        time.sleep(0.05)
    return next(line for line in log.splitlines() if text in line)


@pytest.mark.chaos
def test_a_full_disk_costs_checkpoints_and_not_the_run(tmp_path, small_disk):
    steps = ("--set", "training.steps=1200")
    with driver(tmp_path, *steps) as process:
        wait_for_step(tmp_path, 2 * EVERY)
        filler = small_disk / "filler"
        fill(filler)
        message = wait_for_log(tmp_path, "no checkpoint at step")
        kept = sorted(run_of(tmp_path).checkpoints.glob("step-*"))
        filler.unlink()
        end_of(process, tmp_path)
    assert str(run_of(tmp_path).checkpoints) in message
    assert "bytes" in message
    assert "No space left" in message
    assert kept, "the earlier checkpoints were lost"
    newest = max(run_of(tmp_path).checkpoints.glob("step-*"))
    assert newest.name > kept[-1].name, "no checkpoint was written once there was room again"
    (tmp_path / "other").mkdir()
    with driver(tmp_path / "other", *steps) as process:
        end_of(process, tmp_path / "other")
    assert between(tmp_path, tmp_path / "other") == 0.0
