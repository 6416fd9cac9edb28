"""The report's charts as inline SVG: no script, no font, no image; colours come from the page's style.

Real data are wide pale bars, synthetic data narrow dark ones inside them, so
that equal bars show as equal without relying on colour. Every chart has a title
that a screen reader speaks; names are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from fingan.evaluation.catalogue import CATALOGUE
from fingan.evaluation.metric import Metric
from fingan.types import Json

_WIDTH, _HEIGHT = 240.0, 96.0
_LABEL = 22
_SCALE = {"chart": 1.25, "whisker": 1.4, "heatmap": 1.1, "bars": 1.2}  # widest, in pixels per unit
_HEATMAP_COLUMNS = 40


def shorten(text: str, length: int = _LABEL) -> str:
    """Cut a long label in the middle; its two ends tell columns apart best."""
    if len(text) <= length:
        return text
    head = (length - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def svg(
    width: float, height: float, title: str, parts: Iterable[str], kind: str, scale: float | None = None
) -> Markup:
    """Put a chart together.

    Args:
        width, height: of what is drawn, in the parts' units; on the page it shrinks to the room there is.
        title: what a screen reader speaks; escaped here.
        parts: elements, with every foreign text in them escaped.
        kind: the chart's class in the page's style.
        scale: widest, in pixels per unit; None for what this kind has here.
    """
    label = escape(title)
    widest = width * (_SCALE[kind] if scale is None else scale)
    return Markup(  # every part below is either a number of ours or escaped
        f'<svg class="{kind}" style="max-width:{widest:.0f}px" '
        f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}">' + "".join(parts) + "</svg>"
    )


def rect(x: float, y: float, width: float, height: float, kind: str) -> str:
    """Draw a box from its upper left corner; negative sizes count as 0."""
    size = f'width="{max(width, 0):.2f}" height="{max(height, 0):.2f}"'
    return f'<rect class="{kind}" x="{x:.2f}" y="{y:.2f}" {size}/>'


def text(x: float, y: float, words: str, kind: str, full: str | None = None) -> str:
    """Write words, escaped; `full` is shown on pointing at them where they were shortened."""
    title = "" if full is None or full == words else f"<title>{escape(full)}</title>"
    return f'<text class="{kind}" x="{x:.2f}" y="{y:.2f}">{escape(words)}{title}</text>'


def distribution(column: Json) -> Markup:
    """Draw one column's real and synthetic distribution from its summary."""
    title = f"{column['name']}: distribution of real and synthetic values, distance {column['error']:.1f} %"
    if not column["real"]:
        return svg(_WIDTH, 20, title, [text(0, 14, "no values", "label")], "chart")
    if column["chart"] == "levels":
        return _levels(column, title)
    return _histogram(column, title)


def _histogram(column: Json, title: str) -> Markup:
    """Vertical bars; for a histogram only both ends and the middle are labelled."""
    real, synthetic, labels = column["real"], column["synthetic"], column["labels"]
    top = max(*real, *synthetic, 1e-12)
    step = _WIDTH / max(len(real), 4)
    offset = (_WIDTH - step * len(real)) / 2
    gap = 0.0 if column["chart"] == "histogram" else 0.14 * step
    parts = []
    for i, (r, s) in enumerate(zip(real, synthetic, strict=True)):
        x = offset + i * step
        parts.append(rect(x + gap / 2, _HEIGHT - r / top * _HEIGHT, step - gap, r / top * _HEIGHT, "real"))
        inner = 0.36 * step
        height = s / top * _HEIGHT
        parts.append(rect(x + (step - inner) / 2, _HEIGHT - height, inner, height, "synthetic"))
    parts.append(f'<path class="axis" d="M0 {_HEIGHT:g}H{_WIDTH:g}"/>')
    parts += _ticks(column["chart"], labels, offset, step)
    return svg(_WIDTH, _HEIGHT + 18, title, parts, "chart")


def _ticks(chart: str, labels: Sequence[str], offset: float, step: float) -> list[str]:
    y = _HEIGHT + 13
    if chart == "histogram":
        places = ((0.0, "label"), (_WIDTH / 2, "label middle"), (_WIDTH, "label end"))
        return [text(x, y, shown, kind) for (x, kind), shown in zip(places, labels, strict=True)]
    # As many labels as fit side by side, at about 6 units a character.
    room = max(len(label) for label in labels) * 6 + 6
    every = max(1, -(-int(room) // max(int(step), 1)))
    shown = range(0, len(labels), every)
    return [
        text(offset + (i + 0.5) * step, y, shorten(labels[i], 12), "label middle", labels[i]) for i in shown
    ]


def _levels(column: Json, title: str) -> Markup:
    """Horizontal bars, one per category, each under its own label's right side."""
    real, synthetic, labels = column["real"], column["synthetic"], column["labels"]
    top = max(*real, *synthetic, 1e-12)
    row, left = 15.0, 104.0
    span = _WIDTH - left
    parts = []
    for i, (r, s, label) in enumerate(zip(real, synthetic, labels, strict=True)):
        y = i * row
        parts.append(text(left - 6, y + 10.5, shorten(label, 16), "label end", label))
        parts.append(rect(left, y + 1.5, r / top * span, row - 3, "real"))
        parts.append(rect(left, y + row / 2 - 2, s / top * span, 4, "synthetic"))
    parts.append(f'<path class="axis" d="M{left:g} 0V{row * len(real):g}"/>')
    return svg(_WIDTH, row * len(real), title, parts, "chart")


def whisker(metric: Metric) -> Markup:
    """Draw value (dot), interval (line) and reference (tick) on the metric's own axis."""
    low, high = CATALOGUE[metric.name].domain
    seen = [metric.value, *([] if metric.reference is None else [metric.reference])]
    low, high = min(low, *seen), max(high, *seen)
    width, middle = 150.0, 10.0

    def at(value: float) -> float:
        return 5 + (min(max(value, low), high) - low) / (high - low) * (width - 10)

    parts = [f'<path class="rail" d="M5 {middle:g}H{width - 5:g}"/>']
    if metric.interval is not None:
        left, right = at(metric.interval[0]), at(metric.interval[1])
        parts.append(f'<path class="interval" d="M{left:.2f} {middle:g}H{max(right, left + 0.5):.2f}"/>')
    if metric.reference is not None:
        parts.append(f'<path class="reference" d="M{at(metric.reference):.2f} 3V17"/>')
    parts.append(f'<circle class="dot" cx="{at(metric.value):.2f}" cy="{middle:g}" r="4"/>')
    title = f"{CATALOGUE[metric.name].title}: {metric.value:.4g} on an axis from {low:.3g} to {high:.3g}"
    return svg(width, 20, title, parts, "whisker")


def heatmap(pairs: Json) -> Markup:
    """Draw the pair errors as a lower triangle, darker is worse; at most the 40 worst columns."""
    names, errors = pairs["names"], pairs["errors"]
    order = sorted(range(len(names)), key=lambda i: -sum(errors[i]))[:_HEATMAP_COLUMNS]
    shown = sorted(order)
    top = heat_top(pairs)
    cell, left = 20.0, 150.0
    parts = []
    for row, i in enumerate(shown):
        y = row * cell
        parts.append(text(left - 8, y + 14, shorten(names[i]), "label end", names[i]))
        for column, j in enumerate(shown[:row]):
            share = min(errors[i][j] / top, 1.0)
            label = f"{names[i]} × {names[j]}: {errors[i][j]:.1f} %"
            parts.append(
                f'<rect class="heat" x="{left + column * cell:g}" y="{y:g}" width="{cell - 1:g}" '
                f'height="{cell - 1:g}" style="--heat:{100 * share:.0f}%">'
                f"<title>{escape(label)}</title></rect>"
            )
        x = left + row * cell + 4
        parts.append(text(x, y + 14, str(row + 1), "label index"))
    size = cell * len(shown)
    title = (
        f"Errors of all pairs of {len(shown)} columns; the table of the worst pairs says the same in words"
    )
    return svg(left + size + 12, size, title, parts, "heatmap")


def heat_top(pairs: Json) -> float:
    """Return the error in per cent that gets the darkest colour: the worst, but at least 5."""
    return max(5.0, *(float(value) for row in pairs["errors"] for value in row))


def bars(items: Sequence[tuple[str, float]], title: str, percent: bool = True, low: float = 0.0) -> Markup:
    """Draw labelled horizontal bars, values beside them."""
    row, left, width = 22.0, 170.0, 460.0
    top = max([value for _, value in items], default=1.0)
    parts = []
    for i, (name, value) in enumerate(items):
        y = i * row
        length = max(value - low, 0.0) / max(top - low, 1e-12) * (width - left - 60)
        parts.append(text(left - 8, y + 15, shorten(name, 26), "label end", name))
        parts.append(rect(left, y + 4, max(length, 1.0), row - 8, "synthetic"))
        shown = f"{100 * value:.0f} %" if percent else f"{value:.3f}"
        parts.append(text(left + length + 6, y + 15, shown, "label"))
    return svg(width, row * len(items), title, parts, "bars")
