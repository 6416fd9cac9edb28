"""The search page's charts as inline SVG, in the manner of `fingan.evaluation.charts`.

Colours come from the page's style, by class: what a trial came to, whether it repeats a finalist,
whether it has the winner's values. Every trial is one element that carries its number and tells of
it when pointed at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from fingan.evaluation.charts import shorten, svg, text
from fingan.search.front import aims, front
from fingan.search.record import Trial
from fingan.search.scales import Axis, Scale, finite, spell

_MOST_POINTS = 150  # of a curve; more are not told apart on any screen
_EXCESS_AT_TOP = 0.1  # memorisation beyond one half that gets the largest dot
_MANY = 80  # trials; more are drawn fainter, or they hide each other
_PIXELS = 1.3  # a unit of the charts with two numeric axes, on a wide screen
_NONE = "none"

Point = tuple[float, float]


def kind(trial: Trial) -> str:
    """Return what a trial came to: `finished`, `pruned`, `failed`, or `open` where it has not ended.

    A trial that had to be rolled back counts as failed, as it does in the ranking.
    """
    if trial.failed:
        return "failed"
    return trial.status if trial.status in ("finished", "pruned") else "open"


def about(trial: Trial) -> str:
    """Say in a line what a trial is and what came of it."""
    name = f"trial {trial.number}" + (f", seed {trial.seed}" if trial.stage == "final" else "")
    score = finite(trial.score)
    told = "no score" if score is None else f"score {score:.4f}"
    return f"{name}: {trial.status}, {told} after {trial.seconds:.0f} s"


def _line(trial: Trial, points: Sequence[Point], classes: str) -> str:
    # A line of one point is drawn as a dot only if the point is there twice.
    lone = len(points) == 1
    twice = [*points, *points] if lone else points
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in twice)
    return (
        f'<polyline class="{classes}{" lone" if lone else ""}" data-trial="{trial.number}" points="{path}">'
        f"<title>{escape(about(trial))}</title></polyline>"
    )


def parallel(trials: Sequence[Trial], axes: Sequence[Axis], winner: int | None) -> Markup:
    """Draw every trial as a line over one axis a key, and the score; low scores are at the bottom.

    Args:
        trials: of the search, not the repetitions; trial 0 has the base setting.
        axes: from left to right.
        winner: number of the trial with the winning values.
    """
    width, top, bottom, left, right = 1072.0, 62.0, 340.0, 18.0, 52.0
    step = (width - left - right) / max(len(axes), 1)
    places = [left + i * step for i in range(len(axes) + 1)]
    scores = {id(trial): finite(trial.score) for trial in trials}
    scale = Scale.of(scores.values())
    scored_top = top + 34 if None in scores.values() else top

    def point(x: float, share: float) -> Point:
        return x, bottom - share * (bottom - top)

    parts = []
    for trial in sorted(trials, key=lambda t: _depth(t, winner)):
        points = [
            point(x, axis.at(trial.params.get(axis.key))) for x, axis in zip(places, axes, strict=False)
        ]
        score = scores[id(trial)]
        y = top if score is None else bottom - scale.at(score) * (bottom - scored_top)
        parts.append(_line(trial, [*points, (places[-1], y)], _classes(trial, winner)))
    for x, axis in zip(places, axes, strict=False):
        labels = [(point(x, at)[1], label) for at, label in axis.labels()]
        parts += _upright(x, (top, bottom), axis.key, labels)
    score_axis = Axis("score", scale)
    labels = [(bottom - at * (bottom - scored_top), label) for at, label in score_axis.labels()]
    labels += [(top, _NONE)] if scored_top > top else []
    parts += _upright(places[-1], (scored_top, bottom), "score (log)" if scale.log else "score", labels)
    title = f"{len(trials)} trials as lines over {len(axes)} keys and the score; a table below says the same"
    return svg(width, bottom + 14, title, parts, f"parallel{_crowd(trials)}", 1.0)


def _crowd(trials: Sequence[Trial]) -> str:
    return " many" if len(trials) > _MANY else ""


def _depth(trial: Trial, winner: int | None) -> tuple[bool, bool, int]:
    """Order what is drawn: the winner on top, below it the base, below it what finished."""
    order = ("open", "pruned", "failed", "finished")
    return trial.number == winner, trial.number == 0, order.index(kind(trial))


def _classes(trial: Trial, winner: int | None) -> str:
    marks = (" winner" if trial.number == winner else "") + (" base" if trial.number == 0 else "")
    return f"trial {kind(trial)}{' final' if trial.stage == 'final' else ''}{marks}"


def _heading(key: str) -> tuple[str, list[str]]:
    """Break a key into lines that fit above its axis: the section, and the name at its underscores."""
    section, _, name = key.rpartition(".")
    lines: list[str] = []
    line = ""
    for piece in name.split("_"):
        joined = f"{line}_{piece}" if line else piece
        if line and len(joined) > 13:
            lines.append(line)
            line = f"_{piece}"
        else:
            line = joined
    return shorten(section, 14), [shorten(part, 14) for part in [*lines, line][:2]]


def _upright(x: float, ends: tuple[float, float], key: str, labels: Sequence[tuple[float, str]]) -> list[str]:
    top, bottom = ends
    section, lines = _heading(key)
    parts = [f'<path class="axis" d="M{x:.1f} {top:g}V{bottom:g}"/>']
    for i, line in enumerate([section, *lines]):
        if not line:
            continue
        y = 50 - 13 * (len(lines) - i)
        parts.append(text(x - 8, y, line, "label head name" if i else "label head", key))
    return parts + [text(x + 5, y + 4, shorten(label, 13), "label over", label) for y, label in labels]


def curves(trials: Sequence[Trial], winner: int | None) -> Markup:
    """Draw the best score so far against the seconds of training, one line a trial.

    Args:
        trials: all; the finalists' repetitions are drawn on top.
        winner: number of the trial with the winning values.
    """
    known = [(trial, points) for trial in trials if (points := _points(trial))]
    seen = [point for _, points in known for point in points]
    frame = _Frame(Scale.of((x for x, _ in seen)), Scale.of((y for _, y in seen)))
    parts = frame.parts("seconds of training", "best score so far")
    for trial, points in sorted(known, key=lambda pair: (pair[0].stage == "final", _depth(pair[0], winner))):
        parts.append(_line(trial, [frame.at(*point) for point in points], _classes(trial, winner)))
    title = f"Best score so far against seconds of training, {len(known)} trainings"
    return svg(frame.width, frame.height, title, parts, f"curves{_crowd(trials)}", _PIXELS)


def _points(trial: Trial) -> list[Point]:
    known = [(x, y) for x, y in trial.curve if finite(x) is not None and finite(y) is not None]
    every = max(1, -(-len(known) // _MOST_POINTS))
    # Counted from the end, which is the score that the trial is known by.
    return known[::-1][::every][::-1]


def measured(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials with a score and a memorisation that are numbers; only these can be compared."""
    return [t for t in trials if finite(t.score) is not None and finite(t.memorisation) is not None]


def tradeoff(trials: Sequence[Trial], winner: int | None) -> Markup:
    """Draw scores against the seconds until they were reached; the larger the dot, the more memorised.

    Args:
        trials: all; those that failed or were not measured have no dot.
        winner: number of the trial with the winning values.
    """
    judged = [(trial, own) for trial in measured(trials) if (own := aims(trial)) is not None]
    best = {id(trial) for trial in front([trial for trial, _ in judged])}
    frame = _Frame(Scale.of(own[2] for _, own in judged), Scale.of(own[0] for _, own in judged))
    parts = frame.parts("seconds until the best score", "best score")
    names = []
    for trial, (score, excess, cost) in sorted(judged, key=lambda pair: id(pair[0]) in best):
        x, y = frame.at(cost, score)
        radius = 3.5 + 9 * min(excess / _EXCESS_AT_TOP, 1.0)
        classes = f"{_classes(trial, winner)}{' best' if id(trial) in best else ''}"
        told = f"{about(trial)}, memorisation {trial.memorisation:.3f}"
        parts.append(
            f'<circle class="{classes}" data-trial="{trial.number}" cx="{x:.1f}" cy="{y:.1f}" '
            f'r="{radius:.1f}"><title>{escape(told)}</title></circle>'
        )
        if id(trial) in best:
            names.append(text(x + radius + 3, y + 4, str(trial.number), "label over name"))
    title = f"Score against cost of {len(judged)} trainings, {len(best)} of them on the front"
    return svg(frame.width, frame.height, title, parts + names, "tradeoff", _PIXELS)


@dataclass(frozen=True)
class _Frame:
    """A chart of two numeric axes."""

    across: Scale
    up: Scale
    width: float = 660.0
    height: float = 320.0

    def at(self, x: float, y: float) -> Point:
        left, right, top, bottom = self._edges()
        return (
            left + self.across.padded().at(x) * (right - left),
            bottom - self.up.padded().at(y) * (bottom - top),
        )

    def parts(self, across: str, up: str) -> list[str]:
        """Return the grid, its numbers and both axes' names."""
        left, right, _, bottom = self._edges()
        parts = []
        for tick in self.up.padded().ticks():
            y = self.at(self.across.low, tick)[1]
            parts.append(f'<path class="grid" d="M{left:g} {y:.1f}H{right:g}"/>')
            parts.append(text(left - 8, y + 4, spell(tick), "label end"))
        for tick in self.across.padded().ticks(8):
            x = self.at(tick, self.up.low)[0]
            parts.append(f'<path class="grid" d="M{x:.1f} {bottom:g}v5"/>')
            parts.append(text(x, bottom + 20, spell(tick), "label middle"))
        parts.append(f'<path class="axis" d="M{left:g} {bottom:g}H{right:g}"/>')
        logs = [" (log)" if scale.log else "" for scale in (self.across, self.up)]
        parts.append(text(right, bottom + 40, across + logs[0], "label end"))
        return [*parts, text(0, 14, up + logs[1], "label")]

    def _edges(self) -> tuple[float, float, float, float]:
        return 60.0, self.width - 24, 26.0, self.height - 46


def strip(scores: Sequence[float], mean: float | None, bound: float | None, scale: Scale) -> Markup:
    """Draw a finalist's seeds as dots, a line from their mean to the bound, and the bound as a tick.

    Args:
        scores: of the seeds that did not fail.
        mean: of the scores.
        bound: that a new seed keeps; as the mean None where every seed failed.
        scale: the same for all finalists.
    """
    width, middle = 150.0, 10.0

    def at(value: float) -> float:
        return 5 + scale.at(value) * (width - 10)

    parts = [f'<path class="rail" d="M5 {middle:g}H{width - 5:g}"/>']
    if mean is not None and bound is not None:
        parts.append(f'<path class="interval" d="M{at(mean):.2f} {middle:g}H{at(bound):.2f}"/>')
        parts.append(f'<path class="reference" d="M{at(bound):.2f} 3V17"/>')
    for score in scores:
        parts.append(f'<circle class="dot" cx="{at(score):.2f}" cy="{middle:g}" r="3"/>')
    told = ", ".join(f"{score:.4f}" for score in scores)
    return svg(width, 20, f"Scores of the seeds: {told}" if told else "No seed has a score", parts, "whisker")
