"""What is handed out next: unfinished trials, given settings, proposals; repetitions round by round."""

from __future__ import annotations

import pytest
from ray.tune.search import Searcher

from fingan.cluster.tuning.ledger import SearchFolder
from fingan.cluster.tuning.searchers import FinalsSearcher, StudySearcher
from fingan.config import TuneConfig, from_mapping
from fingan.search import SearchSpace, Trial
from fingan.search.study import Study


@pytest.fixture
def folder(tmp_path) -> SearchFolder:
    return SearchFolder.create(tmp_path, "m", {"config": {}})


def space(trials: int = 4) -> SearchSpace:
    axes = "tune.space={training.lr: {low: 0.0001, high: 0.1, log: true}}"
    return SearchSpace.of(from_mapping({}, (axes, f"tune.trials={trials}")))


def searcher(folder: SearchFolder, *first: dict, trials: int = 4) -> StudySearcher:
    given = space(trials)
    return StudySearcher(folder, given, Study(given, 0), first)


def note(folder: SearchFolder, trial: Trial, **values) -> None:
    own = folder.trial(trial.stage, trial.number, trial.seed)
    own.begin(trial, {})
    for number, (seconds, score) in enumerate(trial.curve, start=1):
        own.look(seconds, score, 20, number)
    own.run.note(status=trial.status, **values)


def test_the_base_comes_first_then_what_was_given_then_proposals(folder):
    found = searcher(folder, {"training.lr": 0.02}, {"training.lr": 7.0})
    orders = [found.suggest(str(n)) for n in range(5)]
    assert orders[0] == {"training.lr": 0.001, "number": 0, "seed": 0, "stage": "search"}
    assert orders[1]["training.lr"] == 0.02
    assert [order["number"] for order in orders[:4]] == [0, 1, 2, 3]
    assert all(0.0001 <= order["training.lr"] <= 0.1 for order in orders[:4]), "7.0 is off the axis"
    assert orders[4] == Searcher.FINISHED


def test_a_search_goes_on_with_its_unfinished_trials_under_their_numbers(folder):
    note(folder, Trial(0, {"training.lr": 0.001}, status="finished", curve=((1.0, 0.3),)))
    note(folder, Trial(1, {"training.lr": 0.05}, status="interrupted"))
    note(folder, Trial(2, {"training.lr": 0.01}, status="running"))
    found = searcher(folder)
    orders = [found.suggest(str(n)) for n in range(4)]
    assert [(o["number"], o["training.lr"]) for o in orders[:2]] == [(1, 0.05), (2, 0.01)]
    assert orders[2]["number"] == 3
    assert orders[3] == Searcher.FINISHED


def test_a_trial_whose_process_died_has_failed_even_before_it_had_a_folder(folder):
    found = searcher(folder)
    found.suggest("a")
    found.on_trial_complete("a", None, error=True)
    (trial,) = folder.trials("search")
    assert (trial.number, trial.status) == (0, "failed")
    assert "died" in trial.error


def test_a_trial_that_the_scheduler_ended_is_pruned_even_if_its_process_could_not_say_so(folder):
    found = searcher(folder)
    found.suggest("a")
    note(folder, Trial(0, {"training.lr": 0.001}, curve=((1.0, 0.4),)))
    found.on_trial_complete("a", {"score": 0.4})
    assert [trial.status for trial in folder.trials("search")] == ["pruned"]


def test_a_trial_that_ends_with_the_search_is_not_pruned(folder):
    found = searcher(folder)
    found.suggest("a")
    note(folder, Trial(0, {"training.lr": 0.001}, curve=((1.0, 0.4),)))
    folder.over.touch()
    found.on_trial_complete("a", {"score": 0.4})
    assert [trial.status for trial in folder.trials("search")] == ["running"]


def test_repetitions_are_handed_out_round_by_round(folder):
    settings = {0: {"training.lr": 0.001}, 1: {"training.lr": 0.01}, 2: {"training.lr": 0.02}}
    config = TuneConfig(seeds=3)
    found = FinalsSearcher(folder, settings, config)
    first = [found.suggest(f"a{n}") for n in range(6)]
    assert {(o["number"], o["seed"]) for o in first} == {(n, s) for n in settings for s in (0, 1)}
    assert all(o["stage"] == "final" for o in first)
    assert found.suggest("waits") is None, "the round is not over"
    for order in first:
        score = 0.2 + 0.1 * order["number"] + 0.001 * order["seed"]
        own = Trial(
            order["number"], settings[order["number"]], order["seed"], "final", "finished", ((1.0, score),)
        )
        note(folder, own)
    second = [found.suggest(f"b{n}") for n in range(2)]
    assert [(o["number"], o["seed"]) for o in second] == [(0, 2), (1, 2)]
    assert found.suggest("waits too") is None


def test_a_repetition_whose_process_died_ends_its_round(folder):
    found = FinalsSearcher(folder, {0: {"training.lr": 0.001}}, TuneConfig(seeds=2))
    for name in ("a", "b"):
        found.suggest(name)
        found.on_trial_complete(name, None, error=True)
    assert found.suggest("c") == Searcher.FINISHED
    assert [t.status for t in folder.trials("final")] == ["failed", "failed"]
