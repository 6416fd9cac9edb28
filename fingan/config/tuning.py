"""The section `tune` of `fingan.yaml`: what a search varies, how it spends, how it decides."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    field_validator,
    model_serializer,
    model_validator,
)

from fingan.config.section import Duration, Section

_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def _read(value: Any) -> Any:
    """Read `3e-4` as a number: to YAML 1.1 it is a text, for want of a point."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


# Both checks come before the unions that they guard: a union would tell of each of its types.
def _scalar(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str | None):
        raise ValueError("must be a number, a text, true, false or null")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _number(value: Any) -> Any:
    value = _scalar(_read(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number, as 0.001 or 1e-3")
    return value


Scalar = Annotated[StrictBool | StrictInt | StrictFloat | StrictStr | None, BeforeValidator(_scalar)]
"""A value of a configuration key that is not a list."""

Number = Annotated[StrictInt | StrictFloat, BeforeValidator(_number)]


class Choice(Section):
    """One of several values; `[256, 384]` in the file."""

    choices: tuple[Scalar, ...]

    @model_validator(mode="before")
    @classmethod
    def _of_list(cls, value: Any) -> Any:
        values = value if isinstance(value, list | tuple) else None
        return value if values is None else {"choices": [_read(entry) for entry in values]}

    @model_serializer
    def _as_list(self) -> list[Scalar]:
        return list(self.choices)

    @model_validator(mode="after")
    def _distinct(self) -> Choice:
        if not self.choices:
            raise ValueError("nothing to choose from; name at least one value")
        # To Python, 1 and true are equal.
        typed = [(isinstance(value, bool), value) for value in self.choices]
        twice = [entry for place, entry in enumerate(typed) if entry in typed[:place]]
        if twice:
            raise ValueError(f"{twice[0][1]!r} stands there twice; name it once")
        return self


class Span(Section):
    """Any number between two, both included; whole numbers where both ends are."""

    low: Number
    high: Number
    log: bool = Field(False, description="as likely between 1 and 10 as between 10 and 100")

    @model_validator(mode="before")
    @classmethod
    def _of_mapping(cls, value: Any) -> Any:
        if not isinstance(value, dict | Span):
            raise ValueError("must be a list of choices, as [128, 256], or a span, as {low: 0.1, high: 0.5}")
        if isinstance(value, dict) and not value.keys() >= {"low", "high"}:
            raise ValueError(
                f"a span has low and high, as {{low: 0.1, high: 0.5}}; got {reprlib.repr(value)}"
            )
        return value

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @model_validator(mode="after")
    def _in_order(self) -> Span:
        if not self.low < self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, got {self.low}")
        return self


def _shape(value: Any) -> str:
    """Say which axis is meant, so that an error tells of that one alone."""
    choice = isinstance(value, list | tuple | Choice) or (isinstance(value, dict) and "choices" in value)
    return "[choice]" if choice else "[span]"


Axis = Annotated[
    Annotated[Choice, Tag("[choice]")] | Annotated[Span, Tag("[span]")],
    Discriminator(_shape),
]

_AXIS_KEYS = {*Choice.model_fields, *Span.model_fields}


class TuneConfig(Section):
    """The search of `fingan tune`."""

    space: dict[str, Axis] | None = Field(
        None, description="keys with choices or a span (low, high, log); null: the space for tables"
    )
    trials: int = Field(40, ge=1, le=100_000, description="settings that are tried")
    shipped: bool = Field(True, description="begin also with settings that worked for tables of a like shape")
    time_budget: Duration | None = Field(
        None, description="stop trying after this long by the clock, and go on with the finalists"
    )
    trial_budget: Duration = Field(60.0, description="training of one trial")
    trial_steps: int | None = Field(
        None, ge=1, description="a trial ends after so many steps instead; then it can be repeated exactly"
    )
    clock: Literal["processor", "wall"] = Field(
        "processor",
        description="what a trial's budget counts: processor seconds (a trial of several workers: the clock)",
    )
    scheduler: Literal["asha", "population", "none"] = Field(
        "asha", description="asha: weak trials end early; population: they go on from better ones' states"
    )
    reduction: int = Field(3, ge=2, le=16, description="asha: one in so many of the latest trials goes on")
    rungs: int = Field(3, ge=1, le=8, description="asha: looks at a trial; the last is at its end")
    intervals: int = Field(6, ge=2, le=100, description="population: looks at a trial, the last at its end")
    finalists: int = Field(4, ge=1, le=64, description="best settings that are repeated over seeds")
    seeds: int = Field(5, ge=2, le=100, description="seeds of the last finalists")
    confidence: float = Field(
        0.9, gt=0.5, lt=1.0, description="finalists are ranked by the quality a new seed keeps so surely"
    )
    max_failures: float = Field(0.0, ge=0.0, lt=1.0, description="share of seeds of a winner that may fail")
    concurrency: int | None = Field(None, ge=1, le=4096, description="trials at a time; null: as many as fit")
    winner: Literal["retrain", "best_run"] = Field(
        "retrain",
        description="publish a training of the winner for training.time_budget, or its best run so far",
    )

    @field_validator("space", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        for key, axis in value.items() if isinstance(value, Mapping) else ():
            nested = isinstance(axis, Mapping) and axis.keys().isdisjoint(_AXIS_KEYS)
            if nested and axis and "." not in str(key):
                inner = next(iter(axis))
                raise ValueError(f"{inner!r} stands below {key!r}; write {f'{key}.{inner}'!r} as one key")
        return value

    def __hash__(self) -> int:
        # Pydantic's own would hash the dictionary, which has no hash.
        space = None if self.space is None else frozenset(self.space.items())
        return hash((space, *(value for name, value in self if name != "space")))
