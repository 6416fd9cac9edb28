"""A search's folders: what is read back is what was noted, also after an end at any moment."""

from __future__ import annotations

import pytest

from fingan.cluster.tuning.ledger import SearchFolder, place
from fingan.errors import NotFound
from fingan.search import Trial


@pytest.fixture
def folder(tmp_path) -> SearchFolder:
    return SearchFolder.create(tmp_path, "m", {"config": {}})


def test_a_trial_is_read_back_with_its_looks(folder):
    trial = Trial(7, {"training.lr": 0.01})
    own = folder.trial("search", 7, 0)
    own.begin(trial, {"seed": 0})
    own.look(1.5, 0.9, 20, 1)
    own.look(3.0, 0.7, 40, 3)
    (read,) = folder.trials("search")
    assert (read.number, read.params, read.status, read.steps) == (7, {"training.lr": 0.01}, "running", 40)
    assert read.curve == ((1.5, 0.9), (3.0, 0.7))
    assert read.by_look == {1: 0.9, 3: 0.7}
    own.run.note(status="finished", steps=60, rollbacks=1, memorisation=0.5)
    (read,) = folder.all_trials()
    assert (read.status, read.steps, read.rollbacks, read.memorisation) == ("finished", 60, 1, 0.5)
    assert read.failed, "a roll-back counts as a failure"


def test_a_torn_look_is_passed_over(folder):
    own = folder.trial("search", 0, 0)
    own.begin(Trial(0, {}), {})
    own.look(1.0, 0.9, 20, 1)
    with (own.run.path / "looks.jsonl").open("a") as file:
        file.write("[2.0, 0.8")
    assert own.looks() == [(1.0, 0.9, 20, 1)]


def test_looks_after_the_checkpoint_are_forgotten(folder):
    own = folder.trial("search", 0, 0)
    own.begin(Trial(0, {}), {})
    for step in (20, 40, 60):
        own.look(float(step), 1.0 / step, step, step // 20)
    own.keep_looks(40)
    assert [look.step for look in own.looks()] == [20, 40]


def test_a_folder_that_does_not_tell_what_it_is_is_no_trial(folder):
    (folder.path / "search" / "0003").mkdir(parents=True)
    assert folder.trials("search") == []


def test_the_newest_unfinished_search_is_found(tmp_path):
    first = SearchFolder.create(tmp_path, "m", {})
    second = SearchFolder.create(tmp_path, "m", {})
    assert SearchFolder.newest_unfinished(tmp_path, "m") == second
    second.note(status="finished")
    assert SearchFolder.newest_unfinished(tmp_path, "m") == first
    first.note(status="finished")
    with pytest.raises(NotFound, match="tune without --resume"):
        SearchFolder.newest_unfinished(tmp_path, "m")


def test_a_search_without_trials_leaves_nothing_and_one_with_trials_stays(tmp_path):
    empty = SearchFolder.create(tmp_path, "m", {})
    empty.abandon("failed")
    assert not place(tmp_path, "m").exists()
    begun = SearchFolder.create(tmp_path, "m", {})
    begun.trial("search", 0, 0).begin(Trial(0, {}), {})
    begun.abandon("interrupted")
    assert begun.read()["status"] == "interrupted"


def test_running_trials_are_noted_as_interrupted_and_others_left_alone(folder):
    for number, status in enumerate(("running", "finished", "pruned", "failed")):
        own = folder.trial("search", number, 0)
        own.begin(Trial(number, {}), {})
        own.run.note(status=status)
    folder.interrupt(folder.trials("search"))
    found = [trial.status for trial in folder.trials("search")]
    assert found == ["interrupted", "finished", "pruned", "failed"]


def test_going_on_forgets_why_it_was_ended(folder):
    folder.stop.touch()
    folder.over.touch()
    assert folder.ending
    word = folder.renew()
    assert not folder.ending
    assert folder.driver() == word
    assert folder.renew() != word


def test_the_finals_go_on_when_the_time_for_trying_is_over(tmp_path):
    folder = SearchFolder.create(tmp_path, "m", {})
    assert not folder.halts("search")
    folder.over.touch()
    assert folder.halts("search")
    assert not folder.halts("final")
    folder.stop.touch()
    assert folder.halts("final")
