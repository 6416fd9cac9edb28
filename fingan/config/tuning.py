"""The section `tune` of `fingan.yaml`: what a search varies, how it spends, how it decides."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    Tag,
    model_serializer,
    model_validator,
)

from fingan.config.section import Duration, Section

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr | None
"""A value of a configuration key that is not a list."""


_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def _number(value: Any) -> Any:
    """Read `3e-4` as a number: to YAML 1.1 it is a text, for want of a point."""
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


class Choice(Section):
    """One of several values; `[256, 384]` in the file."""

    choices: Annotated[tuple[Scalar, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _of_list(cls, value: Any) -> Any:
        values = value if isinstance(value, list | tuple) else None
        return value if values is None else {"choices": [_number(entry) for entry in values]}

    @model_serializer
    def _as_list(self) -> list[Scalar]:
        return list(self.choices)

    @model_validator(mode="after")
    def _distinct(self) -> Choice:
        if len({(isinstance(value, bool), value) for value in self.choices}) < len(self.choices):
            raise ValueError(f"a choice is there twice: {list(self.choices)}")
        return self


class Span(Section):
    """Any number between two, both included; whole numbers where both ends are."""

    low: StrictInt | StrictFloat
    high: StrictInt | StrictFloat
    log: bool = Field(False, description="as likely between 1 and 10 as between 10 and 100")

    @model_validator(mode="before")
    @classmethod
    def _of_texts(cls, value: Any) -> Any:
        return {key: _number(entry) for key, entry in value.items()} if isinstance(value, dict) else value

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
    return "choice" if choice else "span"


Axis = Annotated[
    Annotated[Choice, Tag("choice")] | Annotated[Span, Tag("span")],
    Discriminator(_shape),
]


class TuneConfig(Section):
    """The search of `fingan tune`."""

    space: dict[str, Axis] | None = Field(
        None, description="keys with choices or a span (low, high, log); null: the space for tables"
    )
    trials: int = Field(40, ge=1, le=100_000, description="settings that are tried")
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
    reduction: int = Field(3, ge=2, le=16, description="asha: one in so many goes on at each rung")
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
