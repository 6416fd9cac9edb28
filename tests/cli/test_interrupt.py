"""Ctrl-C in a real `fingan train`: the best so far is published, and the run can go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from fingan.cli.app import run
from tests.tiny import FLAGS, arrow

ROOT = Path(__file__).resolve().parents[2]
ENDLESS = [*FLAGS, "--set", "training.steps=1000000", "--set", "training.validations=1000"]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pq.write_table(arrow(), "loans.parquet")
    return tmp_path


@contextmanager
def command(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Start the real command in a process group of its own, as a terminal does."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # As on a user's machine: the tests' own settings for Ray do not hold here.
    for name in [name for name in environment if name.startswith("RAY_")]:
        del environment[name]
    environment["HOME"] = str(Path.cwd())
    process = subprocess.Popen(
        [sys.executable, "-m", "fingan", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(process: subprocess.Popen[str], start: str) -> str:
    """Read the process's standard error up to the first line that starts so."""
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith(start):
            return said
    raise AssertionError(f"the process ended before it said {start!r}:\n{said}")


def shorten(place: Path, steps: int) -> None:
    """Let the interrupted run end `steps` after its last checkpoint."""
    (path,) = (place / "registry" / ".runs" / "loans").glob("*/run.json")
    (newest,) = sorted((path.parent / "checkpoints").glob("step-*"))[-1:]
    values = json.loads(path.read_text())
    assert values["status"] == "interrupted"
    values["config"]["training"]["steps"] = int(newest.name.removeprefix("step-")) + steps
    path.write_text(json.dumps(values))


def interrupt_and_check(process: subprocess.Popen[str]) -> dict:
    """Send Ctrl-C to the whole group; return the one object that the command prints."""
    os.killpg(process.pid, signal.SIGINT)
    return end_of(process)


def end_of(process: subprocess.Popen[str]) -> dict:
    """Wait for the end of an interrupted command; return the one object that it prints."""
    output, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert len(output.splitlines()) == 1
    return json.loads(output)


def test_ctrl_c_publishes_the_best_so_far_and_the_run_resumes(place, capsys):
    with command("train", "loans.parquet", "--target", "label", *ENDLESS, "--json") as process:
        until(process, "step")
        result = interrupt_and_check(process)
    assert (result["version"], result["interrupted"]) == (1, True)
    assert result["training"]["stopped_by"] == "interrupted"
    assert run(["sample", "loans", "-n", "100", "-o", "rows.csv"]) == 0
    shorten(place, 20)
    capsys.readouterr()
    assert run(["train", "loans.parquet", "--target", "label", *FLAGS, "--resume", "--json"]) == 0
    resumed = json.loads(capsys.readouterr().out)
    assert (resumed["version"], resumed["interrupted"]) == (2, False)
    assert resumed["training"]["steps"] == result["training"]["steps"] + 20
    assert run(["train", "loans.parquet", *FLAGS, "--resume"]) == 1
    assert "no unfinished run" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.ray
def test_ctrl_c_with_ray_workers_stops_them_all_and_keeps_the_best(place):
    words = ["train", "loans.parquet", "--target", "label", *ENDLESS, "--workers", "2", "--json"]
    with command(*words) as process:
        until(process, "step")
        started = psutil.Process(process.pid).children(recursive=True)
        assert any("RayTrainWorker" in p.name() for p in started)
        result = interrupt_and_check(process)
    assert (result["version"], result["interrupted"]) == (1, True)
    assert not (place / ".ray").exists(), "Ray wrote its token into the home folder"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(p.is_running() for p in started):
        time.sleep(0.1)
    assert not [p for p in started if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
@pytest.mark.ray
def test_a_request_to_terminate_with_ray_workers_keeps_the_best_too(place):
    words = ["train", "loans.parquet", "--target", "label", *ENDLESS, "--workers", "1", "--json"]
    with command(*words) as process:
        until(process, "step")
        process.send_signal(signal.SIGTERM)
        result = end_of(process)
    assert (result["version"], result["interrupted"]) == (1, True)


def test_ctrl_c_before_any_work_leaves_nothing(place):
    with command("train", "loans.parquet", "--target", "label", *ENDLESS, "--json") as process:
        until(process, "reading")
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert len(output.splitlines()) == 1
    assert not list(place.glob("registry/loans/*"))
