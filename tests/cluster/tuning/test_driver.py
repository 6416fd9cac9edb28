"""Before the first trial and after the last: the trials are written down, the winner trains in earnest."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fingan import cluster
from fingan.cluster import lease
from fingan.cluster.runs import RunFolder, runs_root
from fingan.cluster.tuning import driver
from fingan.cluster.tuning.ledger import SearchFolder, place
from fingan.cluster.tuning.work import Work
from fingan.config import to_mapping
from fingan.data import infer_schema, read_table
from fingan.errors import ConfigError, DataError, FinganError, TrainingDiverged, UserError
from fingan.generator import load
from fingan.registry import Registry
from fingan.search import Trial, read_record
from fingan.training import Run
from tests.cluster.interrupts import CtrlC, ctrl_c_while_finishing
from tests.cluster.tuning.searches import Listener, folder_of, search, settings
from tests.tiny import arrow

FOREVER = ("training.steps=100000", "training.validations=1000", "checkpoint.every_steps=20")
SOUND = {0: [0.3, 0.31], 1: [0.2, 0.21]}
RATE = 0.002
"""Of trial 1."""


@pytest.fixture
def ended(monkeypatch) -> Callable[[Mapping[int, Sequence[float | None]]], None]:
    """Write down finalists' scores by seed instead of training: None failed, infinity has no score."""

    def write(scores: Mapping[int, Sequence[float | None]]) -> None:
        def run(work: Work, prepared: object, first: object) -> bool:
            for number, own in scores.items():
                params = {**work.space.base_params(), "training.lr": RATE if number else 0.001}
                for seed, score in enumerate(own):
                    folder = work.folder.trial("final", number, seed)
                    folder.begin(Trial(number, params, seed, "final"), {})
                    if score is not None and math.isfinite(score):
                        folder.look(1.0, score, 40, 0)
                    folder.run.note(status="failed" if score is None else "finished")
                work.folder.trial("search", number, 0).begin(Trial(number, params, status="finished"), {})
            return False

        monkeypatch.setattr(Work, "search", run)

    return write


def runs(registry: Path) -> list[RunFolder]:
    parent = runs_root(registry) / "m"
    return [RunFolder(path) for path in sorted(parent.iterdir()) if path.is_dir()]


def let_end(run: RunFolder, steps: int = 1) -> None:
    values = run.read()
    values["config"]["training"]["steps"] = steps
    run.write(values)


def test_a_resumed_search_keeps_its_precision_and_runs_where_the_command_says(tmp_path, monkeypatch):
    asked = {"config": to_mapping(settings()), "first": [], "data": {}}
    SearchFolder.create(runs_root(tmp_path), "m", asked)
    found = []

    def read(source, config, root):
        found.append(config)
        raise DataError("that was enough")

    monkeypatch.setattr(driver, "prepare", read)
    with pytest.raises(DataError, match="enough"):
        search(tmp_path, "compute.precision=fp32", "compute.threads=2", "tune.trials=9", resume=True)
    assert found == [settings("compute.threads=2")]


def test_a_search_is_not_resumed_on_rows_of_other_values(tmp_path, ended):
    ended({0: [None, None]})
    with pytest.raises(FinganError, match="every finalist failed"):
        search(tmp_path)
    place = arrow().schema.get_field_index("age")
    other = arrow().set_column(place, "age", arrow()["age"][::-1])
    with pytest.raises(ConfigError, match="started on other data"):
        driver.tune(other, settings(), tmp_path, "m", resume=True)


@pytest.mark.parametrize("training", [False, True])
def test_encoded_rows_go_with_the_end_of_a_search_unless_a_training_may_read_them(
    tmp_path, ended, monkeypatch, training
):
    monkeypatch.setattr(driver, "publish_run", lambda *_: 1)
    if training:
        claim = {"holder": "h", "run": "m", "machine": "far away", "pid": 1, "born": "1"}
        path = runs_root(tmp_path / "models") / "m" / "lease.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(claim))
    pq.write_table(arrow(), tmp_path / "loans.parquet", row_group_size=500)
    ended({1: [0.3, 0.2]})
    asked = settings("data.in_memory=0", "tune.winner=best_run")
    driver.tune(tmp_path / "loans.parquet", asked, tmp_path / "models", "m")
    assert (runs_root(tmp_path / "models") / ".rows").exists() is training


def test_a_search_that_another_driver_took_over_is_left_to_it(tmp_path, ended, monkeypatch):
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.05)
    before = {}

    def taken_over(work: Work) -> None:
        path = place(runs_root(tmp_path), "m") / "lease.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "holder": "another"}))
        while not work.lease.is_lost:
            time.sleep(0.01)
        before.update(work.folder.read())
        work.lease.check()

    ended({0: [0.3]})
    monkeypatch.setattr(Work, "winner", taken_over)
    with pytest.raises(UserError, match="another process took over"):
        search(tmp_path)
    assert folder_of(tmp_path).read() == before
    assert before["status"] == "running"


def test_the_best_run_is_none_without_a_score(tmp_path, ended, monkeypatch):
    published = []
    monkeypatch.setattr(driver, "publish_run", lambda own, run, *_: published.append(run.path) or 1)
    ended({1: [0.3, 0.2, math.inf]})
    search(tmp_path, "tune.winner=best_run", "tune.max_failures=0.5")
    assert published == [folder_of(tmp_path).trial("final", 1, 1).run.path]


def test_settings_to_begin_with_are_refused_where_a_search_goes_on_with_its_own(tmp_path):
    with pytest.raises(ConfigError, match=r"--resume goes on .*leave out --warm-start"):
        search(tmp_path, resume=True, first=[{"training.lr": RATE}])


def test_settings_to_begin_with_are_checked_completed_and_told_of(tmp_path, ended):
    with pytest.raises(ConfigError, match=r"'trainin\.lrr' is no key that may vary"):
        search(tmp_path, first=[{"trainin.lrr": RATE}])
    assert not list(tmp_path.iterdir())
    ended({0: [None, None]})
    stages: list[str] = []
    with pytest.raises(FinganError, match="every finalist failed"):
        search(
            tmp_path,
            "tune.shipped=false",
            first=[{"training.lr": 7.0}, {"training.lr": RATE}],
            listener=Listener(on_stage=stages.append),
        )
    known = folder_of(tmp_path).read()
    assert known["first"] == [{"training.lr": RATE, "training.batch_size": 64, "network.width": 16}]
    assert any("training.lr 7.0 is not within" in stage for stage in stages)


def test_a_resumed_search_may_allow_more_failures_and_never_fewer(tmp_path, ended):
    ended({0: [0.3, None], 1: [None, 0.2]})
    with pytest.raises(FinganError, match=r"--resume with a larger tune\.max_failures"):
        search(tmp_path)
    done = search(tmp_path, "tune.max_failures=0.5", resume=True)
    assert (done.version, done.record.winner["training.lr"]) == (1, RATE)
    assert done.record.base["tune"]["max_failures"] == 0.5
    assert folder_of(tmp_path).read()["config"]["tune"]["max_failures"] == 0.5


def test_ctrl_c_in_the_winners_training_tells_what_was_published_and_resumes_it(tmp_path, ended):
    ended(SOUND)
    stopped = search(tmp_path, *FOREVER, listener=Listener(on_update=CtrlC(1)))
    assert (stopped.version, stopped.interrupted, stopped.record.status) == (1, True, "interrupted")
    assert Registry(tmp_path).versions("m") == [1]
    # Inside the bundle, the search is over.
    assert Registry(tmp_path).show("m")["metrics"]["search"]["status"] == "finished"
    assert folder_of(tmp_path).read()["status"] == "interrupted"
    (run,) = runs(tmp_path)
    let_end(run)
    done = search(tmp_path, resume=True)
    assert (done.version, done.interrupted, done.record.status) == (2, False, "finished")
    assert len(runs(tmp_path)) == 1, "it went on, and did not begin anew"
    assert folder_of(tmp_path).read()["status"] == "finished"


def test_ctrl_c_when_the_winner_is_trained_leaves_a_finished_search(tmp_path, ended, monkeypatch):
    ended(SOUND)
    stages: list[str] = []
    press = ctrl_c_while_finishing(monkeypatch)
    (tmp_path / "schema.yaml").write_text(infer_schema(read_table(arrow()), "label").to_yaml())
    own = f"data.schema={tmp_path / 'schema.yaml'}"
    tuned = search(tmp_path, own, listener=Listener(on_stage=lambda s: (stages.append(s), press(s))))
    assert stages[-1].startswith("stopping")
    assert (tuned.version, tuned.interrupted, tuned.record.status) == (1, True, "finished")
    assert tuned.record.base["data"]["schema"] is None, "a path of this machine is nobody else's business"
    assert folder_of(tmp_path).read()["status"] == "finished"


def test_a_search_resumes_its_own_winner_and_no_other_run_of_the_name(tmp_path, ended):
    cluster.train(arrow(), settings(*FOREVER, "training.lr=0.009"), tmp_path, "m", on_update=CtrlC(1))
    (other,) = runs(tmp_path)
    ended(SOUND)
    tell = Listener(on_update=CtrlC(1, 2))
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, *FOREVER, listener=tell)
    assert read_record(folder_of(tmp_path).record).status == "interrupted"
    # As after a death before the first checkpoint: the winner's run has left nothing.
    for run in runs(tmp_path):
        if run != other:
            run.clear_state()
            run.abandon("failed")
    values = folder_of(tmp_path).read()
    values["config"]["training"]["steps"] = 20
    folder_of(tmp_path).note(**values)
    done = search(tmp_path, resume=True)
    assert done.version == 2
    assert load(Registry(tmp_path).fetch("m")).config.training.lr == RATE
    assert other.read()["status"] == "interrupted"


def test_a_search_whose_finalists_all_failed_says_so_in_its_report_and_where_that_is(tmp_path, ended):
    ended({0: [0.3, None], 1: [None, 0.2]})
    told: list[Path] = []
    with pytest.raises(FinganError, match=r"every finalist failed: .* in 1 of 2 seeds") as caught:
        search(tmp_path, listener=Listener(on_folder=told.append))
    folder = folder_of(tmp_path)
    assert told == [folder.path]
    assert str(folder.page) in str(caught.value)
    assert (read_record(folder.record).status, folder.read()["status"]) == ("failed", "failed")
    assert "every finalist failed with too many seeds" in folder.page.read_text(encoding="utf-8")


def test_a_failure_of_the_winners_training_is_on_record(tmp_path, ended, monkeypatch):
    def broken(run: Run) -> None:
        raise TrainingDiverged("too wild")

    ended(SOUND)
    monkeypatch.setattr(Run, "train", broken)
    with pytest.raises(TrainingDiverged):
        search(tmp_path)
    record = read_record(folder_of(tmp_path).record)
    assert (record.status, record.winner["training.lr"]) == ("failed", RATE)
