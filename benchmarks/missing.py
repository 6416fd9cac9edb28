"""Missing values: are their shares, and their dependence on other columns, in the generated rows?

    python -m benchmarks missing --seconds 60

Trains on the shipped lending table with 5 % and 30 % of the cells deleted, at random and depending on
another column, and measures the missing pattern beside the real-against-real floor and a baseline that
permutes every column on its own.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from benchmarks.command import parser
from benchmarks.datasets import DATASETS, Split
from benchmarks.deletion import delete_cells
from benchmarks.markdown import grid
from benchmarks.measures import figures, permuted
from benchmarks.results import Results, Row
from benchmarks.runs import settings, train_by_ray
from fingan.data import conform, infer_schema
from fingan.evaluation import evaluate

SHOWN = ("missing_pattern_error", "shape_error", "trend_error", "detection_auc")


def _measure(split: Split, rows: pa.Table) -> dict[str, Any]:
    schema = infer_schema(split.train, split.target)
    real, synthetic = (conform(t, schema) for t in (split.train, rows))
    sections = ["fidelity", "detection"]
    return figures(evaluate(real, synthetic, schema, target=split.target, sections=sections))


def _generated(split: Split, seconds: float, workers: int) -> pa.Table:
    config = settings(split.target, compute__workers=workers, training__time_budget=f"{seconds:g}s")
    return train_by_ray(split.train, config).generator.sample(split.train.num_rows)


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("missing", __doc__)
    reader.add_argument("--seconds", type=float, default=60)
    reader.add_argument("--workers", type=int, default=2)
    options = reader.parse_args(arguments)
    results = Results("missing", options.results)
    whole = DATASETS["lending_club"]()
    for share in (0.05, 0.3):
        for depends in (False, True):
            cut = delete_cells(whole.train, share, whole.target, depends)
            split = Split(whole.name, cut, whole.test, whole.target)
            case = {"share": share, "depends": depends}
            baseline: Row = {**case, "model": "permuted columns"}
            if not results.has(**baseline):
                results.add({**baseline, "metrics": _measure(split, permuted(cut, 0))})
            key = {**case, "model": "fingan", "seconds": options.seconds}
            if not results.has(**key):
                rows = _generated(split, options.seconds, options.workers)
                results.add({**key, "metrics": _measure(split, rows)})
    print(table(results.rows()))


def table(rows: list[Row]) -> str:
    """Return the results as a Markdown table: value (real against real)."""
    lines = []
    for row in rows:
        cells = [f"{row['metrics'][n]['value']:.3f} ({row['metrics'][n]['reference']:.3f})" for n in SHOWN]
        how = "by another column" if row["depends"] else "at random"
        lines.append([f"{row['share']:.0%}", how, row["model"], *cells])
    return grid(["deleted", "how", "model", *SHOWN], lines)
