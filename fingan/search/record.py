"""The record of a search: every trial with its curve, as plain JSON that goes with the winner."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fingan.errors import ConfigError
from fingan.files import atomic_write_bytes
from fingan.search.space import Params
from fingan.types import Json

FORMAT = 1

Curve = tuple[tuple[float, float], ...]
"""(seconds of training, best validation score so far) at each look."""

Status = Literal["running", "finished", "pruned", "failed", "interrupted", "paused"]
ENDED: tuple[Status, ...] = ("finished", "pruned", "failed")


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
        status: `finished`, `interrupted` or `running`.
    """

    name: str
    shape: Json
    base: Json
    space: Json
    trials: tuple[Trial, ...]
    finalists: tuple[Json, ...] = ()
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
    def of_json(cls, values: Mapping[str, Any]) -> Record:
        """Read what `to_json` wrote.

        Raises:
            ConfigError: these are not the values of a record.
        """
        try:
            if values["format"] != FORMAT:
                raise ValueError(f"format {values['format']!r} is not {FORMAT}")
            kept = {f.name: values[f.name] for f in dataclasses.fields(cls)}
            kept["trials"] = tuple(_trial(entry) for entry in values["trials"])
            kept["finalists"] = tuple(values["finalists"])
            return cls(**kept)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"this is no record of a search: {error!r}") from error


def _trial(entry: Mapping[str, Any]) -> Trial:
    curve = tuple((float(at), float(score)) for at, score in entry["curve"])
    return Trial(**{**entry, "curve": curve})


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
    return Record.of_json(values if isinstance(values, dict) else {})
