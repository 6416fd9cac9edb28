"""The tables of the quality benchmark: figures beside published ones, bars, cost and guard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.markdown import grid, grouped, median_range
from benchmarks.measures import PROTOCOL
from benchmarks.published import BARS, PUBLISHED, REAL_AUC, Bar
from benchmarks.results import Row, kind_among, kind_of

SHOWN = {
    "shape_error": 2,
    "trend_error": 2,
    "trend_error_own_bins": 2,
    "strong_pair_trend_error": 2,
    "detection_auc": 3,
    "tstr_auc": 3,
    "tstr_share": 1,
}
"""Figures of the main table, with their digits."""

MORE = {
    "atom_error": 2,
    "detection_auc_coarse": 3,
    "detection_auc_logistic": 3,
    "detection_auc_forest": 3,
    "detection_auc_held": 3,
    "alpha_precision": 3,
    "beta_recall": 3,
    "membership_auc": 3,
    "validity": 2,
    "class_rate_error": 2,
}
"""Figures of the second table."""

GUARD = {"dcr_share": 0.53, "dcr_leak": 0.1}
"""Bounds of the memorisation guard; besides, exact copies must not exceed the hold-out's."""

UNMEASURED = " not measured"

SEEDS = 3
"""The bars are for medians over so many."""

Setting = tuple[str, float, int, tuple[str, ...], int]
Runs = tuple[Setting, str]
"""A setting, and the kind of processor where there are several: in as many seconds they take other steps."""


def table(rows: Sequence[Row]) -> str:
    """Return all tables as Markdown: figures, bars, more figures, cost and guard."""
    parts = []
    current = [row for row in rows if row.get("protocol") == PROTOCOL]
    for name, members in grouped(current, lambda row: str(row["dataset"])).items():
        parts += [f"### {name}", _figures(name, members, SHOWN)]
        runs = _runs(members)
        for (setting, kind), own in runs.items():
            if name in BARS and not setting[3]:
                bars = _bars(BARS[name], own, _halves(members, setting, kind))
                parts += [f"Bars, {_label(setting, kind)}:", bars]
        parts += ["More figures:", _figures(name, members, MORE)]
        if runs:
            parts += ["Cost and memorisation guard:", _cost(members)]
    return "\n\n".join(parts) or "Not measured yet."


def _setting(row: Row) -> Setting:
    sets = tuple(row.get("set", []))
    return row["dataset"], float(row["seconds"]), int(row["workers"]), sets, int(row["candidates"])


def _label(setting: Setting, kind: str) -> str:
    _, seconds, workers, sets, candidates = setting
    kept = f"1 of {candidates} kept" if candidates > 1 else "all rows kept"
    told = [f"{workers} worker{'s' * (workers > 1)}", kept, *sets, kind]
    return ", ".join(["fingan", f"{seconds:g} s", *filter(None, told)])


def _runs(members: Sequence[Row]) -> dict[Runs, list[Row]]:
    own = [row for row in members if row["model"] == "fingan"]
    kind = kind_among(own)
    return grouped(own, lambda row: (_setting(row), kind(row)))


def _halves(members: Sequence[Row], setting: Setting, kind: str) -> dict[int, Row]:
    """Return the half models of a setting by seed, of the same kind of processor where there are such."""
    found = [row for row in members if row["model"] == "half model" and _setting(row) == setting]
    found.sort(key=lambda row: kind_of(row["machine"]) == kind)
    return {row["seed"]: row for row in found}


def _values(rows: Sequence[Row], figure: str) -> list[float]:
    return [row["metrics"][figure]["value"] for row in rows if figure in row["metrics"]]


def _figures(name: str, members: Sequence[Row], shown: dict[str, int]) -> str:
    """Return our runs, the baseline, published models and real data side by side."""
    present = [figure for figure in shown if any(figure in row["metrics"] for row in members)]
    lines = []
    for (setting, kind), own in _runs(members).items():
        mark = _mark({what for row in own for what in breaches(row, _halves(members, setting, kind))})
        cells = [median_range(_values(own, figure), shown[figure]) for figure in present]
        lines.append([_label(setting, kind) + mark, str(len(own)), *cells])
    for row in members:
        if row["model"] == "permuted columns":
            cells = [median_range(_values([row], figure), shown[figure]) for figure in present]
            lines.append(["permuted columns", "1", *cells])
    if shown is SHOWN:
        lines += [_quoted(name, number, present) for number in range(len(PUBLISHED.get(name, ())))]
    lines.append(
        ["real against real", "", *[_reference(members, figure, shown[figure]) for figure in present]]
    )
    return grid(["model", "seeds", *present], lines)


def _quoted(name: str, number: int, present: Sequence[str]) -> list[str]:
    row = PUBLISHED[name][number]
    known = {
        "shape_error": f"{row.shape_error:g}",
        "trend_error_own_bins": f"{row.trend_error_own_bins:g}",
        "detection_auc": f"{row.detection_auc:.3f}",
        "tstr_auc": f"{row.tstr_auc:.3f}",
        "tstr_share": f"{100 * row.tstr_auc / REAL_AUC[name]:.1f}",
    }
    return [f"{row.model} (published)", "5", *[known.get(figure, "–") for figure in present]]


def _reference(members: Sequence[Row], figure: str, digits: int) -> str:
    found = [row["metrics"][figure]["reference"] for row in members if figure in row["metrics"]]
    known = [value for value in found if value is not None]
    return f"{np.median(known):.{digits}f}" if known else "–"


def breaches(row: Row, halves: dict[int, Row]) -> list[str]:
    """Return which parts of the memorisation guard a run breaks, and which were not measured.

    Args:
        row: of the run.
        halves: half models of the same setting by seed.
    """
    half = halves.get(row["seed"])
    found = {"dcr_share": {} if half is None else half["metrics"]["dcr_share"]}
    found |= {name: row["metrics"].get(name, {}) for name in ("dcr_leak", "exact_copies")}
    broken = []
    for name, metric in found.items():
        if not metric:
            broken.append(f"{name}{UNMEASURED}")
        elif metric["value"] > (bound := GUARD.get(name, metric["reference"])):
            low = (metric.get("interval") or [metric["value"]])[0]
            broken.append(name if low > bound else f"{name} (within its interval)")
    return broken


def _mark(found: set[str]) -> str:
    """Return what stands behind a model's name: broken parts of the guard first."""
    missing = {what for what in found if what.endswith(UNMEASURED)}
    broken = ", ".join(sorted(found - missing))
    parts = [f" **breaks the guard: {broken}**"] if broken else []
    parts += [f" (guard: {', '.join(sorted(missing))})"] if missing else []
    return "".join(parts)


def _bars(bars: Sequence[Bar], own: Sequence[Row], halves: dict[int, Row]) -> str:
    """Return each bar with the median over seeds and what it reaches."""
    lines = []
    for bar in bars:
        values = _bar_values(bar.figure, own, halves)
        verdict: str = bar.reached(float(np.median(values))) if values else "not measured"
        if 0 < len(values) < SEEDS:
            verdict += f" so far ({len(values)} of {SEEDS} seeds)"
        lines.append([bar.figure, median_range(values, 3), bar.bounds(), verdict])
    return grid(["figure", "median (range)", "must / aim", "reached"], lines)


def _bar_values(figure: str, own: Sequence[Row], halves: dict[int, Row]) -> list[float]:
    if figure == "dcr_share":
        return _values([halves[row["seed"]] for row in own if row["seed"] in halves], figure)
    if figure == "training_minutes":
        return [row["wall_seconds"] / 60 for row in own]
    if figure == "exact_copies_beyond_holdout":
        copies = [row["metrics"]["exact_copies"] for row in own if "exact_copies" in row["metrics"]]
        return [found["value"] - found["reference"] for found in copies]
    return _values(own, figure)


def _cost(members: Sequence[Row]) -> str:
    lines = []
    for (setting, kind), own in _runs(members).items():
        halves = _halves(members, setting, kind)
        for row in sorted(own, key=lambda row: row["seed"]):
            training, metrics = row["training"], row["metrics"]
            copies = metrics.get("exact_copies", {"value": float("nan"), "reference": float("nan")})
            share = _values([halves[row["seed"]]], "dcr_share") if row["seed"] in halves else []
            lines.append(
                [
                    _label(setting, kind),
                    str(row["seed"]),
                    f"{row['wall_seconds']:,.0f}",
                    f"{row['cpu_seconds']:,.0f}" if "cpu_seconds" in row else "–",
                    f"{training['steps']:,}",
                    f"{training['rows_per_second']:,.0f}",
                    f"{row['sampled_rows_per_second']:,.0f}",
                    median_range(share, 3),
                    median_range(_values([row], "dcr_leak"), 3),
                    f"{copies['value']:.2f} ({copies['reference']:.2f})",
                    ", ".join(breaches(row, halves)) or "holds",
                    kind_of(row["machine"]),
                ]
            )
    header = ["model", "seed", "seconds", "CPU s", "steps", "rows/s", "sampled rows/s"]
    return grid([*header, "DCR share", "DCR leak", "exact copies % (hold-out's)", "guard", "machine"], lines)
