"""A full run on 1, 2 and 4 workers: is its quality within the spread over seeds?

    python -m benchmarks workers --steps 600

The parameters agree to rounding for the first steps (tests/distributed); over a full run rounding grows, as
it does between seeds. Trains on the shipped lending table, measures on its hold-out, one evaluation a run.
"""

from __future__ import annotations

import numpy as np

from benchmarks.command import parser
from benchmarks.datasets import DATASETS
from benchmarks.markdown import grid
from benchmarks.measures import measure
from benchmarks.results import Results, Row
from benchmarks.runs import settings, train_by_ray

SHOWN = ("shape_error", "trend_error", "detection_auc")
RUNS = ((1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (4, 0))
"""Workers and seed."""


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("workers", __doc__)
    reader.add_argument("--steps", type=int, default=600)
    options = reader.parse_args(arguments)
    results = Results("workers", options.results)
    split = DATASETS["lending_club"]()
    for workers, seed in RUNS:
        key = {"workers": workers, "seed": seed, "steps": options.steps}
        if results.has(**key):
            continue
        sets = ["training.time_budget=null", f"training.steps={options.steps}"]
        trained = train_by_ray(split.train, settings(split.target, sets, compute__workers=workers, seed=seed))
        rows = trained.generator.sample(split.train.num_rows, seed=0)
        results.add({**key, **trained.cost(), "metrics": measure(split, rows, 0)})
    print(table(results.rows()))


def table(rows: list[Row]) -> str:
    """Return the results as a Markdown table, with the range over seeds on one worker."""
    lines = []
    for row in rows:
        cells = [f"{row['metrics'][name]['value']:.3f}" for name in SHOWN]
        speed = f"{row['training']['rows_per_second']:,.0f}"
        lines.append([str(row["workers"]), str(row["seed"]), str(row["steps"]), speed, *cells])
    parts = [grid(["workers", "seed", "steps", "rows/s", *SHOWN], lines)]
    seeds = [row for row in rows if row["workers"] == 1]
    for name in SHOWN:
        values = [row["metrics"][name]["value"] for row in seeds]
        parts.append(f"{name} over seeds on one worker: {np.min(values):.3f} … {np.max(values):.3f}")
    return "\n\n".join(parts)
