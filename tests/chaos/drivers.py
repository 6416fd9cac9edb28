"""Training drivers in processes of their own, which a test may kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from fingan.cluster.runs import RunFolder, runs_root
from tests.processes import family, largest_difference
from tests.tiny import FLAGS, arrow

ROOT = Path(__file__).resolve().parents[2]
STEPS = 400
EVERY = 40
TRAIN = [*FLAGS, "--target", "label"]
TRAIN += [
    w
    for s in (f"training.steps={STEPS}", f"checkpoint.every_steps={EVERY}", "compute.precision=fp64")
    for w in ("--set", s)
]
KEEP = "import fingan.cluster.runs as r; r.RunFolder.clear_state = lambda self: None"
"""A finished run's exact weights stay beside the bundle, which rounds them."""


def table(folder: Path) -> Path:
    path = folder / "loans.parquet"
    if not path.exists():
        pq.write_table(arrow(), path)
    return path


@contextmanager
def driver(folder: Path, *words: str, env: dict[str, str] | None = None) -> Iterator[psutil.Popen]:
    """Start `fingan train` on a small table; end it and what it left at the end."""
    start = f"{KEEP}; from fingan.cli import main; main()"
    command = [sys.executable, "-c", start, "train", str(table(folder)), "--name", "m"]
    command += ["--registry", str(folder / "models"), *TRAIN, *words]
    with (folder / "driver.log").open("a") as log:
        process = psutil.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=log, stderr=log)
    try:
        yield process
    finally:
        left = [*family(process), process]
        for one in left:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(left, timeout=10)


def run_of(folder: Path) -> RunFolder:
    """Return the newest run."""
    runs = sorted(p for p in (runs_root(folder / "models") / "m").glob("*") if p.is_dir())
    return RunFolder(runs[-1]) if runs else RunFolder(folder / "nothing yet")


def steps_of(folder: Path) -> list[int]:
    """Return the steps that the newest run has told of."""
    path = run_of(folder).progress
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        with suppress(ValueError):
            found.append(int(json.loads(line)["step"]))
    return found


def wait_for_step(folder: Path, step: int, seconds: float = 120.0) -> None:
    """Wait until the newest run has reached a step."""
    limit = time.monotonic() + seconds
    while not any(s >= step for s in steps_of(folder)):
        assert time.monotonic() < limit, (folder / "driver.log").read_text()[-4000:]
        time.sleep(0.05)


def end_of(process: psutil.Popen, folder: Path, seconds: float = 180.0) -> None:
    """Wait until a driver has ended well."""
    try:
        code = process.wait(seconds)
    except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
        code = None
    assert code == 0, (folder / "driver.log").read_text()[-4000:]


def between(one: Path, other: Path) -> float:
    """Return by how much the weights of two finished runs differ."""
    return largest_difference(*(run_of(folder).load_result() for folder in (one, other)))
