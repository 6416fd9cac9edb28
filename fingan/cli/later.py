"""Verbs to come, which this version does not have yet: one sentence, exit code 2."""

from __future__ import annotations

from collections.abc import Callable

import typer

from fingan.errors import NotAvailable

LATER = {
    "forecast": "forecasts of price series",
    "risk": "risk figures of price series",
    "apply": "the applications",
}
_ANY = {"allow_extra_args": True, "ignore_unknown_options": True}


def _refusal(verb: str, what: str) -> Callable[[], None]:
    def command() -> None:
        raise NotAvailable(f"fingan {verb} ({what}) is not available in this version yet")

    return command


def register(app: typer.Typer) -> None:
    """Add a command for each verb to come; it takes any arguments."""
    for verb, what in LATER.items():
        app.command(verb, context_settings=_ANY, help=f"Not available yet: {what}.")(_refusal(verb, what))
