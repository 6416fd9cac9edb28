"""Twenty seeds each of the default, of WGAN-GP and of the textbook pair: how often do they fail?

    python -m benchmarks stability --seeds 20 --seconds 60 --at-a-time 2

One thread a run, on the inner part of the training rows. A run has

- *diverged* when training gave up, or had to be rolled back even once;
- *collapsed* when a boosted-tree classifier is right about every row (AUC > .999) and the rows have lost
  their variety: some column has less than half the entropy of the real one, or there are fewer than half
  as many distinct rows (numbers cut at 20 quantiles). Entropy alone would not do: calibration repairs the
  marginals of a collapsed generator. Nor would the AUC: it also nears 1 when one column is subtly wrong.
  Both are looked at on the network's own rows: refinement would choose the best of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.ablation import WASSERSTEIN
from benchmarks.command import parser, seeds
from benchmarks.datasets import load_inner
from benchmarks.jobs import Job, run_missing
from benchmarks.markdown import grid, grouped
from benchmarks.measures import diversity, generated_figures
from benchmarks.results import Results, Row, kind_of
from benchmarks.runs import settings, train_alone
from fingan.errors import TrainingDiverged

TABLES = ("adult", "default")
FAMILIES: dict[str, tuple[str, ...]] = {
    "default": (),
    "wasserstein_gp": (*WASSERSTEIN, "sampling.candidates=1"),
    "minimax + dense": (
        "objective.name=minimax",
        "objective.penalty=none",
        "objective.marginals=0",
        "training.generator_pace=1",
        "network.generator=dense",
        "network.discriminator=dense",
        "sampling.candidates=1",
    ),
}
CERTAIN = 0.999
LOST = 0.5
SEEDS = 20
MOST_SPREAD = 0.02
"""The bar: over so many seeds the default's detection AUC has no larger standard deviation than this."""


def collapsed(figures: dict[str, float], variety: dict[str, float]) -> bool:
    """Whether rows of these figures and this variety are a collapse, as the module says."""
    return figures["network_detection_auc"] > CERTAIN and min(variety.values()) < LOST


def run_one(dataset: str, seed: int, seconds: float, sets: list[str]) -> dict[str, Any]:
    """Train for that many CPU-seconds, and say how it went."""
    part = load_inner(dataset)
    budget = f"{seconds:g}s"
    config = settings(part.target, sets, compute__workers=0, training__time_budget=budget, seed=seed)
    try:
        generator, result = train_alone(part.train, config)
    except TrainingDiverged as error:
        return {"gave_up": str(error), "diverged": True, "collapsed": False}
    figures, rows = generated_figures(part, generator, seed, utility=False)
    variety = diversity(part, rows)
    return {
        "diverged": result.rollbacks > 0,
        "collapsed": collapsed(figures, variety),
        "rollbacks": result.rollbacks,
        "steps": result.steps,
        "score": result.score,
        "figures": figures,
        "variety": variety,
    }


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("stability", __doc__)
    reader.add_argument("--dataset", action="append")
    reader.add_argument("--family", action="append", choices=sorted(FAMILIES))
    reader.add_argument("--seeds", type=int, default=SEEDS)
    reader.add_argument("--seconds", type=float, default=60, help="CPU-seconds of a run")
    reader.add_argument("--at-a-time", type=int, default=2)
    options = reader.parse_args(arguments)
    results = Results("stability", options.results)
    jobs = []
    for seed in seeds(options.seeds):
        for family in options.family or FAMILIES:
            for name in options.dataset or TABLES:
                run = {"dataset": name, "seed": seed, "seconds": options.seconds}
                run["sets"] = list(FAMILIES[family])
                jobs.append(Job({**run, "family": family}, run_one, run))
    run_missing(results, jobs, options.at_a_time, of_this_kind=True)
    print(table(results.rows()))


def table(rows: list[Row]) -> str:
    """Return shares and spreads as Markdown, and whether the default keeps its bar."""
    lines = []
    # In as many CPU-seconds, processors of several kinds take other numbers of steps.
    groups = grouped(rows, lambda r: (kind_of(r["machine"]), r["dataset"], r["family"], r["seconds"]))
    for (machine, name, family, seconds), own in sorted(groups.items()):
        ended = [row for row in own if "figures" in row]
        aucs = [row["figures"]["detection_auc"] for row in ended]
        lines.append(
            [
                machine,
                name,
                f"{family}, {seconds:g} CPU s",
                str(len(own)),
                *[f"{np.mean([row[what] for row in own]):.0%}" for what in ("diverged", "collapsed")],
                *_spread(aucs),
                _worst(own),
                *_spread([row["figures"]["network_detection_auc"] for row in ended]),
                *_spread([row["score"] for row in ended])[:2],
                _verdict(own, aucs) if family == "default" else "",
            ]
        )
    header = [
        "machine",
        "dataset",
        "model",
        "seeds",
        "diverged",
        "collapsed",
        "detection AUC",
        "standard deviation",
    ]
    return grid(
        [*header, "worst seed", "network's own", "its deviation", "validation score", "its deviation", "bar"],
        lines,
    )


def _spread(values: Sequence[float]) -> list[str]:
    """Return mean and standard deviation."""
    if not values:
        return ["–", "–"]
    deviation = f"{np.std(values, ddof=1):.4f}" if len(values) > 1 else "–"
    return [f"{np.mean(values):.3f}", deviation]


def _worst(own: Sequence[Row]) -> str:
    """Return the seed with the highest AUC; one that gave up is worse than any."""
    worst = max(own, key=lambda row: row["figures"]["detection_auc"] if "figures" in row else 2.0)
    auc = f"{worst['figures']['detection_auc']:.3f}" if "figures" in worst else "gave up"
    return f"{auc} (seed {worst['seed']})"


def _verdict(own: Sequence[Row], aucs: Sequence[float]) -> str:
    """Return whether no seed failed and the AUC hardly varies, over how many of the seeds if not all."""
    if any(row["diverged"] or row["collapsed"] for row in own):
        return "miss"
    if len(aucs) < 2:
        return "not measured"
    verdict = "pass" if np.std(aucs, ddof=1) <= MOST_SPREAD else "miss"
    return verdict if len(aucs) >= SEEDS else f"{verdict} so far ({len(aucs)} of {SEEDS} seeds)"
