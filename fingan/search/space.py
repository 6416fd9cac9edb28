"""What a search may vary: configuration keys, each with an axis, checked before any work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fingan.config import Axis, Choice, Config, Scalar, Span, from_mapping, to_mapping
from fingan.errors import ConfigError, nearest

Params = dict[str, Scalar]
"""Values of configuration keys, such as `training.lr`."""

SECTIONS = ("network", "objective", "training", "conditioning")
"""Sections whose keys may vary, but for `FIXED`."""

SINGLE = ("compute.precision",)
FIXED = (
    "training.steps",
    "training.time_budget",
    "training.epochs",
    "training.validations",
    "training.patience",
    "training.shards",
)
"""Keys that say how long a trial is or how it is shared out, not what it does."""

BATCH = "training.batch_size"

FOR_TABLES: dict[str, Axis] = {
    "objective.name": Choice(choices=("relativistic", "minimax")),
    "objective.penalty": Choice(choices=("first_order", "exact")),
    "objective.gamma": Span(low=0.05, high=2.0, log=True),
    "objective.gamma_end": Span(low=0.01, high=0.5, log=True),
    "objective.marginals": Choice(choices=(0.0, 0.1, 0.3, 1.0)),
    "training.lr": Span(low=3e-4, high=5e-3, log=True),
    "training.generator_pace": Span(low=0.5, high=4.0, log=True),
    BATCH: Choice(choices=(128, 256, 512, 1024)),
    "training.ema": Choice(choices=(0.99, 0.995, 0.998, 0.999, 0.9995)),
    "network.width": Choice(choices=(128, 192, 256, 384, 512)),
    "network.blocks": Span(low=1, high=3),
    "network.knots": Choice(choices=(8, 12, 16, 24)),
    "conditioning.unconditional_share": Span(low=0.5, high=1.0),
    "compute.precision": Choice(choices=("auto", "fp32")),
}
"""The space of a search over tables."""


@dataclass(frozen=True)
class SearchSpace:
    """The keys of a search and the configuration that holds all others.

    Attributes:
        base: the configuration that trials deviate from.
        axes: of the keys that vary.
    """

    base: Config
    axes: Mapping[str, Axis]

    @classmethod
    def of(cls, config: Config) -> SearchSpace:
        """Return the space that a configuration asks for.

        Raises:
            ConfigError: an empty space, a key that is none or does not vary, a value out of its range.
        """
        axes = FOR_TABLES if config.tune.space is None else config.tune.space
        if not axes:
            raise ConfigError(
                "tune.space is empty; name keys with choices, or leave it out for the default one"
            )
        space = cls(config, dict(axes))
        for key, axis in space.axes.items():
            check_key(key)
            for value in (*_ends(axis), *_between(axis)):
                _checked(space, key, value)
        return space

    def config(self, params: Mapping[str, Scalar]) -> Config:
        """Return the configuration of a trial.

        Raises:
            ConfigError: values that do not go together.
        """
        values = to_mapping(self.base)
        for key, value in params.items():
            section, _, name = key.partition(".")
            values[section] = {**values[section], name: value}
        return from_mapping(values)

    def fitting(self, rows: int) -> SearchSpace:
        """Return the space without batches that so many training rows cannot fill.

        Raises:
            ConfigError: none is left.
        """
        axis = self.axes.get(BATCH)
        if axis is None:
            return self
        kept = [v for v in _ends(axis) if isinstance(v, int | float) and v <= rows]
        if not kept:
            raise ConfigError(
                f"tune.space.{BATCH}: {list(_ends(axis))} are all more than the {rows} training rows"
            )
        if isinstance(axis, Choice) or (len(kept) == 1 and rows == axis.low):
            return SearchSpace(self.base, {**self.axes, BATCH: Choice(choices=tuple(kept))})
        return SearchSpace(
            self.base, {**self.axes, BATCH: axis.model_copy(update={"high": min(axis.high, rows)})}
        )

    def base_params(self) -> Params:
        """Return the base configuration's own values of the keys that vary."""
        return {key: self.base_value(key) for key in self.axes}

    def base_value(self, key: str) -> Scalar:
        """Return the base configuration's value of a key."""
        section, _, name = key.partition(".")
        value: Scalar = to_mapping(self.base)[section][name]
        return value

    def covers(self, params: Mapping[str, Any]) -> bool:
        """Whether these are values of exactly the keys that vary, each on its axis."""
        return params.keys() == self.axes.keys() and all(
            on_axis(self.axes[key], value) for key, value in params.items()
        )


def on_axis(axis: Axis, value: object) -> bool:
    """Whether an axis has this value; 1 and 1.0 are the same, 1 and true are not."""
    if isinstance(axis, Choice):
        return any(
            isinstance(value, bool) is isinstance(choice, bool) and value == choice for choice in axis.choices
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return axis.low <= value <= axis.high and (isinstance(value, int) or not axis.whole)


def searchable() -> list[str]:
    """Return all keys that may vary."""
    values = to_mapping(Config())
    keys = [f"{section}.{name}" for section in SECTIONS for name in values[section]]
    return [key for key in keys if key not in FIXED] + list(SINGLE)


def check_key(key: str, place: str = "tune.space") -> None:
    """Refuse a key that cannot vary.

    Args:
        key: such as `training.lr`.
        place: where it stands, for the message.

    Raises:
        ConfigError: names the nearest that can.
    """
    known = searchable()
    if key in known:
        return
    if key in FIXED:
        raise ConfigError(f"{place}: {key!r} says how long a trial is, not how it trains; leave it out")
    hint = nearest(key, known) or f" Keys that may vary: {', '.join(known)}."
    raise ConfigError(f"{place}: {key!r} is no key that may vary.{hint}")


def _ends(axis: Axis) -> tuple[Scalar, ...]:
    return axis.choices if isinstance(axis, Choice) else (axis.low, axis.high)


def _between(axis: Axis) -> tuple[Scalar, ...]:
    """Return a value inside a span of any numbers: a key for whole ones does not take it."""
    if isinstance(axis, Choice) or axis.whole:
        return ()
    return (axis.low + (axis.high - axis.low) / math.pi,)


def _checked(space: SearchSpace, key: str, value: Scalar) -> None:
    try:
        space.config({key: value})
    except ConfigError as error:
        raise ConfigError(f"tune.space.{key}: {value!r} does not fit: {error}") from error
