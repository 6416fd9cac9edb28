"""Before the first trial and after the last: the trials are written down, the winner trains in earnest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from fingan import cluster
from fingan.cluster.runs import RunFolder, runs_root
from fingan.cluster.tuning import driver
from fingan.cluster.tuning.ledger import SearchFolder
from fingan.cluster.tuning.work import Work
from fingan.config import to_mapping
from fingan.errors import DataError
from fingan.generator import load
from fingan.registry import Registry
from fingan.search import Trial
from tests.cluster.interrupts import CtrlC, ctrl_c_while_finishing
from tests.cluster.tuning.searches import Listener, folder_of, search, settings
from tests.tiny import arrow

FOREVER = ("training.steps=100000", "training.validations=1000", "checkpoint.every_steps=20")
SOUND = {0: [0.3, 0.31], 1: [0.2, 0.21]}
RATE = 0.002
"""Of trial 1."""


@pytest.fixture
def ended(monkeypatch) -> Callable[[Mapping[int, Sequence[float | None]]], None]:
    """Write down finalists' scores by seed, None for one that failed, instead of training for them."""

    def write(scores: Mapping[int, Sequence[float | None]]) -> None:
        def run(work: Work, prepared: object, first: object) -> bool:
            for number, own in scores.items():
                params = {**work.space.base_params(), "training.lr": RATE if number else 0.001}
                for seed, score in enumerate(own):
                    folder = work.folder.trial("final", number, seed)
                    folder.begin(Trial(number, params, seed, "final"), {})
                    if score is not None:
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


def test_ctrl_c_in_the_winners_training_tells_what_was_published_and_resumes_it(tmp_path, ended):
    ended(SOUND)
    stopped = search(tmp_path, *FOREVER, listener=Listener(on_update=CtrlC(1)))
    assert (stopped.version, stopped.interrupted, stopped.record.status) == (1, True, "interrupted")
    assert Registry(tmp_path).versions("m") == [1]
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
    tuned = search(tmp_path, listener=Listener(on_stage=lambda s: (stages.append(s), press(s))))
    assert stages[-1].startswith("stopping")
    assert (tuned.version, tuned.interrupted, tuned.record.status) == (1, True, "finished")
    assert folder_of(tmp_path).read()["status"] == "finished"


def test_a_search_resumes_its_own_winner_and_no_other_run_of_the_name(tmp_path, ended):
    cluster.train(arrow(), settings(*FOREVER, "training.lr=0.009"), tmp_path, "m", on_update=CtrlC(1))
    (other,) = runs(tmp_path)
    ended(SOUND)
    tell = Listener(on_update=CtrlC(1, 2))
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, *FOREVER, listener=tell)
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
