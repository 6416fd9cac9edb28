"""Leads most generated requests to a model that is there."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    if path_parameters and "model" in path_parameters and len(str(path_parameters["model"])) % 4:
        path_parameters["model"] = "tiny"
    return path_parameters


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Keep some conditions and columns to what the model has; the others stay as they were made."""
    if isinstance(body, dict) and len(str(body)) % 2:
        body = {**body, "where": {"label": "bad"} if len(str(body)) % 3 else {}, "columns": None}
        if "model" in body:
            body["model"] = "tiny"
        if isinstance(body.get("rows"), int):
            body["rows"] = body["rows"] % 20_000
    return body
