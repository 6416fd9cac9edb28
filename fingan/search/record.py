"""The record of a search: every trial with its curve, as plain JSON that goes with the winner."""

from __future__ import annotations

import dataclasses
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, TypeAdapter, ValidationError, with_config

from fingan.config.faults import faults
from fingan.errors import ConfigError
from fingan.files import atomic_write_bytes
from fingan.search.space import Params
from fingan.types import Json

FORMAT = 1

Curve = tuple[tuple[float, float], ...]
"""(seconds of training, best validation score so far) at each look."""

Status = Literal["running", "finished", "pruned", "failed", "interrupted", "paused"]
ENDED: tuple[Status, ...] = ("finished", "pruned", "failed")


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Trial:
    """One training of a setting.

    Attributes:
        number: of the setting; finalists keep that of the trial they come from.
        params: its values of the keys that vary.
        seed: how-manieth of its stage; finalists get others than the search.
        stage: `search`, or `final` for a repetition.
        status: how it ended, if it has; a member of a population is paused between looks.
        curve: seconds and best score so far; lower is better.
        steps: taken.
        rollbacks: how often it was rolled back.
        memorisation: share of generated rows nearer to training than to as many held-out rows, .5 is
            ideal; None where it was not measured.
        error: why it failed.
        workers: it trained on.
        given: whether its number is that of a setting from earlier searches, tried before any proposal.
        looks: number of each look of the curve, 0 for what is none; empty where they are 1, 2, 3 and so on.
    """

    number: int
    params: Params
    seed: int = 0
    stage: Literal["search", "final"] = "search"
    status: Status = "running"
    curve: Curve = ()
    steps: int = 0
    rollbacks: int = 0
    memorisation: float | None = None
    error: str = ""
    workers: int = 1
    given: bool = False
    looks: tuple[int, ...] = ()

    @property
    def by_look(self) -> dict[int, float]:
        """The best score so far at each look; of one that was repeated, at its last."""
        numbers = self.looks or range(1, len(self.curve) + 1)
        return {look: score for look, (_, score) in zip(numbers, self.curve, strict=True) if look}

    @property
    def score(self) -> float | None:
        """The best validation score so far; None before the first."""
        return self.curve[-1][1] if self.curve else None

    @property
    def seconds(self) -> float:
        """Training up to the last look."""
        return self.curve[-1][0] if self.curve else 0.0

    @property
    def failed(self) -> bool:
        """Whether it gave up, or had to be rolled back even once."""
        return self.status == "failed" or self.rollbacks > 0


def _readable(finalist: Json) -> Json:
    if not isinstance(finalist.get("params"), dict) or not isinstance(finalist.get("scores"), list):
        raise ValueError("a finalist has params, an object, and scores, a list")
    return finalist


@dataclass(frozen=True)
class Record:
    """A whole search.

    Attributes:
        name: of the model.
        shape: of the data: rows, columns, shares of kinds.
        base: the configuration that trials deviate from.
        space: the axes, as in the configuration.
        trials: all of them, the finalists' repetitions too.
        finalists: the ranking, best first; see `ranking.Finalist`.
        winner: values of the keys that vary; None where there is none.
        importance: how much of the scores' variance each key explains; sums to 1, may be empty.
        seconds: by the clock, over all resumptions.
        cpu_seconds: of the trials.
        command: that ran it.
        status: `finished`, `interrupted`, `failed` or `running`.
    """

    name: str
    shape: Json
    base: Json
    space: Json
    trials: tuple[Trial, ...]
    finalists: tuple[Annotated[Json, AfterValidator(_readable)], ...] = ()
    winner: Params | None = None
    importance: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    command: str = ""
    status: str = "running"

    def to_json(self) -> Json:
        """Return plain values; `of_json` reads them back."""
        return {"format": FORMAT, **_plain(dataclasses.asdict(self))}

    @classmethod
    def of_json(cls, values: object) -> Record:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: these are not the values of a record.
        """
        try:
            _refuse_foreign(values)
            # As JSON: to pydantic, a list in Python is strictly speaking no tuple.
            return _RECORDS.validate_json(json.dumps(values), strict=True)
        except ValidationError as error:
            raise ConfigError(f"this is no record of a search: {faults(error, values)}") from error


def _refuse_foreign(values: object) -> None:
    if not isinstance(values, Mapping):
        raise ConfigError(f"this is no record of a search: {reprlib.repr(values)} is no object")
    missing = [name for name in ("format", *Record.__dataclass_fields__) if name not in values]
    if missing:
        raise ConfigError(f"this is no record of a search: {missing[0]!r} is missing")
    if values["format"] != FORMAT:
        raise ConfigError(f"this is no record of a search: format {values['format']!r} is not {FORMAT}")


_RECORDS = TypeAdapter(Record)


def _plain(value: Any) -> Any:
    """Return the value without what JSON has no word for: a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_record(path: Path, record: Record) -> None:
    """Write a record, whole or not at all."""
    atomic_write_bytes(path, json.dumps(record.to_json(), indent=1).encode())


def read_record(path: Path) -> Record:
    """Read a record.

    Raises:
        ConfigError: no file, or not a record.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read the record of a search {str(path)!r}: {error}") from error
    try:
        return Record.of_json(values)
    except ConfigError as error:
        raise ConfigError(f"{str(path)!r}: {error}") from error
