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


@pytest.mark.slow
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
