"""Folders of runs: what they keep, who holds them, what a crash may leave."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from fingan.cluster.runs import RunFolder, read_updates, runs_root, told_apart
from fingan.errors import CheckpointCorrupt, NotFound
from fingan.training import TrainResult, Update
from tests.tiny import config

UPDATE = Update(20, 40, 1.0, 1.0, 1000.0, None, None, {"loss": 0.5}, "")
RESULT = TrainResult({"w": torch.arange(3.0)}, 0.25, 20, 40, 1.5, 1000.0, 0, "finished")


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    return RunFolder.create(tmp_path, "m", config(), {"rows": 7})


def test_runs_of_a_folder_are_inside_and_those_of_a_url_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runs_root("models") == tmp_path / "models" / ".runs"
    assert runs_root(Path("models")) == tmp_path / "models" / ".runs"
    for url in ("s3://bucket/models", "file:///models", "file:/models"):
        assert runs_root(url) == tmp_path / "runs"


def test_a_new_run_knows_its_configuration_and_data(folder):
    assert folder.config() == config()
    assert folder.read()["data"] == {"rows": 7}
    assert folder.read()["status"] == "running"


def test_runs_never_share_a_folder_and_sort_by_time(tmp_path):
    made = [RunFolder.create(tmp_path, "m", config(), {}).path for _ in range(20)]
    assert sorted(made) == made
    assert RunFolder.newest_unfinished(tmp_path, "m").path == made[-1]


def test_what_is_no_run_is_passed_over(tmp_path, folder):
    (tmp_path / "m" / "zzz").mkdir()
    (tmp_path / "m" / "zzzz").mkdir()
    (tmp_path / "m" / "zzzz" / "run.json").write_text("{torn")
    assert RunFolder.newest_unfinished(tmp_path, "m").path == folder.path
    with pytest.raises(NotFound):
        RunFolder.newest_unfinished(tmp_path, "other")


def test_starts_are_counted(folder):
    assert [folder.count_start(2, step) for step in (0, 40, 60)] == [0, 1, 2]
    lines = [json.loads(line) for line in (folder.path / "starts.jsonl").read_text().splitlines()]
    assert [(line["workers"], line["step"]) for line in lines] == [(2, 0), (2, 40), (2, 60)]


def test_runs_may_be_kept_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("FINGAN_RUNS", str(tmp_path / "shared"))
    assert runs_root("s3://bucket/models") == runs_root("registry") == tmp_path / "shared"


def test_registries_that_keep_their_runs_together_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert told_apart("s3://key:secret@bucket/models/?token=x") == "s3://bucket/models"
    assert told_apart("models") is None, "its runs lie inside it, and move with it"
    monkeypatch.setenv("FINGAN_RUNS", str(tmp_path / "shared"))
    assert told_apart("models") == told_apart(tmp_path / "models") == str(tmp_path / "models")


def test_a_run_is_resumed_for_its_own_registry(tmp_path):
    ours = RunFolder.create(tmp_path, "m", config(), {}, "/team-a")
    theirs = RunFolder.create(tmp_path, "m", config(), {}, "/team-b")
    assert RunFolder.newest_unfinished(tmp_path, "m", "/team-a") == ours
    assert RunFolder.newest_unfinished(tmp_path, "m", "/team-b") == theirs
    with pytest.raises(NotFound, match=r"of 'm' in .* for /team-c, only for /team-a, /team-b; .*--resume"):
        RunFolder.newest_unfinished(tmp_path, "m", "/team-c")
    theirs.write({key: value for key, value in theirs.read().items() if key != "registry"})
    assert RunFolder.newest_unfinished(tmp_path, "m", "/team-a") == theirs, "of a build that did not note it"


def test_a_run_keeps_the_schema_that_it_was_given_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = Path("edited.yaml")
    given.write_text("columns: []\n")
    folder = RunFolder.create(tmp_path / "runs", "m", config(f"data.schema={given}"), {})
    given.unlink()
    monkeypatch.chdir("/")
    kept = Path(folder.config().data.schema_path)
    assert kept.parent == folder.path
    assert kept.read_text() == "columns: []\n"


def test_results_come_back(folder):
    folder.save_result(RESULT)
    folder.save_result(dataclasses.replace(RESULT, score=0.5))
    again = folder.load_result()
    assert again.score == 0.5
    assert torch.equal(again.weights["w"], RESULT.weights["w"])
    assert dataclasses.replace(again, weights={}, score=0.0) == dataclasses.replace(
        RESULT, weights={}, score=0.0
    )


@pytest.mark.parametrize("damage", ["summary.json", "weights.safetensors", None])
def test_a_damaged_or_missing_result_is_named(folder, damage):
    if damage is not None:
        folder.save_result(RESULT)
        (folder.path / "result" / damage).write_bytes(b"torn")
    with pytest.raises(CheckpointCorrupt, match=str(folder.path.name)):
        folder.load_result()


def test_progress_is_read_line_by_line_past_torn_lines(folder):
    assert read_updates(folder.progress, 0) == ([], 0)
    folder.append(UPDATE)
    first, offset = read_updates(folder.progress, 0)
    assert first == [UPDATE]
    with folder.progress.open("a") as file:
        file.write('{"step": 4')
    assert read_updates(folder.progress, offset) == ([], offset)
    with folder.progress.open("a") as file:
        file.write("\n")
    folder.append(dataclasses.replace(UPDATE, step=60))
    later, end = read_updates(folder.progress, offset)
    assert [update.step for update in later] == [60]
    assert end == folder.progress.stat().st_size


def test_an_abandoned_run_stays_only_if_it_can_be_resumed(tmp_path):
    root = tmp_path / "registry" / ".runs"
    empty, useful = (RunFolder.create(root, "m", config(), {}) for _ in range(2))
    (useful.checkpoints / "step-000000020").mkdir(parents=True)
    empty.abandon("failed")
    useful.abandon("interrupted")
    assert not empty.path.exists()
    assert useful.read()["status"] == "interrupted"
    RunFolder.create(root, "other", config(), {}).abandon("failed")
    assert [path.name for path in root.iterdir()] == ["m"]


@pytest.mark.parametrize("resumable", [False, True])
def test_a_run_that_another_driver_took_over_is_left_to_it(folder, resumable):
    first = folder.renew()
    if resumable:
        (folder.checkpoints / "step-000000020").mkdir(parents=True)
    second = RunFolder(folder.path).renew()
    folder.abandon("failed", first)
    assert folder.read()["status"] == "running"
    finished = RunFolder.create(folder.path.parent.parent, "m", config(), {})
    late = finished.renew()
    finished.note(status="finished")
    finished.clear_state()
    finished.abandon("failed", late)
    assert finished.read()["status"] == "finished"
    folder.abandon("failed", second)
    assert folder.path.exists() is resumable
    assert not resumable or folder.read()["status"] == "failed"


def test_a_note_of_an_error_is_passed_on_and_forgotten_at_the_next_start(folder):
    assert folder.error() == {}
    folder.save_error(OSError("full"))
    assert folder.error() == {"error": "OSError", "message": "full"}
    folder.stop.touch()
    folder.renew()
    assert folder.error() == {}
    assert not folder.stop.exists()


def test_a_finished_run_keeps_only_its_history(folder):
    folder.append(UPDATE)
    folder.save_result(RESULT)
    (folder.path / "ray" / "x").mkdir(parents=True)
    folder.checkpoints.mkdir()
    folder.stop.touch()
    folder.clear_state()
    assert sorted(p.name for p in folder.path.iterdir()) == ["progress.jsonl", "run.json"]
    assert json.loads(folder.progress.read_text())["step"] == 20
