"""When trials are looked at and what is decided there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from fingan.cluster.tuning.ledger import SearchFolder
from fingan.cluster.tuning.schedulers import looks_of, rung, scheduler_of
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


@pytest.mark.parametrize(("reduction", "rungs"), [(2, 8), (3, 3), (3, 6), (5, 4), (10, 4), (16, 3)])
def test_asha_has_a_rung_for_every_look(reduction, rungs):
    found = scheduler_of(space(f"tune.reduction={reduction}", f"tune.rungs={rungs}"), [])
    assert isinstance(found, ASHAScheduler)
    config = space(f"tune.reduction={reduction}", f"tune.rungs={rungs}").base.tune
    milestones = sorted(milestone for milestone, _ in found._brackets[0]._rungs)
    assert milestones == pytest.approx([rung(look, config) for look in range(1, rungs + 1)])


def decision(scheduler: ASHAScheduler, name: str, look: int, score: float) -> str:
    trial = SimpleNamespace(trial_id=name)
    if look == 1:
        scheduler.on_trial_add(None, trial)
    config = space().base.tune
    return scheduler.on_trial_result(None, trial, {"rung": rung(look, config), "score": score})


def test_a_trial_stands_against_those_that_ended_before_the_search_went_on():
    known = [Trial(number, {}, status="pruned", curve=((1.0, 0.2 + 0.1 * number),)) for number in range(6)]
    scheduler = scheduler_of(space(), known)
    assert isinstance(scheduler, ASHAScheduler)
    assert decision(scheduler, "bad", 1, 0.5) == TrialScheduler.STOP
    assert decision(scheduler, "good", 1, 0.15) == TrialScheduler.CONTINUE
    forgetful = scheduler_of(space(), [])
    assert isinstance(forgetful, ASHAScheduler)
    assert decision(forgetful, "bad", 1, 0.5) == TrialScheduler.CONTINUE


def test_looks_of_a_trial_that_goes_on_count_without_being_told_again():
    known = [
        Trial(number, {}, status="interrupted", curve=((1.0, 0.2 + 0.1 * number),)) for number in range(6)
    ]
    scheduler = scheduler_of(space(), known)
    assert isinstance(scheduler, ASHAScheduler)
    assert decision(scheduler, "bad", 1, 0.5) == TrialScheduler.STOP


def test_one_in_three_goes_on():
    scheduler = scheduler_of(space(), [])
    assert isinstance(scheduler, ASHAScheduler)
    scores = [0.30, 0.31, 0.32, 0.33, 0.34, 0.35, 0.36, 0.37, 0.38]
    found = [decision(scheduler, str(n), 1, score) for n, score in enumerate(scores)]
    assert found.count(TrialScheduler.STOP) == 8, "each is worse than the first"
    assert decision(scheduler, "best", 1, 0.1) == TrialScheduler.CONTINUE


def test_without_pruning_there_is_nothing_to_decide():
    assert isinstance(scheduler_of(space("tune.scheduler=none"), []), FIFOScheduler)
    assert isinstance(scheduler_of(space("tune.rungs=1"), []), FIFOScheduler)


def test_a_trial_of_several_workers_is_asked_to_end(tmp_path):
    folder = SearchFolder.create(tmp_path, "m", {})
    trial = folder.trial("search", 7, 0)
    trial.run.path.mkdir(parents=True)
    known = [Trial(number, {}, status="pruned", curve=((1.0, 0.2 + 0.1 * number),)) for number in range(6)]
    scheduler = scheduler_of(space("compute.workers=2"), known, folder)
    bad = SimpleNamespace(trial_id="bad")
    scheduler.on_trial_add(None, bad)
    told = {"rung": 1.0, "score": 0.5, "number": 7}
    assert scheduler.on_trial_result(None, bad, told) == TrialScheduler.CONTINUE
    assert trial.weak.exists()
