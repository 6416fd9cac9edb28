"""A full run on 1, 2 and 4 workers: is its quality within the spread over seeds?

    python -m benchmarks workers --steps 600

The parameters agree to rounding for the first steps (tests/distributed); over a full run rounding grows, as
it does between seeds. Trains on the shipped lending table, measures on its hold-out, one evaluation a run.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import numpy as np

from benchmarks.datasets import DATASETS
from benchmarks.quality import measure
from benchmarks.results import Results
from fingan.cli.options import configuration
from fingan.cluster import train

SHOWN = ("shape_error", "trend_error", "detection_auc")


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks workers", description=__doc__)
    parser.add_argument("--steps", type=int, default=600)
    options = parser.parse_args(arguments)
    results = Results("workers")
    split = DATASETS["lending_club"]()
    for workers, seed in [(1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (4, 0)]:
        key = {"workers": workers, "seed": seed, "steps": options.steps}
        if results.has(**key):
            continue
        settings = configuration(
            None,
            ["training.time_budget=null", f"training.steps={options.steps}"],
            data__target=split.target,
            compute__workers=workers,
            seed=seed,
        )
        with tempfile.TemporaryDirectory() as registry:
            trained = train(split.train, settings, registry, "benchmark")
        rows = trained.generator.sample(split.train.num_rows, seed=0)
        training = trained.generator.metrics["training"]
        results.add({**key, "training": training, "metrics": measure(split, rows, 0)})
    print(table(results.rows()))


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table, with the range over seeds on one worker."""
    lines = [
        "| workers | seed | steps | rows/s | " + " | ".join(SHOWN) + " |",
        "|---" * (4 + len(SHOWN)) + "|",
    ]
    for row in rows:
        cells = " | ".join(f"{row['metrics'][name]['value']:.3f}" for name in SHOWN)
        speed = row["training"]["rows_per_second"]
        lines.append(f"| {row['workers']} | {row['seed']} | {row['steps']} | {speed:,.0f} | {cells} |")
    seeds = [row for row in rows if row["workers"] == 1]
    for name in SHOWN:
        values = [row["metrics"][name]["value"] for row in seeds]
        lines.append(f"\n{name} over seeds on one worker: {np.min(values):.3f} … {np.max(values):.3f}")
    return "\n".join(lines)
