"""A search as it goes on: a table that is kept up to date on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console as Terminal
from rich.live import Live
from rich.table import Table

from fingan.cli.console import Console, duration

if TYPE_CHECKING:
    from fingan.search import Record, Trial
    from fingan.training import Update

SHOWN = 12
"""Trials in the table: all that run, and the best of the others."""

WIDTH = 110


class LiveTable:
    """Shows trials: as a table on a terminal, else a line for each one that ends.

    Args:
        console: prints lines.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ended: set[tuple[str, int, int]] = set()
        self._live: Live | None = None
        if sys.stderr.isatty():
            self._live = Live(console=Terminal(stderr=True), auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, update: Update) -> None:
        """Print the progress of the winner's training, with which the trials are over."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._console.update(update)

    def trials(self, trials: list[Trial]) -> None:
        """Show how the trials stand."""
        if self._live is not None:
            self._live.update(trials_table(trials), refresh=True)
            return
        for trial in trials:
            key = (trial.stage, trial.number, trial.seed)
            if trial.status not in ("running", "interrupted") and key not in self._ended:
                self._ended.add(key)
                self._console.note(line(trial, trials))


def _quality(trial: Trial) -> str:
    return "–" if trial.score is None else f"{trial.score:.4f}"


def _best(trials: Sequence[Trial]) -> Trial | None:
    scored = [t for t in trials if t.score is not None and t.stage == "search" and not t.failed]
    return min(scored, key=lambda trial: trial.score or 0.0, default=None)


def line(trial: Trial, trials: Sequence[Trial]) -> str:
    """Return a line on a trial that has ended: what became of it, and the best so far."""
    what = f"trial {trial.number}" if trial.stage == "search" else f"trial {trial.number}, seed {trial.seed}"
    if trial.status == "failed":
        return f"{what} failed: {trial.error}"
    best = _best(trials)
    beside = "" if best is None else f"  (best {_quality(best)}, trial {best.number}; lower is better)"
    return f"{what} {trial.status}: quality {_quality(trial)} after {duration(trial.seconds)}{beside}"


def trials_table(trials: Sequence[Trial]) -> Table:
    """Return the trials that run and the best of the others as a table."""
    running = [t for t in trials if t.status == "running"]
    others = [t for t in trials if t.status != "running"]
    others.sort(key=lambda t: (t.stage != "final", t.failed, t.score is None, t.score or 0.0))
    counts = {s: sum(t.status == s for t in trials) for s in ("finished", "pruned", "failed")}
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    table = Table(title=f"{len(trials)} trials: {len(running)} running, {said}", width=WIDTH)
    for name in ("trial", "seed", "status", "quality", "time", "steps", "setting"):
        table.add_column(name, no_wrap=name != "setting", justify="left" if name == "setting" else "right")
    for trial in [*running, *others][:SHOWN]:
        seed = "" if trial.stage == "search" else str(trial.seed)
        spent = duration(trial.seconds)
        row = (str(trial.number), seed, trial.status, _quality(trial), spent, f"{trial.steps:,}")
        table.add_row(*row, setting(trial.params))
    return table


def setting(params: dict[str, Any]) -> str:
    """Return values in a line, each under the last part of its key."""
    return ", ".join(f"{key.rpartition('.')[2]} {_short(value)}" for key, value in params.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def finalists_table(record: Record) -> str:
    """Return the finalists, best first, as text."""
    table = Table(width=WIDTH, title="settings over seeds, best first; quality: lower is better")
    columns = ("trial", "seeds", "mean", "spread", "worst", "failures", "a new seed keeps", "memorisation")
    for name in (*columns, "seconds"):
        table.add_column(name, justify="right")
    for finalist in record.finalists:
        name = f"{finalist['number']} (base)" if finalist["number"] == 0 else str(finalist["number"])
        seeds = len(finalist["scores"]) + finalist["failures"]
        figures = [_figure(finalist[key]) for key in ("mean", "spread", "worst")]
        rest = [_figure(finalist["bound"]), _figure(finalist["memorisation"]), f"{finalist['seconds']:,.0f}"]
        table.add_row(name, str(seeds), *figures, str(finalist["failures"]), *rest)
    text = io.StringIO()
    Terminal(file=text, width=WIDTH).print(table)
    return text.getvalue().rstrip()


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
