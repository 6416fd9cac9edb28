"""What pydantic finds wrong, told by the keys that the user wrote."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_REMEDIES = {"string_type": "; put it in quotes", "extra_forbidden": "; leave it out"}
_OF_THE_WHOLE = ("missing", "value_error")
_short = reprlib.Repr()
_short.maxlevel = 2


def faults(error: ValidationError, values: Any) -> str:
    """Return all faults of values in a line: key, fault, value and remedy of each.

    Args:
        error: what pydantic says of the values.
        values: as they were given.
    """
    lines = []
    for item in error.errors():
        place = _place(item, values)
        message = item["msg"].removeprefix("Value error, ")
        # A rule over several keys names them itself; its input would be the whole section.
        whole = isinstance(item["input"], Mapping) and item["type"] in _OF_THE_WHOLE
        got = "" if whole else f" (got {_short.repr(item['input'])})"
        told = f"{message}{got}{_REMEDIES.get(item['type'], '')}"
        lines.append(f"{place}: {told}" if place else told)
    return "; ".join(lines)


def _place(item: ErrorDetails, values: Any) -> str:
    """Return where a fault is; empty for the whole.

    What is not among the values is pydantic's name for one of a union's types, or a key that is missing.
    """
    keys = []
    for part in item["loc"]:
        with suppress(KeyError, IndexError, TypeError):
            values = values[part]
            keys.append(str(part))
    if item["type"] == "missing":
        keys.append(str(item["loc"][-1]))
    return ".".join(keys)
