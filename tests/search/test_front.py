"""The front of several aims: score, memorisation beyond one half, seconds to the best score."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.search import Trial
from fingan.search.front import aims, front


def trial(number: int, score: float = 0.2, memorisation: float | None = 0.5, cost: float = 10.0, **values):
    kept = {"params": {}, "status": "finished", "curve": ((cost, score), (cost + 50.0, score))}
    return Trial(number=number, memorisation=memorisation, **{**kept, **values})


def numbers(found) -> list[int]:
    return [t.number for t in found]


def test_a_trial_is_judged_by_score_excess_and_the_seconds_to_its_best():
    curve = ((5.0, 0.4), (10.0, 0.3), (15.0, 0.3), (20.0, 0.3))
    assert aims(trial(0, memorisation=0.75, curve=curve)) == (0.3, 0.25, 10.0)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5])
def test_memorisation_below_its_ideal_is_no_merit(share):
    assert aims(trial(0, memorisation=share)) == (0.2, 0.0, 10.0)


@pytest.mark.parametrize(
    "values",
    [
        {"status": "failed"},
        {"status": "pruned"},
        {"status": "running"},
        {"status": "interrupted"},
        {"rollbacks": 1},
        {"memorisation": None},
        {"curve": ()},
        {"score": math.inf},
        {"score": math.nan},
    ],
)
def test_who_failed_or_was_not_measured_is_not_judged(values):
    outside = trial(1, **{"score": 0.01, **values})
    assert aims(outside) is None
    assert numbers(front([outside, trial(2)])) == [2]


def test_what_is_worse_in_one_aim_and_better_in_none_is_dominated():
    best = trial(0)
    worse = [trial(1, score=0.3), trial(2, memorisation=0.6), trial(3, cost=11.0)]
    assert numbers(front([*worse, best])) == [0]


def test_what_is_better_in_one_aim_stays():
    trials = [trial(0), trial(1, 0.1, 0.6, 20.0), trial(2, 0.3, 0.5, 5.0), trial(3, 0.15, 0.55, 30.0)]
    assert numbers(front(trials)) == [0, 1, 2, 3]


def test_ties_in_all_aims_stay_both():
    assert numbers(front([trial(4), trial(2), trial(3, score=0.3)])) == [4, 2]


def test_no_trials_have_no_front():
    assert front([]) == []


AIMS = st.tuples(
    st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([0.5, 0.6, 0.7]), st.sampled_from([1.0, 2.0])
)


@given(st.lists(AIMS, max_size=12))
def test_the_front_beats_the_rest_and_none_of_its_own(values):
    trials = [trial(n, *own) for n, own in enumerate(values)]

    def beats(one: Trial, other: Trial) -> bool:
        mine, theirs = aims(one), aims(other)
        return mine != theirs and all(a <= b for a, b in zip(mine, theirs, strict=True))

    found = front(trials)
    assert numbers(found) == sorted(numbers(found))
    assert bool(found) is bool(trials)
    assert not any(beats(one, other) for one in found for other in found)
    rest = [t for t in trials if t not in found]
    assert all(any(beats(one, other) for one in found) for other in rest)
