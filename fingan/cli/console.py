"""What the commands print: progress on standard error, results on standard output."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from fingan.training import Update

EXIT_FAILURE, EXIT_USAGE, EXIT_GATE, EXIT_INTERRUPTED = 1, 2, 3, 130
REFRESH_SECONDS = 2.0


class Console:
    """Prints for people, or one JSON object for programs."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._shown = 0.0

    def note(self, text: str) -> None:
        """Print a line of progress."""
        typer.echo(text, err=True)

    def stage(self, name: str) -> None:
        """Print that a stage of the work begins."""
        self.note(f"{name} …")

    def result(self, values: dict[str, Any], text: str) -> None:
        """Print the result: `values` as JSON, or `text`."""
        typer.echo(json.dumps(values, default=str, ensure_ascii=False) if self.as_json else text)

    def update(self, update: Update) -> None:
        """Print live progress, at most every two seconds but for events."""
        now = time.monotonic()
        if not update.event and now - self._shown < REFRESH_SECONDS:
            return
        self._shown = now
        quality = ""
        if update.score is not None:
            quality = f"  quality {update.score:.3f} (best {update.best:.3f}, lower is better)"
        event = f"  [{update.event}]" if update.event else ""
        self.note(
            f"step {update.step:>6,}/{update.planned:<6,} {duration(update.elapsed):>7}, "
            f"{duration(update.remaining)} left  {update.rows_per_second:>8,.0f} rows/s{quality}{event}"
        )


def duration(seconds: float) -> str:
    """Write seconds as `42s` or `3m07s`."""
    whole = round(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60:02d}s"


def fail(message: str, kind: str, as_json: bool) -> None:
    """Print an error: text on standard error, with `--json` an object on standard output too."""
    typer.echo(f"error: {message}", err=True)
    if as_json:
        typer.echo(json.dumps({"error": {"type": kind, "message": message}}, ensure_ascii=False))
