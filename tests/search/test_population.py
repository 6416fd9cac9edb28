"""Who goes on from whose state, and with which values."""

from __future__ import annotations

import pytest

from fingan.config import from_mapping
from fingan.errors import ConfigError
from fingan.rng import numpy_generator
from fingan.search import SearchSpace, Trial
from fingan.search.population import explored, moves, mutable

SPACE = (
    "tune.space={training.lr: {low: 0.001, high: 0.01, log: true}, training.batch_size: [64, 128, 256], "
    "objective.discriminator_steps: {low: 1, high: 4}, network.width: [64, 128]}"
)


def space(override: str = SPACE) -> SearchSpace:
    return SearchSpace.of(from_mapping({}, [override]))


def members(*scores: float, failed: tuple[int, ...] = ()) -> list[Trial]:
    params = mutable(space()).base_params()
    return [
        Trial(n, {**params, "training.lr": 0.002}, curve=((1.0, score),), rollbacks=int(n in failed))
        for n, score in enumerate(scores)
    ]


def test_only_what_can_change_in_mid_training_varies():
    assert set(mutable(space()).axes) == {
        "training.lr",
        "training.batch_size",
        "objective.discriminator_steps",
    }
    keys = mutable(SearchSpace.of(from_mapping({}, []))).axes
    assert "objective.gamma" in keys
    assert "objective.name" not in keys
    with pytest.raises(ConfigError, match=r"population.*training\.lr"):
        mutable(space("tune.space={network.width: [64, 128]}"))


def test_the_weakest_quarter_goes_on_from_the_best_quarter():
    found = moves(members(0.5, 0.1, 0.9, 0.3, 0.2, 0.8, 0.4, 0.6), mutable(space()), 0, 1)
    assert [move.member for move in found] == [2, 5]
    assert {move.donor for move in found} <= {1, 4}


@pytest.mark.parametrize(("scores", "count"), [((), 0), ((0.1,), 0), ((0.1, 0.2), 1), ((0.1, 0.2, 0.3), 1)])
def test_small_populations(scores, count):
    assert len(moves(members(*scores), mutable(space()), 0, 1)) == count


def test_who_failed_neither_gives_nor_takes():
    found = moves(members(0.1, 0.2, 0.3, 0.9, failed=(0, 3)), mutable(space()), 0, 1)
    assert [(move.member, move.donor) for move in found] == [(2, 1)]


def test_decisions_are_a_function_of_seed_and_look():
    given = members(*(0.1 * n for n in range(16)))
    once = moves(given, mutable(space()), 3, 2)
    assert moves(list(reversed(given)), mutable(space()), 3, 2) == once
    assert moves(given, mutable(space()), 3, 3) != once
    assert moves(given, mutable(space()), 4, 2) != once


def test_values_stay_on_their_axes_and_move():
    axes, chance = mutable(space()), numpy_generator(0, "test")
    params = {**axes.base_params(), "training.lr": 0.01, "training.batch_size": 64}
    params["objective.discriminator_steps"] = 2
    found = [explored(params, axes, chance) for _ in range(200)]
    assert all(axes.covers(values) for values in found)
    assert len({values["training.lr"] for values in found}) > 20
    assert {values["training.batch_size"] for values in found} == {64, 128, 256}
    assert {values["objective.discriminator_steps"] for values in found} == {1, 2, 3, 4}


def test_a_value_off_its_axis_comes_onto_it():
    axes, chance = mutable(space()), numpy_generator(0, "test")
    params = {"training.lr": 0.5, "training.batch_size": 512, "objective.discriminator_steps": None}
    assert all(axes.covers(explored(params, axes, chance)) for _ in range(20))
