"""Successive halving over seeds: what is due follows from what has ended, whatever happened between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.config import TuneConfig
from fingan.rng import numpy_generator
from fingan.search import Trial
from fingan.search.finals import BASE, candidates, due, rounds, standing


def config(seeds: int = 5, **values) -> TuneConfig:
    return TuneConfig(seeds=seeds, **values)


def final(number: int, seed: int, score: float | None, **values) -> Trial:
    kept = {
        "stage": "final",
        "status": "failed" if score is None else "finished",
        "curve": () if score is None else ((10.0, score),),
        "params": {"training.lr": 0.001 * (number + 1)},
    }
    return Trial(number=number, seed=seed, **{**kept, **values})


def by_number(number: int, seed: int) -> Trial:
    """The higher the number the worse, a little different for every seed."""
    return final(number, seed, 0.1 * (number + 1) + 0.001 * seed)


def run(numbers, tune: TuneConfig, train=by_number) -> list[Trial]:
    """Run all that is due until nothing is."""
    ended: list[Trial] = []
    while waiting := due(numbers, ended, tune):
        ended += [train(number, seed) for number, seed in waiting]
    return ended


def seeds_of(ended) -> dict[int, int]:
    """How many seeds each setting was trained with."""
    counts: dict[int, int] = {}
    for trial in ended:
        counts[trial.number] = counts.get(trial.number, 0) + 1
    return counts


def search(number: int, score: float | None = 0.2, **values) -> Trial:
    kept = {
        "params": {"training.lr": 0.001 * (number + 1)},
        "status": "finished",
        "curve": () if score is None else ((5.0, score + 0.1), (10.0, score)),
    }
    return Trial(number=number, **{**kept, **values})


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [
        (2, [2]),
        (3, [2, 3]),
        (4, [2, 4]),
        (5, [2, 4, 5]),
        (6, [2, 4, 6]),
        (7, [2, 4, 7]),
        (8, [2, 4, 8]),
        (9, [2, 4, 8, 9]),
    ],
)
def test_rounds_double_until_the_last_number(seeds, expected):
    assert rounds(seeds) == expected


def test_the_first_round_is_two_seeds_of_every_finalist():
    assert due([3, 7, 0], [], config()) == [(3, 0), (3, 1), (7, 0), (7, 1), (0, 0), (0, 1)]


def test_the_next_round_waits_for_the_last_repetition_of_this_one():
    ended = [by_number(n, s) for n in (1, 2, 0) for s in (0, 1)]
    assert due([1, 2, 0], ended[:-1], config()) == [(0, 1)]
    assert due([1, 2, 0], ended, config()) == [(1, 2), (1, 3), (0, 2), (0, 3)]


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_repetition_that_did_not_end_is_due_still(status):
    ended = [by_number(0, 0), by_number(1, 0), by_number(1, 1), final(0, 1, 0.1, status=status)]
    assert due([1, 0], ended, config()) == [(0, 1)]


@pytest.mark.parametrize("status", ["pruned", "failed"])
def test_a_repetition_that_ended_early_is_not_due_again(status):
    ended = [by_number(0, 0), by_number(1, 0), by_number(1, 1), final(0, 1, 0.1, status=status)]
    assert due([1, 0], ended, config(seeds=2)) == []


def test_losers_get_fewer_seeds_and_the_base_gets_all():
    # Four rivals, then two, then one: 2, 4 and 5 seeds. The base has the worst score of all.
    ended = run(
        [1, 2, 3, 4, 0], config(), lambda n, s: final(n, s, 9.0 if n == BASE else 0.1 * n + 0.001 * s)
    )
    assert seeds_of(ended) == {1: 5, 2: 4, 3: 2, 4: 2, 0: 5}


def test_the_better_half_is_rounded_up():
    ended = run([1, 2, 3, 4, 5, 0], config(), lambda n, s: by_number(n or 9, s) if n else final(0, s, 9.0))
    assert seeds_of(ended) == {1: 5, 2: 5, 3: 4, 4: 2, 5: 2, 0: 5}


def test_the_base_alone_is_repeated_over_all_seeds():
    assert seeds_of(run([0], config(seeds=7))) == {0: 7}


def test_no_finalists_have_nothing_due():
    assert due([], [], config()) == []


def test_a_finalist_that_failed_drops_out_however_good_its_scores():
    def train(number: int, seed: int) -> Trial:
        return final(number, seed, None if (number, seed) == (1, 1) else 0.1 * number + 0.001 * seed)

    ended = run([1, 2, 3, 0], config(), train)
    assert seeds_of(ended) == {1: 2, 2: 5, 3: 4, 0: 5}
    assert standing(ended, config())[0].number == 0


def test_a_roll_back_drops_a_finalist_too():
    def train(number: int, seed: int) -> Trial:
        return final(number, seed, 0.1 * (number + 1), rollbacks=int(number == 1 and seed == 0))

    assert seeds_of(run([1, 2, 0], config(), train)) == {1: 2, 2: 5, 0: 5}


def test_a_failure_that_is_allowed_does_not_drop_a_finalist():
    def train(number: int, seed: int) -> Trial:
        return final(number, seed, None if (number, seed) == (1, 1) else 0.1 * (number + 1) + 0.001 * seed)

    assert seeds_of(run([1, 2, 0], config(max_failures=0.5), train)) == {1: 5, 2: 2, 0: 5}


def test_where_all_rivals_fail_one_of_them_goes_on_beside_the_base():
    ended = run([1, 2, 0], config(), lambda n, s: final(n, s, 0.5 if n == BASE else None))
    assert seeds_of(ended) == {1: 5, 2: 2, 0: 5}
    assert standing(ended, config())[0].number == BASE


@given(
    rivals=st.integers(0, 7),
    seeds=st.integers(2, 9),
    chance=st.integers(0, 10**6),
    share=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
)
def test_any_order_of_ends_and_any_interruption_come_to_the_same_trials(rivals, seeds, chance, share):
    tune = config(seeds)
    numbers = [*range(1, rivals + 1), BASE]

    def train(number: int, seed: int) -> Trial:
        own = numpy_generator(chance, "score", number, seed)
        failed = own.random() < share
        return final(number, seed, None if failed else float(own.normal(0.2 + 0.01 * number, 0.05)))

    straight = run(numbers, tune, train)
    generator = numpy_generator(chance, "order")
    ended: list[Trial] = []
    calls = 0
    while waiting := due(numbers, ended, tune):
        # Some of what is due comes to its end, in any order; then all is forgotten but the trials.
        picked = generator.permutation(len(waiting))[: generator.integers(1, len(waiting) + 1)]
        ended += [train(*waiting[place]) for place in picked]
        ended = [ended[place] for place in generator.permutation(len(ended))]
        calls += 1
        assert calls <= len(straight)
    keys = sorted((t.number, t.seed) for t in ended)
    assert len(set(keys)) == len(keys)
    assert keys == sorted((t.number, t.seed) for t in straight)
    counts = seeds_of(ended)
    assert set(counts) == set(numbers)
    assert counts[BASE] == seeds
    assert set(counts.values()) <= set(rounds(seeds))
    assert [f.number for f in standing(ended, tune)] == [f.number for f in standing(straight, tune)]
    assert standing(ended, tune)[0].seeds == seeds


def test_one_dropped_on_the_way_cannot_win_even_with_a_better_bound():
    ended = [final(1, s, 0.01) for s in range(2)]
    ended += [final(2, s, 0.3 + 0.001 * s) for s in range(5)] + [final(0, s, 0.4) for s in range(5)]
    order = standing(ended, config())
    assert [f.number for f in order] == [2, 0, 1]
    assert order[2].bound < order[0].bound


def test_among_equally_many_seeds_the_bound_decides():
    ended = [by_number(n, s) for n in (3, 1, 2) for s in range(2)]
    assert [f.number for f in standing(ended, config())] == [1, 2, 3]


def test_nothing_stands_before_anything_ended():
    assert standing([], config()) == []


def test_candidates_are_the_best_of_the_search_and_the_base():
    trials = [search(0, 0.9), search(1, 0.3), search(2, 0.1), search(3, 0.2)]
    assert [t.number for t in candidates(trials, 2)] == [2, 3, 0]


def test_candidates_hold_the_base_although_it_failed():
    trials = [search(0, None, status="failed"), search(1, 0.3)]
    assert [t.number for t in candidates(trials, 4)] == [1, 0]


def test_equal_settings_count_once_the_better_one_and_not_beside_the_base():
    same = {"training.lr": 0.5}
    trials = [
        search(0, 0.9),
        search(1, 0.3, params=same),
        search(2, 0.1, params=same),
        search(3, 0.05, params=search(0).params),
        search(4, 0.4),
    ]
    assert [t.number for t in candidates(trials, 3)] == [2, 4, 0]


def test_the_pruned_follow_the_finished_those_that_went_furthest_first():
    looks = {1: ((1.0, 0.01),), 2: ((1.0, 0.5), (2.0, 0.4)), 3: ((1.0, 0.5), (2.0, 0.3))}
    pruned = [search(n, status="pruned", curve=curve) for n, curve in looks.items()]
    trials = [search(0), search(4, 0.8), *pruned]
    assert [t.number for t in candidates(trials, 9)] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    "values",
    [
        {"status": "failed"},
        {"status": "running"},
        {"status": "interrupted"},
        {"rollbacks": 1},
        {"curve": ()},
    ],
)
def test_trials_that_failed_or_did_not_end_are_no_candidates(values):
    assert [t.number for t in candidates([search(0), search(1, 0.01, **values), search(2)], 5)] == [2, 0]


def test_a_search_of_nothing_has_no_candidates():
    assert candidates([], 3) == []


def failing(*failed: tuple[int, int]):
    """Train by number, but for repetitions that fail."""
    return lambda number, seed: (
        final(number, seed, None) if (number, seed) in failed else by_number(number, seed)
    )


@pytest.mark.parametrize(
    ("failed", "seeds", "winner"),
    [
        # The last of four fails at its last seed, the base at its first: 2 had come further than 3.
        ([(1, 4), (BASE, 0)], {1: 5, 2: 5, 3: 2, 4: 2, 0: 5}, 2),
        # So does 2, when it comes back, and 3 is better than 4.
        ([(1, 4), (2, 4), (BASE, 0)], {1: 5, 2: 5, 3: 5, 4: 2, 0: 5}, 3),
        ([(1, 4), (2, 4), (3, 2), (BASE, 0)], {1: 5, 2: 5, 3: 5, 4: 5, 0: 5}, 4),
        # Who has failed before does not come back.
        ([(1, 4), (2, 3), (4, 1), (BASE, 0)], {1: 5, 2: 4, 3: 5, 4: 2, 0: 5}, 3),
        # The base alone may be relied on.
        ([(1, 4)], {1: 5, 2: 4, 3: 2, 4: 2, 0: 5}, BASE),
    ],
)
def test_where_nobody_is_left_to_rely_on_the_best_that_did_not_fail_comes_back(failed, seeds, winner):
    ended = run([1, 2, 3, 4, BASE], config(), failing(*failed))
    assert seeds_of(ended) == seeds
    best = standing(ended, config())[0]
    assert (best.number, best.failures) == (winner, 0)


def test_where_everybody_has_failed_nobody_comes_back():
    ended = run([1, 2, BASE], config(), failing((1, 4), (2, 1), (BASE, 0)))
    assert seeds_of(ended) == {1: 5, 2: 2, 0: 5}
    assert standing(ended, config())[0].failures == 1
