"""Quality after 1, 2, 5 and 10 minutes on two cores, each a run of its own with that budget.

    python -m benchmarks curve --dataset adult --dataset default

Writes a chart of quality against CPU-seconds to docs/quality.png, published models as lines. A
budget that the quality benchmark has run already is taken from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.command import parser
from benchmarks.datasets import DATASETS
from benchmarks.markdown import grid, grouped, median_range
from benchmarks.measures import PROTOCOL
from benchmarks.published import PUBLISHED
from benchmarks.quality import CANDIDATES, run_one
from benchmarks.results import FOLDER, Results, Row, kind_among

CHART = Path(__file__).resolve().parents[1] / "docs" / "quality.png"
MINUTES = (1, 2, 5, 10)
TABLES = ("adult", "default")
SHOWN = {"shape_error": 2, "trend_error": 2, "detection_auc": 3, "tstr_share": 1}
DRAWN = {"detection_auc": "detection AUC", "trend_error_own_bins": "Trend error %, own bins"}


def main(arguments: list[str]) -> None:
    """Run what is missing, and draw the chart."""
    reader = parser("curve", __doc__)
    reader.add_argument("--dataset", action="append", choices=sorted(DATASETS))
    reader.add_argument("--seed", action="append", type=int)
    reader.add_argument("--minutes", action="append", type=float)
    reader.add_argument("--workers", type=int, default=1)
    reader.add_argument("--chart", type=Path, default=CHART)
    options = reader.parse_args(arguments)
    results, quality = Results("curve", options.results), Results("quality", options.results)
    for minutes in options.minutes or MINUTES:
        for name in options.dataset or TABLES:
            for seed in options.seed or [0]:
                key: Row = {"dataset": name, "model": "fingan", "seed": seed, "seconds": 60.0 * minutes}
                key |= {"workers": options.workers, "set": [], "protocol": PROTOCOL}
                if all(
                    results.has(**key, candidates=n) or quality.has(**key, candidates=n) for n in CANDIDATES
                ):
                    continue
                for candidates, found in run_one(name, seed, 60.0 * minutes, options.workers, []).items():
                    results.add({**key, "candidates": candidates, **found})
    points = _points(results.rows(), quality.rows())
    if points:
        draw(points, options.chart)
    print(_table(points))


def _points(rows: Sequence[Row], quality: Sequence[Row]) -> list[Row]:
    """Return the runs of the default configuration of both benchmarks, shortest first."""
    runs = [*rows, *[r for r in quality if r["model"] == "fingan" and r["dataset"] in TABLES]]
    usable = [row for row in runs if not row.get("set") and row.get("protocol") == PROTOCOL]
    return sorted(usable, key=lambda row: (row["dataset"], row["candidates"], row["seconds"], row["seed"]))


def table(rows: list[Row]) -> str:
    """Return the results, with what the quality benchmark adds, as a Markdown table."""
    return _table(_points(rows, Results("quality", FOLDER).rows()))


def _table(points: Sequence[Row]) -> str:
    lines, kind = [], kind_among(points)
    several = len({row["workers"] for row in points}) > 1

    def how(row: Row) -> str:
        """Return the budget, and of workers and processors what is not the same in all runs."""
        workers = f"{row['workers']} worker{'s' * (row['workers'] > 1)}" if several else ""
        return ", ".join([f"{row['seconds'] / 60:g}", *filter(None, (workers, kind(row)))])

    groups = grouped(points, lambda r: (r["dataset"], r["candidates"], how(r)))
    for (name, candidates, minutes), own in groups.items():
        cpu = median_range([row["cpu_seconds"] for row in own], 0)
        cells = [
            median_range([row["metrics"][f]["value"] for row in own if f in row["metrics"]], digits)
            for f, digits in SHOWN.items()
        ]
        lines.append([name, str(candidates), minutes, str(len(own)), cpu, *cells])
    return grid(["dataset", "candidates", "minutes", "seeds", "CPU s", *SHOWN], lines)


def draw(points: Sequence[Row], path: Path) -> None:
    """Draw each figure against CPU-seconds, one panel per table, published models as dashed lines."""
    from matplotlib.figure import Figure

    names = sorted({row["dataset"] for row in points})
    figure = Figure(figsize=(5.2 * len(names), 3.4 * len(DRAWN)), layout="constrained")
    axes = figure.subplots(len(DRAWN), len(names), squeeze=False)
    for line, (metric, label) in zip(axes, DRAWN.items(), strict=True):
        for axis, name in zip(line, names, strict=True):
            _panel(axis, [row for row in points if row["dataset"] == name], name, metric)
            axis.set_ylabel(label)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _panel(axis: Any, own: Sequence[Row], name: str, metric: str) -> None:
    from matplotlib.ticker import LogLocator

    rows = [row for row in own if metric in row["metrics"]]
    for candidates, members in grouped(rows, lambda row: row["candidates"]).items():
        axis.plot(
            [row["cpu_seconds"] for row in members],
            [row["metrics"][metric]["value"] for row in members],
            "o",
            color="tab:blue",
            fillstyle="full" if candidates > 1 else "none",
            label=f"fingan, 1 of {candidates} candidates"
            if candidates > 1
            else "fingan, all candidates kept",
        )
    reference = rows[-1]["metrics"][metric]["reference"] if rows else None
    if reference is not None:
        axis.axhline(reference, color="black", linewidth=1, label="real against real")
    for number, quoted in enumerate(PUBLISHED.get(name, ())):
        label = f"{quoted.model} ({quoted.seconds:,.0f} s of a GPU)"
        axis.axhline(getattr(quoted, metric), color=f"C{number + 1}", linestyle="--", label=label)
    axis.set_xscale("log")
    logarithmic = [axis.xaxis]
    if metric != "detection_auc":
        axis.set_yscale("log")
        logarithmic.append(axis.yaxis)
    for scale in logarithmic:
        scale.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        scale.set_major_formatter("{x:g}")
        scale.set_minor_formatter("")
    axis.set_xlabel("CPU-seconds of training, start of Ray included")
    axis.set_title(name)
    if metric == next(iter(DRAWN)):
        axis.legend(fontsize=7)
