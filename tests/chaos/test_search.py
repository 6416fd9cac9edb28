"""A search whose driver is killed: nothing that had ended is lost, and little of the rest."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest

from fingan.cluster.runs import runs_root
from fingan.cluster.tuning.ledger import SearchFolder, place
from fingan.cluster.tuning.trial import CHECKPOINT_STEPS
from fingan.registry import Registry
from fingan.training.loop import WINDOW
from tests.chaos.drivers import ROOT, table
from tests.processes import family
from tests.tiny import FLAGS

SPACE = "tune.space={training.lr: {low: 0.0005, high: 0.01, log: true}, training.batch_size: [32, 64]}"
SETS = (
    SPACE,
    "tune.trials=5",
    "tune.trial_steps=800",
    "tune.finalists=1",
    "tune.seeds=2",
    "tune.concurrency=2",
)
TUNE = [*FLAGS, "--target", "label", *[word for item in SETS for word in ("--set", item)]]


def start(folder: Path, *words: str) -> psutil.Popen:
    command = [sys.executable, "-m", "fingan", "tune", str(table(folder)), "--name", "m"]
    command += ["--registry", str(folder / "models"), *TUNE, *words]
    with (folder / "driver.log").open("a") as log:
        return psutil.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=log, stderr=log)


def end(process: psutil.Popen) -> None:
    left = [process, *family(process)]
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left, timeout=20)


def folder_of(folder: Path) -> SearchFolder | None:
    parent = place(runs_root(folder / "models"), "m")
    found = sorted(p for p in parent.glob("*") if p.is_dir())
    return SearchFolder(found[-1]) if found else None


def wait_for_steps(folder: Path, steps: int, seconds: float = 180.0) -> None:
    """Wait until the trials together have taken so many steps."""
    limit = time.monotonic() + seconds
    while sum(max(own, default=0) for own in progress(folder).values()) < steps:
        assert time.monotonic() < limit, (folder / "driver.log").read_text()[-4000:]
        time.sleep(0.05)


def progress(folder: Path) -> dict[str, list[int]]:
    """Return the steps that each trial has told of."""
    search = folder_of(folder)
    found: dict[str, list[int]] = {}
    for path in [] if search is None else search.path.glob("*/*/progress.jsonl"):
        steps = found.setdefault(f"{path.parent.parent.name}/{path.parent.name}", [])
        for line in path.read_text().splitlines():
            with suppress(ValueError):
                steps.append(json.loads(line)["step"])
    return found


@pytest.mark.chaos
def test_a_search_killed_at_random_points_loses_at_most_one_interval_of_each_trial(tmp_path):
    chance = np.random.default_rng(0)
    for attempt in range(3):
        process = start(tmp_path, *(["--resume"] if attempt else []))
        try:
            wait_for_steps(tmp_path, int(200 + 400 * attempt + chance.integers(0, 200)))
            process.send_signal(signal.SIGKILL)
        finally:
            end(process)
    search = folder_of(tmp_path)
    assert search is not None
    ended = {t.number: t.curve for t in search.trials("search") if t.status in ("finished", "pruned")}
    before = {name: len(steps) for name, steps in progress(tmp_path).items()}
    process = start(tmp_path, "--resume")
    try:
        try:
            code = process.wait(280)
        except (subprocess.TimeoutExpired, psutil.TimeoutExpired):
            code = None
        assert code == 0, (tmp_path / "driver.log").read_text()[-4000:]
    finally:
        end(process)
    assert Registry(tmp_path / "models").versions("m") == [1]
    after = {t.number: t.curve for t in search.trials("search")}
    assert all(after[number] == curve for number, curve in ended.items()), "an ended trial ran again"
    for number in ended:
        assert len(progress(tmp_path)[f"search/{number:04d}"]) == before[f"search/{number:04d}"]
    for name, steps in progress(tmp_path).items():
        lost = [earlier - later for earlier, later in itertools.pairwise(steps) if later <= earlier]
        assert all(steps_lost <= CHECKPOINT_STEPS + WINDOW for steps_lost in lost), (name, lost)
