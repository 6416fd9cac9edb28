"""A search of 40 trials beside the default: better and steadier? And does pruning find as much for less?

    python -m benchmarks tuning --dataset default --dataset lending_club

For each table two searches of equal trials, one with ASHA and one without pruning, on the inner part of
the training rows; then ten fresh seeds each of the default and of the setting that the pruned search
found, of the same 60 CPU-seconds: detection is from the rows that they trained on, as everywhere, and
usefulness is measured on the part that neither search nor training has seen.
The searches go on from their folders, the seeds from the results file.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import parser, seeds
from benchmarks.datasets import load_inner
from benchmarks.jobs import Job, run_missing
from benchmarks.markdown import grid, mean_spread
from benchmarks.measures import generated_figures
from benchmarks.results import FOLDER, Results, Row
from benchmarks.runs import Meter, settings, train_alone
from fingan.cluster.runs import runs_root
from fingan.cluster.tuning import tune
from fingan.cluster.tuning.ledger import SearchFolder
from fingan.errors import NotFound, TrainingDiverged
from fingan.search import Params, Record, Trial

TABLES = ("default", "lending_club")
SCHEDULERS = ("asha", "none")
EARLIER = "asha_among_all"
"""Searches of builds before `Halving` compared with the newest trials; kept beside the others."""

LABELS = {
    "asha": "ASHA among the last nine",
    EARLIER: "ASHA among all trials",
    "none": "none",
}
MOST_COST = 0.4
MOST_OVERHEAD = 0.1
FIRST_SEED = 1000
"""Seeds of the comparison; the searches use others."""


def search(dataset: str, scheduler: str, trials: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Search on the inner training rows; go on where an earlier one stopped."""
    part = load_inner(dataset)
    registry = folder / f"{dataset}-{scheduler}"
    sets = [f"tune.trials={trials}", f"tune.trial_budget={seconds:g}s", f"tune.scheduler={scheduler}"]
    # What is shipped was found here, on the same tables.
    sets.append("tune.shipped=false")
    config = settings(part.target, [*sets, "tune.winner=best_run"], compute__workers=1, compute__threads=1)
    try:
        SearchFolder.newest_unfinished(runs_root(registry), dataset.replace("_", "-"))
        resume = True
    except NotFound:
        resume = False
    started = time.monotonic()
    with Meter() as meter:
        tuned = tune(part.train, config, registry, dataset.replace("_", "-"), resume)
    return {
        "record": tuned.record.to_json(),
        "resumed": resume,
        "seconds": time.monotonic() - started,
        "tree_cpu_seconds": meter.cpu_seconds,
    }


def run_seed(dataset: str, seed: int, seconds: float, params: Params) -> dict[str, Any]:
    """Train a setting for that many CPU-seconds, and measure it."""
    part = load_inner(dataset)
    sets = [f"{key}={value}" for key, value in params.items()]
    budget = f"{seconds:g}s"
    config = settings(part.target, sets, compute__workers=0, training__time_budget=budget, seed=seed)
    try:
        generator, result = train_alone(part.train, config)
    except TrainingDiverged as error:
        return {"failed": True, "error": str(error)}
    figures, _ = generated_figures(part, generator, seed)
    failed = result.rollbacks > 0
    return {"failed": failed, "figures": figures, "score": result.score, "steps": result.steps}


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("tuning", __doc__)
    reader.add_argument("--dataset", action="append")
    reader.add_argument("--trials", type=int, default=40)
    reader.add_argument("--seconds", type=float, default=60, help="CPU-seconds of a trial")
    reader.add_argument("--seeds", type=int, default=10)
    reader.add_argument("--at-a-time", type=int, default=2)
    reader.add_argument("--searches", type=Path, default=FOLDER / "searches", help="folder of the searches")
    options = reader.parse_args(arguments)
    results = Results("tuning", options.results)
    names = options.dataset or TABLES
    for name in names:
        for scheduler in SCHEDULERS:
            key = {"dataset": name, "scheduler": scheduler, "trials": options.trials}
            key |= {"trial_seconds": options.seconds}
            if not results.has(**key):
                found = search(name, scheduler, options.trials, options.seconds, options.searches)
                results.add({**key, **found})
    jobs = []
    for name in names:
        winner = _winner([row for row in results.rows() if row["dataset"] == name])
        for seed in seeds(options.seeds):
            for setting, params in (("default", {}), ("tuned", winner)):
                run = {
                    "dataset": name,
                    "seed": FIRST_SEED + seed,
                    "seconds": options.seconds,
                    "params": params,
                }
                jobs.append(Job({**run, "setting": setting}, run_seed, run))
    run_missing(results, jobs, options.at_a_time)
    print(table(results.rows()))


def table(rows: list[Row]) -> str:
    """Return the seeds of both settings, and what pruning costs and finds, as Markdown."""
    names = list(dict.fromkeys(row["dataset"] for row in rows))
    seeded = [line for name in names for line in _settings([r for r in rows if r["dataset"] == name])]
    header = ["dataset", "setting", "seeds", "failed", "detection AUC, median", "worst", "TSTR share, median"]
    parts = [grid([*header, "bar"], seeded)] if seeded else []
    searched = [line for name in names for line in _searches([r for r in rows if r["dataset"] == name])]
    if not searched:
        return "\n\n".join(parts)
    header = ["dataset", "pruning", "trials ended early", "CPU s of trials", "best score", "reached at"]
    header += ["bar", "winner over seeds", "reached at", "bar", "overhead", "bar"]
    note = (
        "Reached at: the share of the unpruned search's cost after which the pruned one had a trial that "
        "scored as its best; and had tried a setting that over seeds is as good as its winner. "
        f"At most {MOST_COST:.0%}."
    )
    return "\n\n".join([*parts, grid(header, searched), note])


def _settings(rows: Sequence[Row]) -> list[list[str]]:
    winner = _winner(rows)
    found = {
        "default": [r for r in rows if r.get("setting") == "default"],
        "tuned": [r for r in rows if r.get("setting") == "tuned" and r["params"] == winner],
    }
    lines, worst, median = [], {}, {}
    for setting, own in found.items():
        if not own:
            continue
        aucs = [r["figures"]["detection_auc"] if "figures" in r else 1.0 for r in own]
        shares = [r["figures"]["tstr_share"] for r in own if "figures" in r]
        worst[setting], median[setting] = max(aucs), float(np.median(aucs))
        failed = sum(r["failed"] for r in own)
        figures = [f"{median[setting]:.3f}", f"{worst[setting]:.3f}", f"{np.median(shares):.1f}"]
        lines.append([own[0]["dataset"], setting, str(len(own)), str(failed), *figures, ""])
    if len(lines) == 2:
        better = median["tuned"] < median["default"] and worst["tuned"] < worst["default"]
        lines[1][-1] = "pass" if better else "miss"
    return lines


def _winner(rows: Sequence[Row]) -> Params | None:
    """Return what the pruned search of a table found, if there was one, this build's before an earlier's."""
    found = {row["scheduler"]: row["record"]["winner"] for row in rows if "scheduler" in row}
    winner: Params | None = found.get("asha", found.get(EARLIER))
    return winner


def _searches(rows: Sequence[Row]) -> list[list[str]]:
    found = {r["scheduler"]: r for r in rows if "scheduler" in r}
    lines = []
    for scheduler, row in found.items():
        record = Record.of_json(row["record"])
        tried = _searched(record)
        best = min(t.score for t in tried if t.score is not None)
        spent = sum(t.seconds for t in record.trials)
        overhead = 1.0 - spent / row["tree_cpu_seconds"] if not row["resumed"] else None
        reached = ["", "", "", ""]
        if scheduler != "none" and "none" in found:
            whole = Record.of_json(found["none"]["record"])
            reached = [*_share(_as_good_once(record, whole)), *_share(_as_good_over_seeds(record, whole))]
        lines.append(
            [
                row["dataset"],
                LABELS[scheduler],
                f"{sum(t.status == 'pruned' for t in tried)} of {len(tried)}",
                f"{sum(t.seconds for t in tried):,.0f}",
                f"{best:.4f}",
                *reached[:2],
                mean_spread(record.finalists[0]["scores"], 3),
                *reached[2:],
                "–" if overhead is None else f"{overhead:.1%}",
                "" if overhead is None else "pass" if overhead <= MOST_OVERHEAD else "miss",
            ]
        )
    return lines


def _share(share: float | None) -> tuple[str, str]:
    if share is None:
        return "never", "miss"
    return f"{share:.0%}", "pass" if share <= MOST_COST else "miss"


def _as_good_once(pruned: Record, whole: Record) -> float | None:
    """Return the share of the whole search's cost until a trial scored as its best; None for never."""
    aim = min(t.score for t in _searched(whole) if t.score is not None)
    return _cost(
        pruned, whole, [t.number for t in _searched(pruned) if t.score is not None and t.score <= aim]
    )


def _as_good_over_seeds(pruned: Record, whole: Record) -> float | None:
    """Return the share until a setting was tried whose mean over as many seeds is as good as its winner's."""
    winner = whole.finalists[0]
    seeds = len(winner["scores"])
    as_good = [f for f in pruned.finalists if len(f["scores"]) >= seeds and f["mean"] <= winner["mean"]]
    return _cost(pruned, whole, [f["number"] for f in as_good])


def _cost(pruned: Record, whole: Record, numbers: Sequence[int]) -> float | None:
    """Return what the trials up to the first of some cost, as a share of the whole search's."""
    if not numbers:
        return None
    spent = sum(t.seconds for t in _searched(pruned) if t.number <= min(numbers))
    return spent / sum(t.seconds for t in _searched(whole))


def _searched(record: Record) -> list[Trial]:
    return [trial for trial in record.trials if trial.stage == "search"]
