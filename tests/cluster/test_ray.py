"""Ray Train for real: the same model on any number of workers, a killed worker, clean ends."""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import psutil
import pyarrow.parquet as pq
import pytest

from fingan import cluster
from fingan.cluster.runs import RunFolder
from fingan.cluster.session import ray_session
from fingan.config import ComputeConfig
from fingan.errors import ConfigError, DataError, FinganError
from fingan.training import TrainResult, Update
from tests.processes import largest_difference, train_workers
from tests.tiny import arrow, config

pytestmark = pytest.mark.ray

STEPS = (
    "compute.precision=fp64",
    "training.steps=60",
    "training.validations=3",
    "checkpoint.every_steps=20",
)


@pytest.fixture
def keep_results(monkeypatch) -> None:
    """Keep a finished run's fp64 weights, which the bundle rounds to fp32."""
    monkeypatch.setattr(RunFolder, "clear_state", lambda folder: None)


def result_of(trained: cluster.Trained) -> TrainResult:
    return RunFolder(trained.folder).load_result()


class KillsOnce:
    """Kills one Ray Train worker, as the kernel would for memory, after the first checkpoint."""

    def __init__(self) -> None:
        self.killed: list[int] = []
        self.steps: list[int] = []

    def __call__(self, update: Update) -> None:
        self.steps.append(update.step)
        if not self.killed and update.step >= 20:
            victim = train_workers(psutil.Process())[-1]
            self.killed.append(victim.pid)
            os.kill(victim.pid, signal.SIGKILL)


@pytest.mark.usefixtures("ray_cluster", "keep_results")
def test_two_workers_give_the_model_of_none_even_when_one_is_killed(tmp_path: Path):
    here = cluster.train(arrow(), config(*STEPS), tmp_path, "m")
    killer = KillsOnce()
    there = cluster.train(arrow(), config(*STEPS, "compute.workers=2"), tmp_path, "m", on_update=killer)
    assert killer.killed
    assert killer.steps[-1] == 60
    assert (here.version, there.version) == (1, 2)
    assert largest_difference(result_of(here), result_of(there)) <= 1e-9
    assert result_of(there).steps == result_of(here).steps == 60
    assert not psutil.pid_exists(killer.killed[0]) or psutil.Process(killer.killed[0]).status() == "zombie"


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster", "keep_results")
@pytest.mark.parametrize("workers", [2, 4])
def test_rows_that_are_not_held_give_the_same_model_on_any_number_of_workers(tmp_path: Path, workers: int):
    for number in range(3):
        part = arrow().slice(500 * number, 500)
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(part, tmp_path / "data" / f"{number}.parquet", row_group_size=200)
    streamed = (*STEPS, "data.in_memory=0")
    here = cluster.train(tmp_path / "data", config(*streamed), tmp_path, "m")
    there = cluster.train(tmp_path / "data", config(*streamed, f"compute.workers={workers}"), tmp_path, "m")
    assert largest_difference(result_of(here), result_of(there)) <= 1e-9
    assert not (tmp_path / ".runs" / ".rows").exists(), "encoded rows outlive their run"


@pytest.mark.usefixtures("ray_cluster")
def test_a_worker_has_one_thread():
    import ray

    @ray.remote(num_cpus=1)
    def threads() -> str | None:
        import os

        return os.environ.get("OMP_NUM_THREADS")

    assert ray.get(threads.remote()) == "1"
    with ray_session(ComputeConfig(workers=2)) as session:
        assert not session.own
        assert list(session.each(partial(pow, 2), [3, 1, 2])) == [8, 2, 4]
    assert ray.is_initialized(), "a session inside another's Ray must not end it"


def _refuse(item: int) -> int:
    raise DataError(f"no {item}")


@pytest.mark.usefixtures("ray_cluster")
def test_errors_of_tasks_come_back_as_they_were():
    with ray_session(ComputeConfig()) as session, pytest.raises(DataError, match=r"^no 1$"):
        list(session.each(_refuse, [1, 2]))


def _die(item: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return item


@pytest.mark.usefixtures("ray_cluster")
def test_a_task_that_is_killed_again_and_again_is_an_error_with_a_remedy():
    with ray_session(ComputeConfig()) as session, pytest.raises(FinganError, match=r"was lost: .*row groups"):
        list(session.each(_die, [1, 2]))


def test_gpus_that_are_not_there_are_refused(monkeypatch):
    from fingan.cluster import session

    monkeypatch.setattr(session.ray, "cluster_resources", lambda: {"CPU": 2.0})
    with pytest.raises(ConfigError, match="4 GPUs"):
        session._check_gpus(4)
    session._check_gpus(0)


@pytest.mark.parametrize(("more", "given"), [(0.0, 0), (0.5, None)])
def test_gpus_beside_those_of_the_workers_are_found_and_counted(monkeypatch, more, given):
    from fingan.cluster import session

    started = []
    fake = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **arguments: started.append(arguments["num_gpus"]),
        cluster_resources=lambda: {"CPU": 2.0, "GPU": 0.25},
        shutdown=lambda: None,
    )
    monkeypatch.setattr(session, "ray", fake)
    expected = pytest.raises(ConfigError, match=r"^0\.5 GPUs.*has 0\.25.*replicas") if more else nullcontext()
    with expected, session.ray_session(ComputeConfig(), more_gpus=more):
        pass
    assert started == [given]


def test_a_ray_that_does_not_start_is_an_error_with_a_remedy(monkeypatch):
    from fingan.cluster import session

    def refuse(**arguments):
        raise RuntimeError("no port")

    monkeypatch.setattr(session.ray, "init", refuse)
    with pytest.raises(FinganError, match="--workers 0"):
        session._start(ComputeConfig(workers=2), 0.0)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({}, True),
        ({"RAY_AUTH_MODE": "token"}, True),
        ({"RAY_AUTH_MODE": "disabled"}, False),
        ({"RAY_AUTH_TOKEN_PATH": "own"}, False),
    ],
)
def test_a_token_is_made_only_where_the_user_has_none(given, made, monkeypatch):
    from fingan.cluster import session

    monkeypatch.setattr(session.os, "environ", dict(given))
    session._keep_token()
    assert ("RAY_AUTH_TOKEN" in session.os.environ) is made
    assert len(session.os.environ.get("RAY_AUTH_TOKEN", "")) == 64 * made
