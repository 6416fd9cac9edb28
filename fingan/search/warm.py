"""Settings to begin a search with, from earlier searches."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from fingan.config.faults import faults
from fingan.errors import ConfigError
from fingan.search.record import Record
from fingan.search.space import Params

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
        if isinstance(values, list):
            return _SETTINGS.validate_python(values)
        return settings_of(Record.of_json(values))
    except ValidationError as error:
        reason = faults(error, values)
    except ConfigError as error:
        reason = str(error)
    raise ConfigError(
        f"{str(path)!r} holds no settings: {reason}; give the record.json of a search, or a list of "
        'objects such as {"training.lr": 0.001}'
    )
