"""Population-based training: weak members go on from a strong one's state, with changed values.

Jaderberg et al., 2017: truncation selection, then perturbing or drawing anew. Synchronous: all
members are looked at when they have come equally far, so what is decided is a function of their
scores and the seed alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fingan.config import Axis, Choice, Scalar
from fingan.errors import ConfigError
from fingan.rng import numpy_generator
from fingan.search.record import Trial
from fingan.search.space import Params, SearchSpace

FROZEN = ("network.", "compute.", "conditioning.", "objective.name")
"""A state that is carried over fits no other network; and what it learned to do stays what it does."""

QUANTILE = 0.25
"""Share of the members that are replaced, and of those that replace them."""

REDRAW = 0.25
"""Chance of a value to be drawn anew instead of perturbed."""

FACTORS = (0.8, 1.2)
"""A perturbed number is multiplied by one of these."""


@dataclass(frozen=True)
class Move:
    """A member that goes on from another's state.

    Attributes:
        member, donor: numbers.
        params: the member's new values.
    """

    member: int
    donor: int
    params: Params


def mutable(space: SearchSpace) -> SearchSpace:
    """Return the part of a space that can change in mid-training.

    Raises:
        ConfigError: nothing can.
    """
    kept = {key: axis for key, axis in space.axes.items() if not key.startswith(FROZEN)}
    if not kept:
        raise ConfigError(
            "a population changes rates, weights and batches in mid-training, but tune.space names none of "
            "them; add one such as training.lr, or set tune.scheduler to asha"
        )
    return SearchSpace(space.base, kept)


def moves(members: Sequence[Trial], space: SearchSpace, seed: int, look: int) -> list[Move]:
    """Return who goes on from whose state; nobody in a population of one.

    Args:
        members: all that have come as far as this look; failed ones are passed over.
        space: what varies.
        seed: of the draws.
        look: how-manieth, from 1.
    """
    sound = [t for t in members if not t.failed and t.score is not None and math.isfinite(t.score)]
    order = sorted(sound, key=lambda trial: (trial.score, trial.number))
    count = min(math.ceil(len(order) * QUANTILE), len(order) // 2)
    chance = numpy_generator(seed, "population", look)
    found = []
    for member in sorted(order[len(order) - count :], key=lambda trial: trial.number):
        donor = order[int(chance.integers(count))]
        found.append(Move(member.number, donor.number, explored(donor.params, space, chance)))
    return found


def explored(params: Mapping[str, Scalar], space: SearchSpace, chance: np.random.Generator) -> Params:
    """Return values near others: each perturbed, or drawn anew from its axis."""
    return {key: _changed(axis, params[key], chance) for key, axis in space.axes.items()}


def _changed(axis: Axis, value: Any, chance: np.random.Generator) -> Scalar:
    if isinstance(axis, Choice):
        return _neighbour(axis, value, chance)
    if chance.random() < REDRAW or isinstance(value, bool) or not isinstance(value, int | float):
        low, high = (math.log(axis.low), math.log(axis.high)) if axis.log else (axis.low, axis.high)
        drawn = float(chance.uniform(low, high))
        found = math.exp(drawn) if axis.log else drawn
    else:
        found = value * FACTORS[int(chance.integers(2))]
    found = min(max(found, axis.low), axis.high)
    return round(found) if axis.whole else found


def _neighbour(axis: Choice, value: Scalar, chance: np.random.Generator) -> Scalar:
    """Return a choice beside a value; any, where one is drawn anew or there is no order to be beside in."""
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in axis.choices)
    ordered: list[Any] = list(axis.choices)
    if not numbers or value not in ordered or chance.random() < REDRAW:
        chosen: Scalar = ordered[int(chance.integers(len(ordered)))]
        return chosen
    ordered.sort()
    place = ordered.index(value) + (-1, 1)[int(chance.integers(2))]
    moved: Scalar = ordered[min(max(place, 0), len(ordered) - 1)]
    return moved
