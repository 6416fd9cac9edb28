"""The report as one self-contained HTML page, from its JSON-able content alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fingan.evaluation import charts
from fingan.evaluation.catalogue import CATALOGUE, Info, Verdict, verdict
from fingan.evaluation.metric import Interval, Metric
from fingan.types import Json

if TYPE_CHECKING:
    from fingan.evaluation.report import Report

COPIER_BELOW = 0.45
_COLUMNS = ("shape_error", "atom_error", "validity", "class_rate_error")
_PAIRS = ("trend_error", "strong_pair_trend_error", "trend_error_own_bins", "missing_pattern_error")
_SCORES = ("auc", "pr_auc", "f1", "brier", "calibration_slope", "r2", "rmse")
_QUESTIONS = (
    ("shape_error", "Does each column look right?"),
    ("trend_error", "Do the columns belong together?"),
    ("detection_auc", "Can a classifier tell?"),
    ("tstr_share", "Is it as useful?"),
    ("dcr_leak", "Does it copy?"),
)


@dataclass(frozen=True)
class Row:
    """A metric, ready to print."""

    metric: Metric
    info: Info
    verdict: Verdict
    value: str
    reference: str
    interval: str
    chart: Markup


def number(value: float, unit: str) -> str:
    """Print a figure without its unit: per cent with two decimals, others three, large ones none.

    Small ones without a unit have two digits, wherever they begin: the Brier score of a rare class is small.
    """
    if not unit and 0 < abs(value) < 0.01:
        return f"{value:.2g}".replace("-", "−")
    digits = 0 if abs(value) >= 1e4 else 2 if unit else 3
    return f"{value:,.{digits}f}".replace("-", "−")


def figure(value: float, unit: str) -> str:
    """Print a figure with its unit; a no-break space keeps the two together."""
    return f"{number(value, unit)}\u00a0{unit}" if unit else number(value, unit)


def row(metric: Metric) -> Row:
    """Prepare a metric."""
    info = CATALOGUE[metric.name]
    bounds = metric.interval
    return Row(
        metric=metric,
        info=info,
        verdict=verdict(metric),
        value=figure(metric.value, info.unit),
        reference="–" if metric.reference is None else figure(metric.reference, info.unit),
        interval="–" if bounds is None else _between(bounds, info.unit),
        chart=charts.whisker(metric),
    )


def _between(bounds: Interval, unit: str) -> str:
    return f"{number(bounds[0], unit)} … {figure(bounds[1], unit)}"


def render(report: Report, title: str) -> str:
    """Render the page."""
    environment = Environment(
        loader=PackageLoader("fingan.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(_context(report, title))


def _context(report: Report, title: str) -> Json:
    rows = {metric.name: row(metric) for metric in report.metrics}

    def pick(names: Iterable[str]) -> list[Row]:
        return [rows[name] for name in names if name in rows]

    def section(name: str) -> list[Row]:
        return pick(key for key, info in CATALOGUE.items() if info.section == name)

    columns = sorted(report.charts.get("columns", []), key=lambda c: -(c["error"] - c["floor"]))
    return {
        "title": title,
        "about": report.about,
        "cards": [(rows[name], question) for name, question in _QUESTIONS if name in rows],
        "summary": _sentence(list(rows.values())),
        "tables": {
            "columns": pick(_COLUMNS),
            "pairs": pick(_PAIRS),
            "detection": section("detection"),
            "manifold": section("manifold"),
            "memorisation": section("memorisation"),
        },
        "columns": [{**column, "svg": charts.distribution(column)} for column in columns],
        "pairs": _pairs(report),
        "tells": _tells(rows),
        "copier": "detection_auc" in rows and rows["detection_auc"].metric.value < COPIER_BELOW,
        "utility": _utility(rows),
        "kept": rows.get("tstr_share"),
        "attacks": _attacks(rows),
        "faults": rows["validity"].metric.details["faults"] if "validity" in rows else {},
        "classes": rows["class_rate_error"].metric.details["classes"] if "class_rate_error" in rows else {},
        "omitted": _omitted(report),
    }


def _sentence(rows: list[Row]) -> str:
    """Count the verdicts in one sentence."""
    counts = {level: sum(r.verdict.level == level for r in rows) for level in ("good", "fair", "poor")}
    worst = [r.info.title for r in rows if r.verdict.level == "poor"]
    text = (
        f"Of {len(rows)} figures {counts['good']} are good, {counts['fair']} fair and {counts['poor']} poor."
    )
    if worst:
        more = f" and {len(worst) - 6} more" if len(worst) > 6 else ""
        text += f" Poor: {'; '.join(worst[:6])}{more}."
    return text


def _pairs(report: Report) -> Json | None:
    pairs = report.charts.get("pairs")
    if pairs is None:
        return None
    return {"svg": charts.heatmap(pairs), "top": charts.heat_top(pairs), "worst": pairs["worst"]}


def _tells(rows: dict[str, Row]) -> Markup | None:
    tells = rows["detection_auc"].metric.details.get("tells") if "detection_auc" in rows else None
    if not tells:
        return None
    return charts.bars(list(tells.items()), "Columns by their share in telling synthetic rows from real ones")


def _attacks(rows: dict[str, Row]) -> Markup | None:
    if "membership_auc" not in rows:
        return None
    attacks = rows["membership_auc"].metric.details["attacks"]
    ranked = sorted(attacks.items(), key=lambda item: -item[1])
    return charts.bars(ranked, "AUC of each membership attack", percent=False)


def _utility(rows: dict[str, Row]) -> list[Json]:
    """Pair the two model families' rows by score."""
    table = []
    for score in _SCORES:
        pair = [rows.get(f"tstr_{score}"), rows.get(f"tstr_linear_{score}")]
        if any(pair):
            first = next(r for r in pair if r is not None)
            table.append(
                {"title": first.info.title.split(",")[0], "meaning": first.info.meaning, "pair": pair}
            )
    return table


def _omitted(report: Report) -> list[tuple[str, list[str]]]:
    """Group what was left out by its reason."""
    grouped: dict[str, list[str]] = {}
    for name, reason in report.omitted.items():
        title = CATALOGUE[name].title if name in CATALOGUE else name
        grouped.setdefault(reason, []).append(title)
    return list(grouped.items())
