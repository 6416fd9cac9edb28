"""Training through the driver, without Ray: publishing, interrupting, resuming, refusing."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import SafetensorError

from fingan import cluster
from fingan.cluster import driver, lease
from fingan.cluster.following import InThread, follow
from fingan.cluster.runs import RunFolder, runs_root
from fingan.cluster.trainer import raise_known
from fingan.cluster.worker import FolderHooks
from fingan.errors import ConfigError, DataError, FinganError, NotFound, TrainingDiverged, UserError
from fingan.preparation import infer
from fingan.registry import Registry
from fingan.training import Run
from tests.cluster.interrupts import CtrlC, ctrl_c_while_finishing
from tests.tiny import arrow, config, rare_table

LONG = ("training.steps=100000", "training.validations=1000", "checkpoint.every_steps=20")


def run_of(registry: Path) -> tuple[RunFolder, dict]:
    (path,) = (runs_root(registry) / "m").iterdir()
    return RunFolder(path), RunFolder(path).read()


def set_steps(folder: RunFolder, steps: int) -> None:
    values = folder.read()
    values["config"]["training"]["steps"] = steps
    folder.write(values)


def test_a_run_is_published_and_tells_its_stages(tmp_path):
    updates, stages = [], []
    trained = cluster.train(arrow(), config(), tmp_path, "m", False, updates.append, stages.append)
    assert (trained.name, trained.version, trained.interrupted) == ("m", 1, False)
    assert [update.step for update in updates] == [20, 40]
    assert stages == ["reading and encoding", "training", "calibrating and publishing"]
    folder, values = run_of(tmp_path)
    assert folder.path == trained.folder
    assert (values["status"], values["version"]) == ("finished", 1)
    assert sorted(p.name for p in folder.path.iterdir()) == ["progress.jsonl", "run.json"]


def test_the_name_comes_from_the_file_and_is_checked(tmp_path):
    pq.write_table(arrow(), tmp_path / "My Loans.parquet")
    assert cluster.train(tmp_path / "My Loans.parquet", config(), tmp_path).name == "my-loans"
    with pytest.raises(ConfigError, match="name"):
        cluster.train(arrow(), config(), tmp_path, "../up")


def test_an_interrupted_run_publishes_and_resumes_to_the_same_model(tmp_path, monkeypatch):
    """Stopped at step 20 and resumed, a run of 60 steps gives the rows of an undisturbed one."""
    fixed = ("training.steps=60", "training.validations=3", "checkpoint.every_steps=20")
    straight = cluster.train(arrow(), config(*fixed), tmp_path / "straight", "m")

    cut = tmp_path / "cut"
    with monkeypatch.context() as patch:
        asked = iter([False, True])
        patch.setattr(FolderHooks, "should_stop", lambda hooks: next(asked))
        first = cluster.train(arrow(), config(*fixed), cut, "m")
    assert (first.version, first.interrupted) == (1, True)
    folder, values = run_of(cut)
    assert values["status"] == "interrupted"
    assert [path.name for path in folder.checkpoints.glob("step-*")] == ["step-000000020"]
    second = cluster.train(arrow(), config("seed=99"), cut, "m", resume=True)
    assert (second.version, second.interrupted, second.folder) == (2, False, first.folder)
    assert second.generator.config.seed == 0
    assert second.generator.sample(100).equals(straight.generator.sample(100))


def test_a_resumed_run_keeps_its_precision_and_runs_where_the_command_says(tmp_path):
    precise = (*LONG, "compute.precision=fp64")
    cluster.train(arrow(), config(*precise), tmp_path, "m", on_update=CtrlC(1))
    folder, _ = run_of(tmp_path)
    set_steps(folder, 1)
    resumed = cluster.train(arrow(), config("compute.threads=1"), tmp_path, "m", resume=True)
    assert (resumed.version, resumed.folder) == (2, folder.path)
    assert resumed.generator.config.compute.precision == "fp64"
    assert resumed.generator.config.compute.threads == 1


def test_a_run_in_this_process_has_the_threads_that_are_given(tmp_path, monkeypatch):
    threads, train = [], Run.train
    monkeypatch.setattr(Run, "train", lambda run: (threads.append(torch.get_num_threads()), train(run))[1])
    cluster.train(arrow(), config("compute.threads=3"), tmp_path, "m")
    assert threads == [3]


def test_a_stop_before_the_first_step_publishes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(FolderHooks, "should_stop", lambda hooks: True)
    with pytest.raises(KeyboardInterrupt):
        cluster.train(arrow(), config(), tmp_path, "m")
    assert not list(tmp_path.iterdir())


def test_a_second_ctrl_c_leaves_at_once_and_publishes_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        cluster.train(arrow(), config(*LONG), tmp_path, "m", on_update=CtrlC(1, 2))
    assert Registry(tmp_path).names() == []


def test_ctrl_c_while_rare_classes_train_publishes_without_them_and_resumes(tmp_path, monkeypatch):
    stages: list[str] = []
    with monkeypatch.context() as patch:
        press = ctrl_c_while_finishing(patch)
        first = cluster.train(
            rare_table(), config(), tmp_path, "m", on_stage=lambda s: (stages.append(s), press(s))
        )
    assert (first.version, first.interrupted, first.generator.rare) == (1, True, ())
    assert stages[-2:] == [
        "training 1 small network(s) of rare classes, then calibrating and publishing",
        "stopping and keeping the best so far; Ctrl-C again leaves at once",
    ]
    assert run_of(tmp_path)[1]["status"] == "interrupted"
    second = cluster.train(rare_table(), config(), tmp_path, "m", resume=True)
    assert (second.version, second.interrupted) == (2, False)
    assert [str(own.value) for own in second.generator.rare] == ["bad"]
    straight = cluster.train(rare_table(), config(), tmp_path / "straight", "m")
    assert second.generator.sample(100).equals(straight.generator.sample(100))


def test_ctrl_c_when_training_is_over_publishes_the_whole(tmp_path, monkeypatch):
    trained = cluster.train(arrow(), config(), tmp_path, "m", on_stage=ctrl_c_while_finishing(monkeypatch))
    assert (trained.version, trained.interrupted) == (1, True)
    assert run_of(tmp_path)[1]["status"] == "finished"


@pytest.mark.parametrize("searching", [False, True])
def test_encoded_rows_stay_for_a_live_search_of_the_name_and_go_without(tmp_path, searching):
    pq.write_table(arrow(), tmp_path / "loans.parquet", row_group_size=500)
    registry = tmp_path / "models"
    claim = {"holder": "h", "run": "m", "machine": "far away", "pid": 1, "born": "1"}
    if searching:
        place = runs_root(registry) / ".searches" / "m"
        place.mkdir(parents=True)
        (place / "lease.json").write_text(json.dumps(claim))
    streamed = config("data.in_memory=0")
    assert cluster.train(tmp_path / "loans.parquet", streamed, registry, "m").version == 1
    assert (runs_root(registry) / ".rows").exists() is searching


def test_whoever_pressed_ctrl_c_while_training_leaves_with_the_next():
    def press() -> None:
        raise KeyboardInterrupt

    stops: list[bool] = []
    with pytest.raises(KeyboardInterrupt):
        follow(InThread(lambda: time.sleep(5)), press, lambda: stops.append(True), interrupted=True)
    assert not stops


def test_resume_refuses_other_data_and_takes_the_same_in_another_form(tmp_path):
    cluster.train(arrow(), config(*LONG), tmp_path, "m", on_update=CtrlC(1))
    number = arrow().schema.get_field_index("age")
    ages = pa.array([*reversed(arrow()["age"].to_pylist())])
    other = arrow().set_column(number, "age", ages)
    for table in (other, arrow().slice(0, 1000)):
        with pytest.raises(ConfigError, match="other data"):
            cluster.train(table, config(), tmp_path, "m", resume=True)
    folder, _ = run_of(tmp_path)
    set_steps(folder, 1)
    assert cluster.train(arrow().to_pandas(), config(), tmp_path, "m", resume=True).version == 2


def test_resume_does_not_need_the_schema_where_it_was(tmp_path):
    """A job's own folder is deleted when the job is over."""
    given = tmp_path / "job" / "schema.yaml"
    given.parent.mkdir()
    given.write_text(infer(arrow(), config())[0].to_yaml())
    settings = config(*LONG, f"data.schema={given}")
    cluster.train(arrow(), settings, tmp_path / "models", "m", on_update=CtrlC(1))
    shutil.rmtree(given.parent)
    folder, _ = run_of(tmp_path / "models")
    set_steps(folder, 1)
    assert cluster.train(arrow(), config(), tmp_path / "models", "m", resume=True).version == 2


def test_resume_takes_no_run_of_another_registry(tmp_path, monkeypatch):
    monkeypatch.setenv("FINGAN_RUNS", str(tmp_path / "runs"))
    first = cluster.train(arrow(), config(*LONG), tmp_path / "team-a", "m", on_update=CtrlC(1))
    set_steps(RunFolder(first.folder), 1)
    with pytest.raises(NotFound, match=r"team-b, only for .*team-a"):
        cluster.train(arrow(), config(), tmp_path / "team-b", "m", resume=True)
    assert cluster.train(arrow(), config(), tmp_path / "team-a", "m", resume=True).folder == first.folder


def test_resume_takes_the_newest_unfinished_run(tmp_path):
    for _ in range(2):
        cluster.train(arrow(), config(*LONG), tmp_path, "m", on_update=CtrlC(1))
    runs = sorted((runs_root(tmp_path) / "m").iterdir())
    assert RunFolder.newest_unfinished(runs_root(tmp_path), "m").path == runs[-1]
    RunFolder(runs[-1]).note(status="finished")
    assert RunFolder.newest_unfinished(runs_root(tmp_path), "m").path == runs[0]


def test_nothing_to_resume_is_said(tmp_path):
    with pytest.raises(NotFound, match="--resume"):
        cluster.train(arrow(), config(), tmp_path, "m", resume=True)


def test_a_second_run_of_a_name_is_refused_while_the_first_lives(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.2)
    errors = []

    def in_the_middle(update: object) -> None:
        if errors:
            return
        for resume in (True, False):
            with pytest.raises(UserError, match="still going on") as caught:
                cluster.train(arrow(), config(), tmp_path, "m", resume=resume)
            errors.append(str(caught.value))
        assert cluster.train(arrow(), config(), tmp_path, "other").version == 1

    trained = cluster.train(arrow(), config(), tmp_path, "m", on_update=in_the_middle)
    assert trained.version == 1
    assert str(os.getpid()) in errors[0]
    assert cluster.train(arrow(), config(), tmp_path, "m").version == 2


def test_a_run_whose_lease_was_taken_publishes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)

    def another_takes_it(update: object) -> None:
        path = runs_root(tmp_path) / "m" / "lease.json"
        claim = json.loads(path.read_text())
        path.write_text(json.dumps({**claim, "holder": "another"}))

    with pytest.raises(UserError, match="took over 'm'"):
        cluster.train(arrow(), config(*LONG), tmp_path, "m", on_update=another_takes_it)
    assert not (tmp_path / "m").exists()


def test_a_run_that_was_taken_over_is_left_to_its_new_driver(tmp_path, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    words = []

    def another_goes_on(update: object) -> None:
        if not words:
            path = runs_root(tmp_path) / "m" / "lease.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "holder": "another"}))
            words.append(RunFolder.newest_unfinished(runs_root(tmp_path), "m").renew())

    with pytest.raises(FinganError, match=r"took over|taken over"):
        cluster.train(
            arrow(), config(*LONG, "checkpoint.every_steps=100000"), tmp_path, "m", on_update=another_goes_on
        )
    folder = RunFolder.newest_unfinished(runs_root(tmp_path), "m")
    assert [folder.driver()] == words
    assert folder.read()["status"] == "running"


def test_who_published_a_run_that_was_taken_over_leaves_its_folder_alone(tmp_path, monkeypatch):
    publish, words = driver._publish, []

    def taken_over_meanwhile(*given: object) -> int:
        words.append(RunFolder.newest_unfinished(runs_root(tmp_path), "m").renew())
        return publish(*given)

    monkeypatch.setattr(driver, "_publish", taken_over_meanwhile)
    trained = cluster.train(arrow(), config(), tmp_path, "m")
    folder = RunFolder(trained.folder)
    assert [folder.driver()] == words
    assert folder.read()["status"] == "running"
    assert folder.load_result().steps == 40


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device", "x"), OSError),
        (SafetensorError("I/O error: no space"), FinganError),
        (TrainingDiverged("too wild"), TrainingDiverged),
    ],
)
def test_a_failed_run_leaves_nothing_without_a_checkpoint(tmp_path, monkeypatch, error, kind):
    def broken(self):
        raise error

    monkeypatch.setattr(Run, "train", broken)
    with pytest.raises(kind):
        cluster.train(arrow(), config(), tmp_path, "m")
    assert not list(tmp_path.iterdir())


def test_a_failure_to_publish_keeps_the_run_for_resuming(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(driver, "_publish", lambda *arguments: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OSError, match="full"):
            cluster.train(arrow(), config(), tmp_path, "m")
    assert run_of(tmp_path)[1]["status"] == "failed"
    assert cluster.train(arrow(), config(), tmp_path, "m", resume=True).version == 1


def test_data_that_do_not_fit_make_no_folder(tmp_path):
    with pytest.raises(DataError):
        cluster.train(arrow().slice(0, 20), config(), tmp_path / "registry", "m")
    assert not list(tmp_path.iterdir())


def test_errors_of_workers_come_back_as_they_were():
    with pytest.raises(TrainingDiverged, match="wild"):
        raise_known({"error": "TrainingDiverged", "message": "wild"})
    with pytest.raises(FinganError, match="OSError: full"):
        raise_known({"error": "OSError", "message": "full"})
    with pytest.raises(FinganError, match="nearest: x"):
        raise_known({"error": "nearest", "message": "x"})
    raise_known({})
    raise_known(None)


def test_the_package_defers_its_driver():
    with pytest.raises(AttributeError, match="nothing"):
        cluster.nothing  # noqa: B018
    assert cluster.Trained is driver.Trained
