"""Missing values: are their shares, and their dependence on other columns, in the generated rows?

    python -m benchmarks missing --seconds 60

Trains on the shipped lending table with 5 % and 30 % of the cells deleted, at random and depending on
another column, and measures the missing pattern beside the real-against-real floor and a baseline that
permutes every column on its own.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import pyarrow as pa

from benchmarks.datasets import DATASETS, Split
from benchmarks.deletion import delete_cells
from benchmarks.quality import figures, permuted
from benchmarks.results import Results
from fingan.cli.options import configuration
from fingan.cluster import train
from fingan.data import conform, infer_schema
from fingan.evaluation import evaluate

SHOWN = ("missing_pattern_error", "shape_error", "trend_error", "detection_auc")


def _measure(split: Split, rows: pa.Table) -> dict[str, Any]:
    schema = infer_schema(split.train, split.target)
    parts = (conform(t, schema) for t in (split.train, rows))
    real, synthetic = parts
    sections = ["fidelity", "detection"]
    return figures(evaluate(real, synthetic, schema, target=split.target, sections=sections))


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks missing", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    results = Results("missing")
    whole = DATASETS["lending_club"]()
    for share in (0.05, 0.3):
        for depends in (False, True):
            cut = delete_cells(whole.train, share, whole.target, depends)
            split = Split(whole.name, cut, whole.test, whole.target)
            case = {"share": share, "depends": depends}
            if not results.has(**case, model="permuted columns"):
                results.add(
                    {**case, "model": "permuted columns", "metrics": _measure(split, permuted(cut, 0))}
                )
            key = {**case, "model": "fingan", "seconds": options.seconds}
            if not results.has(**key):
                settings = configuration(
                    None,
                    None,
                    data__target=split.target,
                    compute__workers=options.workers,
                    training__time_budget=f"{options.seconds:g}s",
                )
                with tempfile.TemporaryDirectory() as registry:
                    trained = train(cut, settings, registry, "benchmark")
                rows = trained.generator.sample(cut.num_rows)
                results.add({**key, "metrics": _measure(split, rows)})
    print(table(results.rows()))


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table: value (real against real)."""
    lines = ["| deleted | how | model | " + " | ".join(SHOWN) + " |", "|---" * (3 + len(SHOWN)) + "|"]
    for row in rows:
        cells = [f"{row['metrics'][n]['value']:.3f} ({row['metrics'][n]['reference']:.3f})" for n in SHOWN]
        how = "by another column" if row["depends"] else "at random"
        lines.append(f"| {row['share']:.0%} | {how} | {row['model']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
