"""What each part of the default buys: one factor at a time, 120 CPU-seconds a run on one thread.

    python -m benchmarks ablation --dataset adult --dataset default --at-a-time 2

Trains on an inner part of the training rows and measures on rows of the training part; the test
rows are not within reach. A factor that equals the default configuration is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import ttest_ind

from benchmarks.command import parser, seeds
from benchmarks.datasets import load_inner
from benchmarks.jobs import Job, run_missing
from benchmarks.markdown import grid, grouped, mean_spread
from benchmarks.measures import generated_figures, inner_floor
from benchmarks.parts import without
from benchmarks.results import Results, Row, kind_of
from benchmarks.runs import settings, train_alone

TABLES = ("adult", "default")
CHANCE = 0.05


@dataclass(frozen=True)
class Factor:
    """One deviation from the default.

    Attributes:
        part: what it is about; empty for the default itself.
        label: the deviation in words.
        sets: configuration overrides.
        parts: names of `parts.PARTS` that are left out.
    """

    part: str
    label: str
    sets: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


def _off(part: str, name: str) -> Factor:
    return Factor(part, f"{name} off", parts=(name,))


def _gamma(first: float, last: float) -> Factor:
    return Factor(
        "gamma", f"{first:g} → {last:g}", (f"objective.gamma={first}", f"objective.gamma_end={last}")
    )


DEFAULT = Factor("", "default")

WASSERSTEIN = (
    "objective.name=wasserstein_gp",
    "objective.gamma=10",
    "objective.gamma_end=10",
    "objective.discriminator_steps=5",
    "objective.penalty_every=1",
    "objective.marginals=0",
    "training.generator_pace=1",
)
"""WGAN-GP as in its paper: penalty weight 10 on every row, five discriminator steps."""

SMALL = (
    "network.width=128",
    "network.knots=8",
    "training.batch_size=256",
    "training.ema=0.995",
    "objective.gamma=0.8",
    "objective.gamma_end=0.08",
    "objective.marginals=0",
)
"""Near to what searches of 60 CPU-seconds a trial find; worth a longer run beside the default's."""

FORMER = ("network.width=384", "network.blocks=2", "network.knots=24")
"""The larger network that was the default before: worse, over two minutes as over ten."""

FACTORS = (
    DEFAULT,
    _off("encoding", "draws inside atoms"),
    _off("encoding", "equal columns"),
    _off("encoding", "copied numbers in training"),
    _off("encoding", "dependencies"),
    _off("encoding", "ties"),
    Factor("features", "no ramps and edges", ("network.knots=0",)),
    _off("features", "ramps"),
    _off("features", "atom edges"),
    _off("features", "pairs"),
    Factor("objective", "wasserstein_gp", WASSERSTEIN),
    Factor("objective", "minimax", ("objective.name=minimax",)),
    Factor("penalty", "exact", ("objective.penalty=exact",)),
    Factor("penalty", "none", ("objective.penalty=none",)),
    _off("penalty", "long steps between categories"),
    Factor("marginals", "not kept", ("objective.marginals=0",)),
    _gamma(0.1, 0.1),
    _gamma(0.5, 0.5),
    _gamma(1.0, 0.1),
    _gamma(0.5, 0.02),
    Factor("average", "none", ("training.ema=0",)),
    Factor("selection", "none: the last average", ("training.validations=1",)),
    _off("calibration", "calibration"),
    Factor("refinement", "none: all rows kept", ("sampling.candidates=1",)),
    Factor("refinement", "1 of 2 candidates", ("sampling.candidates=2",)),
    Factor("refinement", "1 of 8 candidates", ("sampling.candidates=8",)),
    _off("refinement", "raking"),
    _off("refinement", "raking of pairs"),
    _off("start", "initial shares"),
    _off("start", "mixing"),
    _off("penalty", "mixing and steps along the correlation"),
    Factor("conditioning", "none", ("conditioning.columns=none",)),
    Factor("conditioning", "half of the rows", ("conditioning.unconditional_share=0.5",)),
    Factor("precision", "fp32", ("compute.precision=fp32",)),
    Factor("features", "24 knots", ("network.knots=24",)),
    Factor("width", "128", ("network.width=128",)),
    Factor("width", "384", ("network.width=384",)),
    Factor("blocks", "2", ("network.blocks=2",)),
    Factor("batch", "256", ("training.batch_size=256",)),
    Factor("batch", "1024", ("training.batch_size=1024",)),
    Factor("size", "small network, small batch", SMALL),
    Factor("size", "384 units, two blocks, 24 knots", FORMER),
    Factor("rate", "5e-4", ("training.lr=0.0005",)),
    Factor("rate", "2e-3", ("training.lr=0.002",)),
    Factor("rate", "generator's as the discriminator's", ("training.generator_pace=1",)),
)

SHOWN = {
    "shape_error": 2,
    "trend_error": 2,
    "strong_pair_trend_error": 2,
    "detection_auc": 3,
    "network_detection_auc": 3,
    "tstr_share": 1,
}


def changes_something(factor: Factor) -> bool:
    """Whether the factor differs from the default configuration (the default itself counts)."""
    return factor == DEFAULT or bool(factor.parts) or settings("y", factor.sets) != settings("y")


def run_one(dataset: str, seed: int, seconds: float, sets: list[str], parts: list[str]) -> dict[str, Any]:
    """Train on the inner training rows for that many CPU-seconds, and measure."""
    part = load_inner(dataset)
    budget = f"{seconds:g}s"
    config = settings(part.target, sets, compute__workers=0, training__time_budget=budget, seed=seed)
    with without(parts):
        generator, result = train_alone(part.train, config)
    figures, _ = generated_figures(part, generator, seed)
    return {"figures": figures, "steps": result.steps, "rollbacks": result.rollbacks, "score": result.score}


def floor(dataset: str) -> dict[str, Any]:
    """Return the figures of two real halves of the same rows."""
    return {"figures": inner_floor(load_inner(dataset))}


def key_of(dataset: str, seed: int, seconds: float, factor: Factor) -> Row:
    """Return what a run is found by: its settings, not the factor's words."""
    settings_of = {"sets": list(factor.sets), "parts": list(factor.parts)}
    return {"dataset": dataset, "seed": seed, "seconds": seconds, **settings_of}


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("ablation", __doc__)
    reader.add_argument("--dataset", action="append")
    reader.add_argument("--seed", action="append", type=int)
    reader.add_argument("--seconds", type=float, default=120, help="CPU-seconds of a run")
    reader.add_argument("--part", action="append", help="only the factors of this part")
    reader.add_argument("--at-a-time", type=int, default=2)
    options = reader.parse_args(arguments)
    results = Results("ablation", options.results)
    names = options.dataset or TABLES
    chosen = [
        f for f in FACTORS if changes_something(f) and (not options.part or f.part in ["", *options.part])
    ]
    jobs = [Job({"dataset": name, "model": "real against real"}, floor, {"dataset": name}) for name in names]
    for seed in options.seed or seeds(3):
        for factor in chosen:
            for name in names:
                key = key_of(name, seed, options.seconds, factor)
                jobs.append(Job(key, run_one, key))
    run_missing(results, jobs, options.at_a_time, of_this_kind=True)
    print(table(results.rows()))


def table(rows: list[Row]) -> str:
    """Return one table per data set: mean ± standard deviation, and in brackets the step from the default.

    Runs on processors of several kinds stand apart: in as many CPU-seconds they take other numbers of steps.
    """
    parts = []
    groups = grouped(_runs(rows), lambda r: (r["dataset"], r["seconds"], kind_of(r["machine"])))
    for (name, seconds, machine), own in groups.items():
        by_factor = grouped(own, lambda row: (tuple(row["sets"]), tuple(row["parts"])))
        default = by_factor.get(((), ()), [])
        lines = []
        for factor in [*FACTORS, *_others(by_factor)]:
            members = by_factor.get((factor.sets, factor.parts), [])
            if members:
                cells = [_cell(members, default, figure, SHOWN[figure]) for figure in SHOWN]
                steps = f"{np.mean([row['steps'] for row in members]):,.0f}"
                lines.append([factor.part, factor.label, str(len(members)), steps, *cells])
        floors = [row for row in rows if row["dataset"] == name and row.get("model") == "real against real"]
        if floors:
            cells = [f"{floors[-1]['figures'][figure]:.{digits}f}" for figure, digits in SHOWN.items()]
            lines.append(["", "real against real", "", "", *cells])
        head = grid(["part", "variant", "seeds", "steps", *SHOWN], lines)
        parts.append(f"### {name}, {seconds:g} CPU-seconds, {machine}\n\n{head}")
    note = "Bold: differs from the default by Welch's t test at 5 %."
    return "\n\n".join([*parts, note])


def _others(found: Iterable[tuple[tuple[str, ...], tuple[str, ...]]]) -> list[Factor]:
    """Return a factor for each measured deviation that is not, or no longer, among the listed ones."""
    known = {(factor.sets, factor.parts) for factor in FACTORS}
    return [
        Factor("other", ", ".join([*sets, *[f"{part} off" for part in parts]]), sets, parts)
        for sets, parts in found
        if (sets, parts) not in known
    ]


def _runs(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "sets" in row]


def _cell(members: Sequence[Row], default: Sequence[Row], figure: str, digits: int) -> str:
    """Return the mean, its spread, and the step from the default where there is one."""
    own, base = ([row["figures"][figure] for row in side] for side in (members, default))
    text = mean_spread(own, digits)
    if not base or members is default:
        return text
    shown = f"{np.mean(own) - np.mean(base):+.{digits}f}"
    return f"{text} ({f'**{shown}**' if _clear(own, base) else shown})"


def _clear(own: Sequence[float], base: Sequence[float]) -> bool:
    if min(len(own), len(base)) < 2:
        return False
    if np.ptp(own) == np.ptp(base) == 0.0:
        return own[0] != base[0]
    return bool(ttest_ind(own, base, equal_var=False).pvalue < CHANCE)
