"""Settings that worked, shipped with the package: winners of earlier searches, by the shape of their data.

`python -m benchmarks settings` writes the file from the results of searches; nothing in it is set by hand.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import (
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    with_config,
)

from fingan.config import from_mapping
from fingan.config.faults import faults
from fingan.errors import ConfigError
from fingan.files import atomic_write_bytes
from fingan.search.finals import BASE
from fingan.search.record import Record
from fingan.search.space import Params, SearchSpace
from fingan.search.warm import check_keys, fitting
from fingan.types import Json

SETTINGS = Path(__file__).with_name("settings.json")
"""The shipped file."""

MOST = 3
"""Shipped settings that a search begins with."""

SHARE = 4
"""At most one in so many trials is begun with given settings, so that the search still searches."""


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Shape:
    """The shape of a table, as `shape_of` tells it.

    Attributes:
        rows, columns: their numbers.
        categories: share of columns that are no numbers or dates.
    """

    rows: PositiveInt
    columns: PositiveInt
    categories: Annotated[float, Field(ge=0.0, le=1.0)]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True)
class Entry:
    """The winner of a search.

    Attributes:
        shape: of the data that were searched on.
        trial_seconds: of training that each trial had.
        command: that ran the search.
        date: of its end.
        params: values of the keys that varied.
        scores: of the winner's seeds that did not fail, in its repetitions; lower is better.
        base_scores: of the base setting, over the same seeds.
        failures: seeds of the winner that failed.
    """

    shape: Shape
    trial_seconds: PositiveFloat
    command: str
    date: datetime.date
    params: Params
    scores: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]
    base_scores: tuple[FiniteFloat, ...]
    failures: NonNegativeInt


_ENTRIES = TypeAdapter(list[Entry])


def read_entries(path: Path) -> list[Entry]:
    """Read settings that worked.

    Raises:
        ConfigError: no such file, or another content.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        # As JSON: to pydantic, a list in Python is strictly speaking no tuple.
        return _ENTRIES.validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        reason = faults(error, values)
    except (OSError, ValueError) as error:
        reason = str(error)
    raise ConfigError(
        f"cannot read the shipped settings {str(path)!r}: {reason}; "
        "install fingan again, or go without them by tune.shipped=false"
    )


def write_entries(path: Path, entries: Sequence[Entry]) -> None:
    """Write settings that worked, whole or not at all."""
    values = _ENTRIES.dump_python(list(entries), mode="json")
    atomic_write_bytes(path, (json.dumps(values, indent=1) + "\n").encode())


def entry_of(record: Record, command: str, date: datetime.date) -> Entry:
    """Return the entry of a search.

    Args:
        record: of a finished search of the default configuration: values of keys that did not vary are
            not taken over.
        command: that ran it.
        date: of its end.

    Raises:
        ConfigError: the search has no winner, or its trials were no equal times.
    """
    if record.status != "finished" or record.winner is None:
        raise ConfigError(f"the search of {record.name!r} has no winner (status: {record.status})")
    tune = from_mapping(record.base).tune
    if tune.trial_steps is not None:
        raise ConfigError(
            f"the search of {record.name!r} counted steps, not time: leave out tune.trial_steps"
        )
    best = record.finalists[0]
    base = [finalist["scores"] for finalist in record.finalists if finalist["number"] == BASE]
    return Entry(
        shape=Shape(**record.shape),
        trial_seconds=tune.trial_budget,
        command=command,
        date=date,
        params=record.winner,
        scores=tuple(best["scores"]),
        base_scores=tuple(score for scores in base for score in scores),
        failures=best["failures"],
    )


def distance(one: Shape, other: Shape) -> float:
    """Return how unlike two tables are.

    Ten times the rows, ten times the columns, and categories throughout instead of none count as one
    each, and together as distances at right angles do.
    """
    return math.hypot(
        math.log10(one.rows / other.rows),
        math.log10(one.columns / other.columns),
        one.categories - other.categories,
    )


def nearest(shape: Shape, entries: Sequence[Entry], most: int | None = None) -> list[Entry]:
    """Return the entries for tables most like one, nearest first; equally near ones in their own order."""
    return sorted(entries, key=lambda entry: distance(shape, entry.shape))[:most]


def _ignore(_: str) -> None:
    """Say nothing."""


def beginnings(
    space: SearchSpace, shape: Json, first: Sequence[Params], say: Callable[[str], object] = _ignore
) -> list[Params]:
    """Return settings that a search begins with after the base's.

    Those that are given come first, then shipped ones for tables of a like shape, if `tune.shipped`:
    few of them, and none that the space does not cover.

    Args:
        space: what varies.
        shape: of the data, from `shape_of`.
        first: settings of earlier searches that the user names; see `fitting`.
        say: told of those that do not fit.

    Raises:
        ConfigError: the shipped file is damaged, or a setting has a key that cannot vary.
    """
    config = space.base.tune
    check_keys(first)
    found = fitting(first, space, say)
    if not config.shipped:
        return found
    known = [space.base_params(), *found]
    for entry in nearest(Shape(**shape), read_entries(SETTINGS)):
        if space.covers(entry.params) and entry.params not in known:
            known.append(entry.params)
    room = min(MOST, config.trials // SHARE - len(found))
    return known[1 : 1 + len(found) + max(0, room)]
