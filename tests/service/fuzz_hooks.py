"""Leads most sound requests to what is there; those that are wrong on purpose stay as they were made."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Name the model, a version and conditions that there are, and ask for few rows."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    place, body = case.path_parameters, case.body
    if place and len(str(place.get("model", ""))) % 4:
        place["model"] = "tiny"
    if place and len(str(place.get("version", ""))) % 4:
        place["version"] = "1"
    if isinstance(body, dict) and isinstance(body.get("rows"), int) and len(str(body)) % 4:
        where = {"label": "bad"} if len(str(body)) % 3 else {}
        case.body = {**body, "where": where, "columns": None, "rows": 1 + body["rows"] % 5_000}
        if "model" in body:
            case.body["model"] = "tiny"
