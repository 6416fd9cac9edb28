"""Searches that are stopped and go on; populations; trials of several workers."""

from __future__ import annotations

import json

import pytest

from fingan.errors import ConfigError, NotFound
from fingan.search import Trial, read_record
from tests.cluster.tuning.searches import Listener, folder_of, search
from tests.tiny import arrow

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

LONG = ("tune.trials=3", "tune.trial_steps=400", "tune.scheduler=none", "tune.finalists=1")


def ctrl_c() -> Listener:
    """Return one that raises KeyboardInterrupt in the calling thread, once a trial has been looked at."""
    pressed = []

    def look(trials: list[Trial]) -> None:
        if not pressed and any(trial.curve for trial in trials):
            pressed.append(True)
            raise KeyboardInterrupt

    return Listener(on_trials=look)


def test_an_interrupted_search_keeps_what_is_known_and_goes_on(tmp_path):
    stopped = search(tmp_path, *LONG, listener=ctrl_c())
    assert (stopped.version, stopped.interrupted) == (None, True)
    record = read_record(stopped.folder / "record.json")
    assert record.status == "interrupted"
    assert (stopped.folder / "search.html").exists()
    halted = [t for t in record.trials if t.status == "interrupted"]
    assert halted
    reached = {t.number: t.steps for t in halted}

    # What was left is shortened, so that the test is: the trials go on from where they were.
    values = folder_of(tmp_path).read()
    values["config"]["tune"] |= {"trial_steps": max(reached.values()) + 40, "trials": 2}
    folder_of(tmp_path).note(**values)
    done = search(tmp_path, resume=True)
    assert (done.version, done.interrupted) == (1, False)
    assert done.folder == stopped.folder
    assert done.record.seconds > record.seconds
    for number in reached:
        run = folder_of(tmp_path).trial("search", number, 0).run
        steps = [json.loads(line)["step"] for line in run.progress.read_text().splitlines()]
        assert steps == sorted(set(steps)), "an interrupted trial repeated steps"


def test_there_must_be_something_to_resume(tmp_path):
    with pytest.raises(NotFound, match="no unfinished search"):
        search(tmp_path, resume=True)


@pytest.mark.slow
def test_a_search_is_resumed_with_the_same_table(tmp_path):
    search(tmp_path, *LONG, listener=ctrl_c())
    from fingan.cluster.tuning import tune
    from tests.cluster.tuning.searches import settings

    with pytest.raises(ConfigError, match="other data"):
        tune(arrow().slice(0, 1400), settings(), tmp_path, "m", resume=True)


@pytest.mark.slow
def test_a_population_goes_on_from_better_members_states(tmp_path):
    space = "tune.space={training.lr: {low: 0.00001, high: 0.01, log: true}}"
    kept = ("tune.scheduler=population", "tune.intervals=4", "tune.trials=4", "tune.trial_steps=160")
    first = [{"training.lr": 0.00001}, {"training.lr": 0.00002}, {"training.lr": 0.005}]
    tuned = search(tmp_path, space, *kept, "tune.concurrency=4", "tune.finalists=1", first=first)
    members = [t for t in tuned.record.trials if t.stage == "search"]
    assert [t.steps for t in members] == [160] * 4
    assert tuned.version == 1
    began = [0.001, *(params["training.lr"] for params in first)]
    changed = [t for t, lr in zip(members, began, strict=True) if t.params["training.lr"] != lr]
    assert changed, "no member took over another's state"
    for trial in changed:
        run = folder_of(tmp_path).trial("search", trial.number, 0).run
        steps = [json.loads(line)["step"] for line in run.progress.read_text().splitlines()]
        assert steps == sorted(steps), "a member began anew instead of going on"


@pytest.mark.slow
def test_trials_of_two_workers_end_early_and_come_to_their_end(tmp_path):
    kept = ("compute.workers=2", "compute.threads=1", "tune.concurrency=1", "tune.trials=3")
    first = [{"training.lr": 0.0005, "training.batch_size": 128, "network.width": 8}]
    tuned = search(tmp_path, *kept, "tune.finalists=1", "tune.trial_steps=120", first=first)
    assert tuned.version == 1
    assert all(t.workers == 2 for t in tuned.record.trials)
    assert {t.status for t in tuned.record.trials} <= {"finished", "pruned"}
    finished = [t for t in tuned.record.trials if t.status == "finished"]
    assert all(t.steps == 120 for t in finished)
