"""A search as a job: submitted to a head of our own, followed to its end, stopped, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fingan.registry import Registry
from fingan.search import Record, read_record
from tests.cluster.heads import REPOSITORY, Head, head
from tests.cluster.tuning.searches import SMALL
from tests.tiny import FLAGS, arrow

pytestmark = [pytest.mark.slow, pytest.mark.ray]

TUNE = [*FLAGS, *(word for setting in SMALL for word in ("--set", setting)), "--target", "label"]
FIRST = {"training.lr": 0.002, "training.batch_size": 32, "network.width": 8}


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Head]:
    with head(tmp_path_factory.mktemp("head")) as found:
        yield found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    pq.write_table(arrow(), tmp_path / "loans.parquet")
    return tmp_path


def submitted(running: Head, place: Path, *words: str) -> subprocess.Popen[str]:
    """Submit a search as a user does, in a process group of its own as a terminal's."""
    command = [sys.executable, "-m", "fingan", "tune", "loans.parquet", *TUNE, *words, "--json"]
    command += ["--registry", str(place / "models"), "--address", running.dashboard]
    return subprocess.Popen(
        command,
        env=running.env,
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[dict, str]:
    """Wait for a command's end; return the one object that it prints, and what it told on the way."""
    try:
        output, said = process.communicate(timeout=280)
    finally:
        process.kill()
    (line,) = output.splitlines()
    return json.loads(line), said


def test_a_submitted_search_is_followed_and_publishes(running, place):
    (place / "first.json").write_text(json.dumps([FIRST]))
    process = submitted(running, place, "--warm-start", "first.json")
    values, said = ended(process)
    assert process.returncode == 0, said
    assert (values["name"], values["version"], values["interrupted"]) == ("loans", 1, False)
    assert "trying 4 settings, 2 at a time" in said
    assert "trial 1 " in said
    assert "repeating the best settings over seeds" in said
    assert "rows/s" in said, "the winner's training tells of itself"
    assert Registry(place / "models").versions("loans") == [1]
    record = read_record(Path(values["record"]))
    assert record.trials[1].params == FIRST
    assert record.status == "finished"
    assert (
        Record.of_json(Registry(place / "models").show("loans")["metrics"]["search"]).winner == record.winner
    )


def test_a_search_that_is_stopped_goes_on_as_another_job(running, place):
    process = submitted(running, place)
    for line in process.stderr:
        if line.startswith("trying"):
            break
    os.killpg(process.pid, signal.SIGINT)
    values, said = ended(process)
    assert process.returncode == 130, said
    assert (values["version"], values["interrupted"]) == (None, True)
    environment = {"excludes": ["tests", "benchmarks", "docs"], "env_vars": {"OMP_NUM_THREADS": "1"}}
    command = ["ray", "job", "submit", "--address", running.dashboard, "--working-dir", str(REPOSITORY)]
    command += ["--runtime-env-json", json.dumps(environment), "--", "python", "-m", "ray_jobs.tune"]
    command += [str(place / "loans.parquet"), *TUNE, "--registry", str(place / "models"), "--resume"]
    done = subprocess.run(command, env=running.env, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "published loans:1" in done.stdout
    (path,) = (place / "models" / ".runs" / ".searches" / "loans").glob("*/record.json")
    record = read_record(path)
    assert (record.status, str(path)) == ("finished", values["record"])
    assert {trial.number for trial in record.trials if trial.stage == "search"} == {0, 1, 2, 3}
