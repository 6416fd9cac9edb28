"""Small tables and results for the tests of the benchmarks."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from benchmarks.datasets import Inner, Split
from benchmarks.measures import PROTOCOL

MACHINE = {"processor": "one", "amx": False, "bf16": True}


def table(rows: int = 600, seed: int = 0) -> pa.Table:
    """Return numbers that depend on each other, two that are often equal, a category and a label."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=rows).round(3)
    second = np.where(rng.random(rows) < 0.3, first, (first + rng.normal(size=rows)).round(3))
    return pa.table(
        {
            "first": first,
            "second": second,
            "kind": np.array(["a", "b", "c"])[rng.integers(0, 3, rows)],
            "label": np.where(first + rng.normal(size=rows) > 1.0, "bad", "good"),
        }
    )


def split() -> Split:
    """Return training and test rows that share none."""
    whole = table(900)
    return Split("toy", whole.slice(0, 600), whole.slice(600), "label")


def part() -> Inner:
    """Return an inner part."""
    whole = table(900)
    return Inner("toy", whole.slice(0, 600), whole.slice(600), "label")


def quality_row(model: str = "fingan", seed: int = 0, **metrics: float) -> dict:
    """Return a result of the quality benchmark; every metric has the reference 0.5."""
    named = {n: {"value": v, "reference": 0.5, "interval": [v - 0.01, v + 0.01]} for n, v in metrics.items()}
    row = {"dataset": "adult", "model": model, "seed": seed, "protocol": PROTOCOL, "metrics": named}
    row["machine"] = MACHINE
    if model != "permuted columns":
        training = {"seconds": 540.0, "steps": 9000, "rows_per_second": 7000.0}
        row |= {"seconds": 600, "workers": 2, "set": [], "candidates": 4, "training": training}
        row |= {"wall_seconds": 590.0, "cpu_seconds": 1100.0, "sampled_rows_per_second": 90_000.0}
    return row
