"""The report of a search as one self-contained HTML page, from its record alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fingan.config import Scalar
from fingan.evaluation import charts
from fingan.search import drawing
from fingan.search.front import aims, front
from fingan.search.record import Record, Trial
from fingan.search.scales import Axis, Scale, finite, same, shown_keys, spell
from fingan.types import Json

_LONGEST_ERROR = 300  # characters
_BASE = 0  # number of the base setting's trial

Change = tuple[str, str]
"""(short name of a key, its value) where a trial differs from the base setting."""


def render(record: Record) -> str:
    """Render the page of a search, whatever state it is in."""
    environment = Environment(
        # The evaluation's style is the base of this page's.
        loader=ChoiceLoader([PackageLoader("fingan.search"), PackageLoader("fingan.evaluation")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("search.html.j2").render(_context(Search(record)))


def figure(value: float | None, digits: int = 4) -> str:
    """Print a score or a share; a dash for none."""
    known = finite(value)
    return "–" if known is None else f"{known:,.{digits if abs(known) < 1e4 else 0}f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Print seconds in the two units that matter: `43 s`, `3 min 07 s`, `5 h 12 min`, `2 d 3 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if 0 < seconds < 9.95 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


@dataclass(frozen=True)
class Search:
    """A record and what the page asks of it.

    Attributes:
        record: of the search.
    """

    record: Record

    @property
    def tried(self) -> list[Trial]:
        """Trials of the search itself."""
        return [trial for trial in self.record.trials if trial.stage == "search"]

    @property
    def repeated(self) -> list[Trial]:
        """Repetitions of the finalists."""
        return [trial for trial in self.record.trials if trial.stage == "final"]

    @property
    def base(self) -> Json | None:
        """The base setting among the finalists."""
        return next((entry for entry in self.record.finalists if entry["number"] == _BASE), None)

    @property
    def champion(self) -> Json | None:
        """The finalist that won."""
        entries = self.record.finalists if self.record.winner is not None else ()
        return next((entry for entry in entries if entry["params"] == self.record.winner), None)

    @property
    def winner(self) -> int | None:
        """Number of the trial with the winning values."""
        if self.record.winner is None:
            return None
        if self.champion is not None:
            return int(self.champion["number"])
        return next((trial.number for trial in self.tried if trial.params == self.record.winner), None)

    def base_value(self, key: str) -> Scalar:
        """Return a key's value in the base setting."""
        section, _, name = key.rpartition(".")
        values = self.record.base.get(section) if section else self.record.base
        if isinstance(values, Mapping) and name in values:
            value: Scalar = values[name]
            return value
        return next((trial.params.get(key) for trial in self.tried if trial.number == _BASE), None)

    def name(self, key: str) -> str:
        """Return a key without its section, if no other key that varies is called so."""
        last = key.rpartition(".")[2]
        return last if sum(other.rpartition(".")[2] == last for other in self.record.space) < 2 else key

    def changes(self, params: Mapping[str, Scalar]) -> list[Change]:
        """Return where values differ from the base setting's."""
        own = [(key, value) for key, value in params.items() if not same(value, self.base_value(key))]
        return [(self.name(key), spell(value)) for key, value in own]

    def value(self, trial: Trial, key: str) -> Scalar:
        """Return a trial's value of a key; the base setting's where it has none of its own."""
        return trial.params[key] if key in trial.params else self.base_value(key)


def _context(search: Search) -> Json:
    record = search.record
    return {
        "title": record.name or "A search without a name",
        "summary": " ".join([*_counts(search), *_verdict(search)]),
        "cards": _cards(search),
        "finalists": _finalists(search),
        "seeds": charts.shorten(
            ", ".join(str(seed) for seed in sorted({t.seed for t in search.repeated})), 60
        ),
        "snippet": _snippet(record),
        "keys": _keys(search),
        "importance": _importance(search),
        "parallel": _parallel(search),
        "left_out": max(0, len(record.space) - len(shown_keys(record.space, record.importance))),
        "curves": drawing.curves(record.trials, search.winner)
        if any(t.curve for t in record.trials)
        else None,
        "tradeoff": drawing.tradeoff(record.trials, search.winner) if _members(search) else None,
        "members": _members(search),
        "tables": [
            (title, [_row(search, trial) for trial in trials])
            for title, trials in (
                ("The search", search.tried),
                ("Repetitions of the finalists", search.repeated),
            )
            if trials
        ],
        "facts": _facts(record),
    }


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _counts(search: Search) -> list[str]:
    """Say how many trials there were, what they came to, and what they took."""
    record, kinds = search.record, Counter(drawing.kind(trial) for trial in search.tried)
    named = (("finished", "finished"), ("pruned", "pruned"), ("failed", "failed"), ("open", "not ended"))
    told = ", ".join(f"{kinds[kind]} {name}" for kind, name in named if kinds[kind] or kind != "open")
    lines = [f"{_many(len(search.tried), 'trial')}: {told}."] if search.tried else ["No trial has begun."]
    rolled = sum(trial.failed and trial.status != "failed" for trial in search.tried)
    if rolled:
        lines.append(f"Of those that failed, {rolled} went on after being rolled back.")
    if search.repeated:
        settings = len({trial.number for trial in search.repeated})
        were = f"{_many(settings, 'finalist')} {'was' if settings == 1 else 'were'}"
        lines.append(f"{were} trained again over seeds, {len(search.repeated):,} times in all.")
    took = f"{duration(record.seconds)} by the clock and {duration(record.cpu_seconds)} of processor time"
    return [*lines, f"It took {took}."]


def _verdict(search: Search) -> list[str]:
    """Say who won and by how much, or why nobody did."""
    record = search.record
    if record.winner is None:
        return [_nobody(search)]
    if search.winner == _BASE or not search.changes(record.winner):
        return ["The base setting won: no other setting can be relied on to do better."]
    name = (
        "The winner is a setting of no trial here" if search.winner is None else f"Trial {search.winner} won"
    )
    own, base = search.champion, search.base
    if own is None:
        return [f"{name}. It was not repeated over seeds, so its score may be luck."]
    mean = f"{name}: over {_many(_seeds(own), 'seed')} its mean score is {_against(own, base, 'mean')}"
    return [f"{mean}, and its bound {_against(own, base, 'bound')}."]


def _nobody(search: Search) -> str:
    states = {"running": "is still running", "interrupted": "was interrupted"}
    record = search.record
    if record.status in states:
        return f"The search {states[record.status]}; there is no winner yet."
    if record.finalists and all(entry["failures"] for entry in record.finalists):
        return (
            "There is no winner: every finalist failed with too many seeds. "
            "Keep the base setting with caution."
        )
    if record.status == "failed":
        return "The search failed before there was a winner."
    return "There is no winner: no trial came as far as the final."


def _against(own: Json, base: Json | None, name: str) -> str:
    """Write a figure of the winner and how it compares to the base setting's."""
    mine, other = finite(own[name]), finite(base[name]) if base is not None else None
    if mine is None or other is None:
        reason = "was not repeated" if base is None else "has none"
        return f"{figure(mine)} (the base setting {reason})"
    if mine == other:
        return f"{figure(mine)}, that of the base setting"
    gap = f"{100 * abs(mine - other) / other:.1f}\u00a0%" if other > 0 else figure(abs(mine - other))
    return f"{figure(mine)}, {gap} {'below' if mine < other else 'above'} the base setting’s {figure(other)}"


def _seeds(entry: Json) -> int:
    return len(entry["scores"]) + int(entry["failures"])


def _cards(search: Search) -> list[Json]:
    """Return the winner's figures, each with the base setting's."""
    own, base = search.champion, search.base
    if own is None:
        return []
    cards = []
    for question, name, digits in (
        ("How good is it on average?", "mean", 4),
        ("What can a new seed be relied on for?", "bound", 4),
        ("How much do seeds differ?", "spread", 4),
        ("Does it copy?", "memorisation", 3),
    ):
        other = "–" if base is None else figure(base[name], digits)
        cards.append({"question": question, "name": name, "value": figure(own[name], digits), "base": other})
    return cards


def _finalists(search: Search) -> list[Json]:
    entries = search.record.finalists
    seen = [value for entry in entries for value in (*entry["scores"], finite(entry["bound"]))]
    scale = Scale.of(seen, log=False)
    return [
        {
            "rank": rank,
            "number": entry["number"],
            "winner": entry is search.champion,
            "changes": search.changes(entry["params"]),
            "base": entry["number"] == _BASE,
            "seeds": _seeds(entry),
            "mean": figure(entry["mean"]),
            "spread": figure(entry["spread"]),
            "worst": figure(entry["worst"]),
            "failures": entry["failures"],
            "at_most": f"{100 * entry['failures_at_most']:.0f} %",
            "bound": figure(entry["bound"]),
            "memorisation": figure(entry["memorisation"], 3),
            "seconds": figure(entry["seconds"], 0),
            "chart": drawing.strip(entry["scores"], finite(entry["mean"]), finite(entry["bound"]), scale),
        }
        for rank, entry in enumerate(entries, start=1)
    ]


def _snippet(record: Record) -> str | None:
    """Return the winning values as a piece of `fingan.yaml`."""
    if record.winner is None:
        return None
    nested: Json = {}
    for key, value in record.winner.items():
        section, _, name = key.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    return yaml.safe_dump(nested, sort_keys=False, allow_unicode=True)


def _keys(search: Search) -> list[Json]:
    """Return what varied, with the base setting's and the winner's values, the most important first."""
    record = search.record
    known = {key: finite(record.importance.get(key)) for key in record.space}
    shares = {key: -1.0 if share is None else share for key, share in known.items()}
    winner = {} if record.winner is None else record.winner
    return [
        {
            "key": key,
            "range": _range(record.space[key]),
            "base": spell(search.base_value(key)),
            "winner": spell(winner[key]) if key in winner else "–",
            "changed": key in winner and not same(winner[key], search.base_value(key)),
            "share": "–" if known[key] is None else f"{100 * shares[key]:.1f} %",
        }
        for key in sorted(shares, key=lambda key: -shares[key])
    ]


def _range(entry: Any) -> str:
    if isinstance(entry, Mapping):
        return f"{spell(entry['low'])} … {spell(entry['high'])}{' (log)' if entry.get('log') else ''}"
    return ", ".join(spell(choice) for choice in entry)


def _importance(search: Search) -> Markup | None:
    known = [
        (key, share)
        for key, value in search.record.importance.items()
        if (share := finite(value)) is not None
    ]
    if not known:
        return None
    ranked = sorted(known, key=lambda pair: -pair[1])
    return charts.bars(ranked, "Keys by the share of the scores’ variance that they explain")


def _parallel(search: Search) -> Markup | None:
    space, trials = search.record.space, search.tried
    if not space or not trials:
        return None
    keys = shown_keys(space, search.record.importance)
    whole = [replace(trial, params={key: search.value(trial, key) for key in keys}) for trial in trials]
    axes = [Axis.of(key, space[key], [trial.params[key] for trial in whole]) for key in keys]
    return drawing.parallel(whole, axes, search.winner)


def _members(search: Search) -> list[Json]:
    """Return the trials on the front, the best score first."""
    found = front(drawing.measured(search.record.trials))
    judged = [(own, trial) for trial in found if (own := aims(trial)) is not None]
    ordered = sorted(judged, key=lambda pair: (pair[0], pair[1].number))
    return [{**_row(search, trial), "cost": figure(own[2], 0)} for own, trial in ordered]


def _row(search: Search, trial: Trial) -> Json:
    kind = drawing.kind(trial)
    return {
        "number": trial.number,
        "seed": trial.seed,
        "final": trial.stage == "final",
        "winner": trial.number == search.winner,
        "kind": kind,
        "status": "rolled back" if kind == "failed" and trial.status != "failed" else trial.status,
        "score": figure(trial.score),
        "memorisation": figure(trial.memorisation, 3),
        "seconds": figure(trial.seconds, 0),
        "steps": f"{trial.steps:,}",
        "rollbacks": trial.rollbacks,
        "changes": search.changes(trial.params),
        "error": charts.shorten(trial.error, _LONGEST_ERROR),
    }


def _facts(record: Record) -> list[tuple[str, str]]:
    """Return what else is known of the search, as terms and their descriptions."""
    tune = record.base.get("tune")
    known = tune if isinstance(tune, Mapping) else {}
    facts = [("Status", record.status), ("Command", record.command), ("Data", _flat(record.shape))]
    for term, name in (
        ("One trial", "trial_budget"),
        ("Clock of a trial", "clock"),
        ("Scheduler", "scheduler"),
        ("Confidence of bounds", "confidence"),
        ("Failures that a winner may have", "max_failures"),
    ):
        if name in known:
            facts.append((term, spell(known[name])))
    return [(term, words) for term, words in facts if words]


def _flat(values: Mapping[str, Any]) -> str:
    """Write nested plain values in one line."""
    told = []
    for key, value in values.items():
        if isinstance(value, Mapping):
            told.append(f"{key} ({_flat(value)})")
        else:
            told.append(f"{key} {value:,}" if type(value) is int else f"{key} {spell(value)}")
    return ", ".join(told)
