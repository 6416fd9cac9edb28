"""A worker killed at a random step of every run: does the run finish, with the same weights, and how soon?

    python -m benchmarks faults --runs 100

Two Ray Train workers on the shipped German credit table; one of them gets SIGKILL. Compared with a run that
nothing happened to, on as many workers, bit for bit.
"""

from __future__ import annotations

import hashlib
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.command import parser
from benchmarks.datasets import DATASETS
from benchmarks.markdown import grid
from benchmarks.results import Results, Row
from benchmarks.runs import settings
from fingan.cluster import train
from fingan.cluster.session import ray_session
from fingan.config import Config
from fingan.rng import numpy_generator
from fingan.training import Update
from fingan.training.loop import WINDOW

STEPS, EVERY = 400, 40
MOST_SECONDS = 30.0
SETS = (
    "training.time_budget=null",
    f"training.steps={STEPS}",
    f"checkpoint.every_steps={EVERY}",
    "training.validations=1",
    "training.batch_size=256",
    "network.width=64",
    "network.blocks=1",
    "sampling.candidates=1",
)


class _Killer:
    """Kills a worker once the run has reached a step, and times the run's way back to where it was."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.resumed: int | None = None
        self.killed: float | None = None
        self.back: float | None = None
        self.reached = 0

    def __call__(self, update: Update) -> None:
        """Look at the run's progress."""
        if self.killed is None and update.step >= self.at:
            self.reached, self.killed = update.step, time.monotonic()
            workers = [p for p in psutil.Process().children(recursive=True) if "RayTrainWorker" in p.name()]
            os.kill(workers[-1].pid, signal.SIGKILL)
        elif self.killed is not None and self.back is None and update.restarts:
            self.back = time.monotonic() - self.killed
            # The first window after the start tells of its own steps too.
            self.resumed = update.step - WINDOW


def _config() -> Config:
    return settings(DATASETS["german_credit"]().target, list(SETS), compute__workers=2, compute__threads=1)


def _weights(folder: Path) -> str:
    data = sorted(folder.glob("m/*/generator.safetensors"))[-1].read_bytes()
    return hashlib.sha256(data).hexdigest()


def run_one(at: int | None) -> dict[str, Any]:
    """Train once; kill a worker at a step, or none.

    Args:
        at: step after which the worker is killed.
    """
    killer = _Killer(STEPS + 1 if at is None else at)
    rows = DATASETS["german_credit"]().train
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        train(rows, _config(), folder, "m", on_update=killer)
        return {
            "seconds": time.monotonic() - started,
            "weights": _weights(Path(folder)),
            "killed_at": killer.reached,
            "recovery_seconds": killer.back,
            "lost_steps": 0 if killer.resumed is None else killer.reached - killer.resumed,
        }


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("faults", __doc__)
    reader.add_argument("--runs", type=int, default=100)
    options = reader.parse_args(arguments)
    results = Results("faults", options.results)
    steps = numpy_generator(0, "benchmark-faults").integers(WINDOW, STEPS - 2 * EVERY, options.runs)
    with ray_session(_config().compute):
        for number, at in enumerate([None, *steps.tolist()]):
            if not results.has(run=number):
                results.add({"run": number, **run_one(at)})
    print(table(results.rows()))


def table(rows: list[Row]) -> str:
    """Return how many runs finished, how soon and how well, as Markdown."""
    undisturbed = [row for row in rows if not row["killed_at"]]
    killed = [row for row in rows if row["killed_at"]]
    if not (undisturbed and killed):
        return ""
    equal = sum(row["weights"] == undisturbed[0]["weights"] for row in killed)
    seconds = [row["recovery_seconds"] for row in killed if row["recovery_seconds"] is not None]
    lost = max(row["lost_steps"] for row in killed)
    lines = [
        ["runs in which a worker was killed", str(len(killed)), ""],
        ["of them finished with the same weights, bit for bit", str(equal), _verdict(equal == len(killed))],
        [
            "seconds until the run told of new steps, median (worst)",
            f"{np.median(seconds):.1f} ({max(seconds):.1f})",
            _verdict(float(np.median(seconds)) <= MOST_SECONDS),
        ],
        [
            f"steps lost, most (a checkpoint every {EVERY}, progress every {WINDOW})",
            str(lost),
            _verdict(lost <= EVERY + WINDOW),
        ],
    ]
    return grid(["", "measured", "bar"], lines)


def _verdict(holds: bool) -> str:
    return "pass" if holds else "miss"
