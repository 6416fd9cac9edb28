"""What to try next: values on their axes, learning from good, pruned and failed trials, importance."""

from __future__ import annotations

import itertools
import math

import pytest

from fingan.config import Axis, Choice, Config, Span, from_mapping
from fingan.search import SearchSpace, Trial
from fingan.search.study import RANDOM_TRIALS, Study

EVERY_KIND: dict[str, Axis] = {
    "training.lr": Span(low=3e-4, high=5e-3, log=True),
    "conditioning.unconditional_share": Span(low=0.5, high=1.0),
    "network.blocks": Span(low=1, high=3),
    "network.width": Span(low=16, high=512, log=True),
    "network.knots": Choice(choices=(48, 8, 24)),
    "objective.marginals": Choice(choices=(0.0, 0.3, 1.0)),
    "objective.name": Choice(choices=("relativistic", "minimax")),
    "compute.precision": Choice(choices=("auto",)),
    "training.batch_size": Choice(choices=(512,)),
}
TWO = {
    "objective.gamma": {"low": 0.0, "high": 1.0},
    "network.width": [32, 64, 128, 256],
}


def space_of(axes=TWO, **sections) -> SearchSpace:
    return SearchSpace.of(from_mapping({"tune": {"space": axes}, **sections}))


def finished(number: int, params, score: float, **values) -> Trial:
    kept = {"status": "finished", "curve": ((5.0, score + 0.1), (10.0, score))}
    return Trial(number=number, params=params, **{**kept, **values})


def proposals(study: Study, count: int, judge) -> list[dict]:
    """Ask and tell in turns; `judge` makes a trial of a number and its values."""
    asked = []
    for number in range(count):
        params = study.ask(number)
        study.tell(judge(number, params))
        asked.append(params)
    return asked


def valley(number: int, params) -> Trial:
    """Best at .3 and 64."""
    away = math.log2(params["network.width"]) - 6
    return finished(number, params, (params["objective.gamma"] - 0.3) ** 2 + 0.1 * away**2)


def same(number: int, params) -> Trial:
    return finished(number, params, 0.5)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_all_that_is_asked_lies_on_its_axis(seed):
    space = SearchSpace(Config(), EVERY_KIND)
    asked = proposals(Study(space, seed), 30, lambda n, p: finished(n, p, p["training.lr"]))
    assert [params for params in asked if not space.covers(params)] == []
    assert len({params["training.lr"] for params in asked}) > 15


def test_every_choice_and_every_whole_number_is_asked_for():
    space = SearchSpace(Config(), EVERY_KIND)
    asked = [params for seed in range(3) for params in proposals(Study(space, seed), 30, same)]
    assert {params["objective.name"] for params in asked} == {"relativistic", "minimax"}
    assert {params["objective.marginals"] for params in asked} == {0.0, 0.3, 1.0}
    assert {params["network.knots"] for params in asked} == {8, 24, 48}
    assert {params["network.blocks"] for params in asked} == {1, 2, 3}


def test_all_that_is_asked_is_a_configuration():
    space = SearchSpace.of(Config())
    for params in proposals(Study(space, 4), 25, same):
        assert space.config(params).network.width == params["network.width"]


def test_many_may_run_at_a_time():
    space = SearchSpace(Config(), EVERY_KIND)
    study = Study(space, 0)
    asked = [study.ask(number) for number in range(20)]
    assert all(space.covers(params) for params in asked)
    assert len({params["training.lr"] for params in asked[RANDOM_TRIALS:]}) == 20 - RANDOM_TRIALS
    for number, params in reversed(list(enumerate(asked))):
        study.tell(finished(number, params, 0.1 * number))
    assert space.covers(study.ask(20))


def test_the_first_draws_keep_some_of_the_base_and_the_later_ones_do_not():
    # A draw from a span never hits the base's value: equal means kept. 400 chances of .6 each, a
    # little less as the base itself is not drawn twice; the standard error is .025.
    keys = ("objective.gamma", "objective.gamma_end", "objective.marginals", "training.ema")
    space = space_of({key: {"low": 0.0, "high": 0.9999} for key in keys})
    base = space.base_params()
    early, late = [], []
    for seed in range(10):
        asked = proposals(Study(space, seed), RANDOM_TRIALS + 3, same)
        early += [params[key] == base[key] for params in asked[:RANDOM_TRIALS] for key in base]
        late += [params[key] == base[key] for params in asked[RANDOM_TRIALS:] for key in base]
    assert 0.45 <= sum(early) / len(early) <= 0.7
    assert not any(late)


@pytest.mark.parametrize("seed", range(3))
def test_no_setting_is_asked_for_twice_while_there_are_others(seed):
    space = space_of(objective={"gamma": 0.5}, network={"width": 64})
    taken = space.base_params()
    study = Study(space, seed)
    study.take(0, taken)
    earlier = {"objective.gamma": 0.25, "network.width": 32}
    study.tell(finished(99, earlier, 0.1))
    asked = [study.ask(number) for number in range(1, 26)]
    settings = [tuple(params.items()) for params in (*asked, taken, earlier)]
    assert len(set(settings)) == len(settings)


def test_a_space_that_is_used_up_gives_its_settings_again():
    space = space_of({"network.width": [32, 64], "objective.name": ["relativistic", "minimax"]})
    asked = proposals(Study(space, 0), 7, same)
    assert {tuple(params.values()) for params in asked[:4]} == set(
        itertools.product((32, 64), ("relativistic", "minimax"))
    )
    assert all(space.covers(params) for params in asked)


def test_a_base_off_the_axes_is_not_kept():
    space = space_of(objective={"gamma": 3.0}, network={"width": 64})
    asked = [Study(space, seed).ask(0) for seed in range(5)]
    assert all(space.covers(params) for params in asked)


def test_the_better_region_is_found_more_often_than_by_chance():
    # Of random draws 30 % lie there; of 120 draws 50 % are 4 standard errors more.
    space = space_of(objective={"gamma": 0.9}, network={"width": 256})
    late = [params for seed in range(3) for params in proposals(Study(space, seed), 60, valley)[20:]]
    good = [p for p in late if p["objective.gamma"] < 0.6 and p["network.width"] in (64, 128)]
    assert len(good) / len(late) > 0.5


@pytest.mark.parametrize(
    "failure",
    [{"status": "failed"}, {"rollbacks": 1}, {"status": "failed", "rollbacks": 3}],
    ids=["failed", "rolled back", "both"],
)
def test_a_region_that_fails_is_avoided_however_good_its_scores(failure):
    space = space_of(
        {"objective.gamma": {"low": 0.0, "high": 1.0}, "objective.marginals": {"low": 0.0, "high": 1.0}}
    )

    def share_above(values) -> float:
        def judge(number: int, params) -> Trial:
            bad = params["objective.gamma"] > 0.5
            return finished(number, params, 1.0 - params["objective.gamma"], **(values if bad else {}))

        late = [p for seed in range(3) for p in proposals(Study(space, seed), 60, judge)[20:]]
        return sum(params["objective.gamma"] > 0.5 for params in late) / len(late)

    tempted, warned = share_above({}), share_above(failure)
    assert tempted > 0.85
    assert warned < 0.6


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"status": "pruned"},
        {"status": "pruned", "curve": ()},
        {"status": "pruned", "rollbacks": 2},
        {"status": "failed"},
        {"status": "failed", "curve": (), "error": "no gradient"},
        {"curve": ()},
        {"curve": ((1.0, math.inf),)},
        {"curve": ((1.0, math.nan),)},
        {"rollbacks": 1},
        {"memorisation": 0.5, "steps": 7},
    ],
)
@pytest.mark.parametrize("how", ["asked", "taken", "added"])
def test_every_end_of_a_trial_is_learned_without_a_fault(values, how):
    space = space_of()
    study = Study(space, 0)
    for number in range(14):
        params = (
            study.ask(number) if how == "asked" else {"objective.gamma": 0.01 * number, "network.width": 64}
        )
        if how == "taken":
            study.take(number, params)
        study.tell(finished(number, params, 0.1 * number, **values))
    assert space.covers(study.ask(14))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"objective.gamma": 0.5},
        {"objective.gamma": 0.5, "network.width": 100},
        {"objective.gamma": 1.5, "network.width": 64},
        {"objective.gamma": 0.5, "network.width": 64, "training.lr": 0.1},
    ],
)
def test_a_trial_off_the_axes_changes_nothing(params):
    told, other = Study(space_of(), 5), Study(space_of(), 5)
    for number in range(12):
        told.take(100 + number, params)
        told.tell(finished(100 + number, params, 0.0))
    assert proposals(told, 14, valley) == proposals(other, 14, valley)
    assert told.importance() == other.importance()


def test_the_same_seed_proposes_the_same_and_another_seed_something_else():
    first, again, other = (proposals(Study(space_of(), seed), 20, valley) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_what_earlier_trials_found_is_used_by_a_new_study():
    space = space_of()
    params = [
        {"objective.gamma": gamma / 10, "network.width": width}
        for gamma, width in itertools.product(range(11), (32, 64, 128, 256))
    ]
    study = Study(space, 1)
    for number, own in enumerate(params):
        study.tell(valley(number, own))
    for number in range(100, 100 + RANDOM_TRIALS):
        study.ask(number)
    late = [study.ask(200 + number) for number in range(20)]
    assert sum(p["network.width"] in (64, 128) for p in late) >= 15


def test_values_that_changed_on_the_way_are_those_that_count():
    # All were asked with any width; they ended with another one, which alone decides the score.
    study = Study(space_of(), 2)
    for number in range(16):
        params = study.ask(number)
        width = (32, 256)[number % 2]
        study.tell(finished(number, {**params, "network.width": width}, 1.0 if width == 32 else 0.1))
    assert next(iter(study.importance())) == "network.width"
    assert study.importance()["network.width"] > 0.9


def test_the_key_that_matters_is_the_most_important():
    study = Study(space_of(), 0)
    proposals(study, 24, lambda n, p: finished(n, p, math.log2(p["network.width"])))
    found = study.importance()
    assert list(found) == ["network.width", "objective.gamma"]
    assert found["network.width"] > 0.9
    assert sum(found.values()) == pytest.approx(1.0)
    assert study.importance() == found


@pytest.mark.parametrize(
    ("count", "judge"),
    [
        (0, valley),
        (3, valley),
        (8, same),
        (8, lambda n, p: Trial(n, p, status="failed")),
        (8, lambda n, p: finished(n, p, 0.1 * n, status="pruned")),
    ],
    ids=["none", "three", "equal scores", "failed", "pruned"],
)
def test_too_little_to_tell_makes_no_importance(count, judge):
    study = Study(space_of(), 0)
    proposals(study, count, judge)
    assert study.importance() == {}
