"""Quality of the default configuration on real tables, beside a baseline and the real-against-real floor.

    python -m benchmarks quality --dataset default --seed 0 --seconds 600 --workers 2

The baseline permutes every training column on its own: perfect marginals, no structure. The
training rows' own validation part selects the generator; test rows only enter the evaluation.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.datasets import DATASETS, Split
from benchmarks.results import Results
from fingan.cli.options import configuration
from fingan.cluster import train
from fingan.data import conform, infer_schema
from fingan.evaluation import Report, evaluate
from fingan.rng import numpy_generator


def permuted(table: pa.Table, seed: int) -> pa.Table:
    """Return the table with every column shuffled on its own."""
    rng = numpy_generator(seed, "benchmark-permutation")
    columns = [table[name].take(pa.array(rng.permutation(table.num_rows))) for name in table.column_names]
    return pa.table(dict(zip(table.column_names, columns, strict=True)))


def figures(report: Report) -> dict[str, Any]:
    """Return the metrics' values and references."""
    return {m.name: {"value": m.value, "reference": m.reference} for m in report.metrics}


def measure(split: Split, synthetic: pa.Table, seed: int) -> dict[str, Any]:
    """Evaluate rows against a split."""
    schema = infer_schema(split.train, split.target)
    real, held, rows = (conform(t, schema) for t in (split.train, split.test, synthetic))
    return figures(evaluate(real, rows, schema, holdout=held, target=split.target, seed=seed))


def run_one(name: str, seed: int, seconds: float, workers: int, extra: list[str]) -> dict[str, Any]:
    """Train on one split with one seed, and measure."""
    split = DATASETS[name]()
    settings = configuration(
        None,
        extra,
        data__target=split.target,
        compute__workers=workers,
        training__time_budget=f"{seconds:g}s",
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as registry:
        trained = train(split.train, settings, registry, "benchmark")
    started = time.monotonic()
    synthetic = trained.generator.sample(split.train.num_rows, seed=seed)
    sampling = split.train.num_rows / (time.monotonic() - started)
    return {
        "training": trained.generator.metrics["training"],
        "sampled_rows_per_second": sampling,
        "metrics": measure(split, synthetic, seed),
    }


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks quality", description=__doc__)
    parser.add_argument("--dataset", action="append", choices=sorted(DATASETS))
    parser.add_argument("--seed", action="append", type=int)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], dest="extra")
    options = parser.parse_args(arguments)
    results = Results("quality")
    for name in options.dataset or sorted(DATASETS):
        baseline = {"dataset": name, "model": "permuted columns", "seed": 0}
        if not results.has(**baseline):
            split = DATASETS[name]()
            results.add({**baseline, "metrics": measure(split, permuted(split.train, 0), 0)})
        for seed in options.seed or [0, 1, 2]:
            key = {
                "dataset": name,
                "model": "fingan",
                "seed": seed,
                "seconds": options.seconds,
                "workers": options.workers,
                "set": sorted(options.extra),
            }
            if not results.has(**key):
                results.add({**key, **run_one(name, seed, options.seconds, options.workers, options.extra)})
    print(table(results.rows()))


SHOWN = ("shape_error", "trend_error", "detection_auc", "tstr_share")


def table(rows: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table, medians over seeds."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        label = row["model"]
        if "seconds" in row:
            label += f", {row['seconds']:g} s, {row['workers']} workers"
        label += "".join(f", {text}" for text in row.get("set", []))
        groups.setdefault((row["dataset"], label), []).append(row)
    names = [n for n in SHOWN if any(n in row["metrics"] for row in rows)]
    lines = ["| dataset | model | seeds | " + " | ".join(names) + " |", "|---" * (3 + len(names)) + "|"]
    for (dataset, label), members in sorted(groups.items()):
        cells = []
        for name in names:
            found = [row["metrics"][name] for row in members if name in row["metrics"]]
            value = float(np.median([f["value"] for f in found])) if found else float("nan")
            reference = found[0]["reference"] if found else None
            cells.append(f"{value:.3f}" + (f" ({reference:.3f})" if reference is not None else ""))
        lines.append(f"| {dataset} | {label} | {len(members)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
