"""Settings to begin a search with, from earlier searches."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fingan.config import Scalar
from fingan.config.faults import faults
from fingan.errors import ConfigError
from fingan.search.record import Record
from fingan.search.space import Params, SearchSpace, check_key, on_axis

MOST = 5
"""Settings taken from one earlier search."""

_SETTINGS = TypeAdapter(list[Params])


def settings_of(record: Record, most: int = MOST) -> list[Params]:
    """Return the best settings of a search, best first: its finalists, then its best trials.

    Scores of other data do not compare with new ones, so that nothing but the settings is taken over.
    """
    finished = [t for t in record.trials if t.status == "finished" and not t.failed and t.score is not None]
    found = [dict(finalist["params"]) for finalist in record.finalists if finalist["scores"]]
    found += [trial.params for trial in sorted(finished, key=lambda t: t.score or 0.0)]
    distinct: list[Params] = []
    for params in found:
        if params not in distinct:
            distinct.append(params)
    return distinct[:most]


def check_keys(settings: Sequence[Params]) -> None:
    """Refuse settings with a key that cannot vary.

    Raises:
        ConfigError: names the nearest that can.
    """
    for number, params in enumerate(settings):
        for key in params:
            check_key(key, f"setting {number} to begin with")


def fitting(settings: Sequence[Params], space: SearchSpace, say: Callable[[str], object]) -> list[Params]:
    """Return settings as ones of a space, each once, and without the base's, which is tried anyway.

    Keys that one leaves out have the base's values.

    Args:
        settings: of other searches, or written by hand.
        space: what varies.
        say: told of each setting that does not fit, and why.
    """
    base = space.base_params()
    known = [base]
    for number, params in enumerate(settings):
        own = {**base, **{key: value for key, value in params.items() if key in space.axes}}
        why = [_off(space, key, value) for key, value in {**own, **params}.items()]
        if any(why):
            say(f"leaving out setting {number} to begin with: {'; '.join(filter(None, why))}")
        elif own not in known:
            known.append(own)
    return known[1:]


def _off(space: SearchSpace, key: str, value: Scalar) -> str:
    """Say why a value cannot be had; empty where it can."""
    if key in space.axes:
        return "" if on_axis(space.axes[key], value) else f"{key} {value!r} is not within tune.space.{key}"
    fixed = space.base_value(key)
    return "" if value == fixed else f"{key} {value!r} is not {fixed!r}, and tune.space does not vary it"


def read_settings(path: Path) -> list[Params]:
    """Read settings from the record of a search, or from a plain list of them.

    Raises:
        ConfigError: no such file, or another content.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read settings from {str(path)!r}: {error}") from error
    try:
        if not isinstance(values, list):
            return settings_of(Record.of_json(values))
        found = _SETTINGS.validate_python(values)
        check_keys(found)
        return found
    except ValidationError as error:
        reason = faults(error, values)
    except ConfigError as error:
        reason = str(error)
    raise ConfigError(
        f"{str(path)!r} holds no settings: {reason}; give the record.json of a search, or a list of "
        'objects such as {"training.lr": 0.001}'
    )
