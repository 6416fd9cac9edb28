"""What a worker does with settings, errors and requests, without Ray."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch

from fingan.cluster import worker
from fingan.cluster.runs import RunFolder
from fingan.cluster.worker import FolderHooks, RayHooks, train_worker
from fingan.errors import CheckpointCorrupt, DataError, FinganError, TrainingDiverged
from fingan.training import TrainResult, Update
from tests.tiny import config

UPDATE = Update(20, 40, 1.0, 1.0, 1000.0, None, None, {}, "checkpoint")
RESULT = TrainResult({"w": torch.zeros(1)}, None, 0, 40, 1.0, 1.0, 0, "finished")


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder.create(tmp_path, "m", config(), {})


@pytest.fixture
def work(folder, monkeypatch):
    """Run a worker of the given rank whose run does what is given; restore the threads."""
    threads = torch.get_num_threads()

    def call(train, rank: int = 0, build=None, driver: str | None = None) -> dict[str, str]:
        context = types.SimpleNamespace(get_world_rank=lambda: rank, get_world_size=lambda: 2)
        monkeypatch.setattr(worker.ray.train, "get_context", lambda: context)
        run = types.SimpleNamespace(train=train)
        monkeypatch.setattr(worker, "_build", (lambda settings, where: run) if build is None else build)
        word = folder.driver() if driver is None else driver
        return train_worker({"folder": str(folder.path), "driver": word, "threads": 1})

    yield call
    torch.set_num_threads(threads)


def raising(error: Exception):
    def act(*arguments: object) -> TrainResult:
        raise error

    return act


def test_rank_0_saves_the_result_and_every_worker_has_one_thread(work, folder):
    torch.set_num_threads(2)
    assert work(lambda: RESULT, rank=1) == {}
    assert torch.get_num_threads() == 1
    with pytest.raises(CheckpointCorrupt):
        folder.load_result()
    assert work(lambda: RESULT) == {}
    assert folder.load_result().steps == 40


def test_an_error_that_all_workers_meet_is_returned(work, folder):
    assert work(raising(TrainingDiverged("wild"))) == {"error": "TrainingDiverged", "message": "wild"}
    assert folder.error() == {}


@pytest.mark.parametrize("error", [CheckpointCorrupt("torn"), DataError("no rows"), OSError(5, "gone")])
def test_an_error_before_training_is_noted_and_raised_for_the_others_do_not_have_it(work, folder, error):
    """Returned, it would leave the others waiting in the first exchange until that times out."""
    with pytest.raises(type(error)):
        work(None, build=raising(error), rank=1)
    assert folder.error() == {"error": type(error).__name__, "message": str(error)}


def test_a_worker_that_does_not_see_the_folder_says_so_at_once(work, folder, monkeypatch):
    build = worker._build
    elsewhere = RunFolder(folder.path.parent / "not mounted")
    with pytest.raises(FinganError, match=r"not mounted is not to be seen .*FINGAN_RUNS"):
        work(None, build=lambda settings, _: build(settings, elsewhere), rank=1)
    monkeypatch.setattr(worker, "RunFolder", lambda _: elsewhere)
    with pytest.raises(FinganError, match="not to be seen"):
        work(None, build=build, rank=1)
    assert not elsewhere.path.exists()


@pytest.mark.parametrize("error", [OSError(28, "full"), DataError("odd")])
def test_an_error_of_one_worker_is_noted_raised_and_found_at_the_next_start(work, folder, error):
    with pytest.raises(type(error)):
        work(raising(error))
    noted = {"error": type(error).__name__, "message": str(error)}
    assert folder.error() == noted
    assert work(lambda: pytest.fail("it must not train again")) == noted


def test_an_unknown_error_is_left_to_rays_retry(work, folder):
    with pytest.raises(RuntimeError, match="connection reset"):
        work(raising(RuntimeError("connection reset by peer")))
    assert folder.error() == {}


def test_hooks_write_progress_and_see_a_request_to_stop(folder):
    hooks = FolderHooks(folder, folder.renew())
    hooks.on_update(UPDATE)
    hooks.on_checkpoint(Path("x"), UPDATE)
    assert folder.progress.read_text().count("\n") == 1
    assert not hooks.should_stop()
    folder.stop.touch()
    assert hooks.should_stop()


def test_ray_is_told_of_checkpoints_in_plain_numbers(folder, monkeypatch):
    told = []
    monkeypatch.setattr(worker.ray.train, "report", told.append)
    RayHooks(folder, "").on_checkpoint(None, UPDATE)
    assert told[0]["step"] == 20
    assert told[0]["score"] != told[0]["score"]


def test_workers_of_a_driver_that_was_replaced_write_no_more(work, folder):
    hooks = FolderHooks(folder, folder.renew())
    assert not hooks.should_stop()
    replaced = folder.driver()
    folder.renew()
    with pytest.raises(FinganError, match="another driver"):
        hooks.should_stop()

    def stale(*arguments: object) -> TrainResult:
        hooks.should_stop()
        raise AssertionError

    with pytest.raises(FinganError, match="another driver"):
        work(stale, driver=replaced)
    assert folder.error() == {}, "the run of the new driver must not hear of it"
