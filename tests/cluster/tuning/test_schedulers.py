"""When trials are looked at and what is decided there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from fingan.cluster.tuning.ledger import SearchFolder
from fingan.cluster.tuning.schedulers import looks_of, scheduler_of
from fingan.config import from_mapping
from fingan.search import SearchSpace, Trial


def space(*overrides: str) -> SearchSpace:
    return SearchSpace.of(from_mapping({}, overrides))


@pytest.mark.parametrize(
    ("overrides", "looks"),
    [
        ([], (1 / 9, 1 / 3, 1.0)),
        (["tune.reduction=2", "tune.rungs=4"], (0.125, 0.25, 0.5, 1.0)),
        (["tune.rungs=1"], (1.0,)),
        (["tune.scheduler=population", "tune.intervals=4"], (0.25, 0.5, 0.75, 1.0)),
        (["tune.scheduler=none"], (1 / 3, 2 / 3, 1.0)),
    ],
)
def test_looks_end_at_one_and_fit_the_scheduler(overrides, looks):
    assert looks_of(space(*overrides).base.tune) == pytest.approx(looks)


def decision(scheduler: TrialScheduler, number: int, look: int, score: float) -> str:
    told = {"number": number, "look": look, "score": score}
    return scheduler.on_trial_result(None, None, told)


def tried(scores: list[float], status: str) -> list[Trial]:
    return [Trial(number, {}, status=status, curve=((1.0, score),)) for number, score in enumerate(scores)]


@pytest.mark.parametrize("status", ["pruned", "interrupted"])
def test_trials_from_before_the_search_went_on_count(status):
    scheduler = scheduler_of(space(), tried([0.2, 0.3, 0.4, 0.5, 0.6, 0.7], status))
    assert decision(scheduler, 6, 1, 0.5) == TrialScheduler.STOP
    assert decision(scheduler, 7, 1, 0.15) == TrialScheduler.CONTINUE
    assert decision(scheduler_of(space(), []), 6, 1, 0.5) == TrialScheduler.CONTINUE


def test_a_trial_that_came_late_to_its_first_look_counts_where_it_was():
    known = [replace(trial, looks=(2,)) for trial in tried([0.2, 0.3], "pruned")]
    assert decision(scheduler_of(space(), known), 6, 1, 0.5) == TrialScheduler.CONTINUE
    assert decision(scheduler_of(space(), known), 6, 2, 0.5) == TrialScheduler.STOP


def test_one_in_three_goes_on():
    scheduler = scheduler_of(space(), [])
    scores = [0.30, 0.31, 0.32, 0.33, 0.34, 0.35, 0.36, 0.37, 0.38]
    found = [decision(scheduler, n, 1, score) for n, score in enumerate(scores)]
    assert found.count(TrialScheduler.STOP) == 8, "each is worse than the first"
    assert decision(scheduler, 9, 1, 0.1) == TrialScheduler.CONTINUE
    assert decision(scheduler, 10, 1, 0.325) == TrialScheduler.CONTINUE, "third of the newest nine"
    assert decision(scheduler, 11, 1, 0.345) == TrialScheduler.STOP


def test_the_weak_first_trials_do_not_carry_those_of_a_searcher_that_has_learned():
    scheduler = scheduler_of(space(), [])
    learning = [1.0 - 0.02 * number for number in range(30)]
    learned = [0.4 + 0.01 * (7 * number % 9) for number in range(45)]
    for number, score in enumerate(learning):
        decision(scheduler, number, 1, score)
    going_on = [decision(scheduler, 100 + n, 1, score) for n, score in enumerate(learned)]
    assert 13 <= going_on.count(TrialScheduler.CONTINUE) <= 17, "all are in the best third of all trials"


def test_every_look_but_the_last_decides_on_its_own():
    scheduler = scheduler_of(space(), tried([0.2], "finished"))
    assert decision(scheduler, 1, 2, 0.5) == TrialScheduler.CONTINUE, "the first at this look"
    assert decision(scheduler, 2, 2, 0.6) == TrialScheduler.STOP
    for number, score in enumerate([0.1, 0.9]):
        assert decision(scheduler, number, 3, score) == TrialScheduler.CONTINUE


def test_a_look_that_is_told_twice_counts_once():
    scheduler = scheduler_of(space(), tried([0.2, 0.3], "running"))
    assert decision(scheduler, 1, 1, 0.3) == TrialScheduler.CONTINUE


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_trial_without_a_score_ends(score):
    scheduler = scheduler_of(space(), tried([0.2, 0.3], "pruned"))
    assert decision(scheduler, 2, 1, score) == TrialScheduler.STOP


def test_without_pruning_there_is_nothing_to_decide():
    assert isinstance(scheduler_of(space("tune.scheduler=none"), []), FIFOScheduler)
    assert decision(scheduler_of(space("tune.rungs=1"), tried([0.2], "finished")), 1, 1, 0.9) == "CONTINUE"
    assert decision(scheduler_of(space("tune.rungs=1"), []), 1, 0, 0.9) == "CONTINUE"


def test_a_trial_of_several_workers_is_asked_to_end(tmp_path):
    folder = SearchFolder.create(tmp_path, "m", {})
    trial = folder.trial("search", 7, 0)
    trial.run.path.mkdir(parents=True)
    scheduler = scheduler_of(space("compute.workers=2"), tried([0.2, 0.3], "pruned"), folder)
    assert decision(scheduler, 7, 1, 0.5) == TrialScheduler.CONTINUE
    assert trial.weak.exists()
