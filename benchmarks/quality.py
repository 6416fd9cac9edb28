"""Quality of the default configuration on real tables, beside published models, a baseline and real data.

    python -m benchmarks quality --dataset default --seed 0 --seconds 600

Every run has a guard: a second model, trained alike on one half of the training rows until it has gone
through them as often, whose rows must lie no nearer to that half than to the other.
The training rows' own validation part selects the generator; test rows only enter the evaluation.

`--seconds` is the whole of it, from the table to the finished generator: start of processes,
encoding, calibration and refinement come out of it. Every generator is measured twice: as
configured, and with one candidate per row, which is the network as it is.
"""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.command import parser, seeds
from benchmarks.datasets import DATASETS
from benchmarks.measures import PROTOCOL, half_share, measure, permuted
from benchmarks.quality_tables import SEEDS, table
from benchmarks.results import Results, Row
from benchmarks.runs import settings, train_by_ray
from fingan.config import Config, SamplingConfig
from fingan.rng import numpy_generator

__all__ = ["main", "run_half", "run_one", "table"]

AROUND = 75.0
"""Seconds kept for what comes before and after the training steps."""

CANDIDATES = (SamplingConfig().candidates, 1)

Found = dict[int, dict[str, Any]]
"""Results by the number of candidates."""


def run_one(name: str, seed: int, seconds: float, workers: int, extra: list[str]) -> Found:
    """Train on one split with one seed, sample as many rows, and measure."""
    split = DATASETS[name]()
    budget = f"{max(seconds - AROUND, seconds / 2):g}s"
    config = settings(split.target, extra, compute__workers=workers, training__time_budget=budget, seed=seed)
    trained = train_by_ray(split.train, config)
    found: Found = {}
    for candidates in CANDIDATES:
        started = time.monotonic()
        synthetic = trained.generator.sample(
            split.train.num_rows, seed=seed, threads=os.cpu_count() or 1, candidates=candidates
        )
        sampling = split.train.num_rows / (time.monotonic() - started)
        metrics = measure(split, synthetic, seed)
        found[candidates] = {**trained.cost(), "sampled_rows_per_second": sampling, "metrics": metrics}
    return found


def run_half(name: str, seed: int, steps: int, workers: int, extra: list[str]) -> Found:
    """Train on one half of the training rows, and measure against the other half.

    Args:
        name: of the dataset.
        seed: of the run that is guarded.
        steps: that it took.
        workers: of both.
        extra: overrides of both.
    """
    split = DATASETS[name]()
    order = numpy_generator(seed, "benchmark-half").permutation(split.train.num_rows)
    size = split.train.num_rows // 2
    own, other = (split.train.take(pa.array(np.sort(order[k * size : (k + 1) * size]))) for k in (0, 1))
    trained = train_by_ray(own, half_settings(split.target, size, seed, steps, workers, extra))
    found: Found = {}
    for candidates in CANDIDATES:
        synthetic = trained.generator.sample(size, seed=seed, candidates=candidates)
        share = half_share(own, other, synthetic, split.target, split.coded)
        found[candidates] = {**trained.cost(), "metrics": {"dcr_share": share}}
    return found


def half_settings(target: str, rows: int, seed: int, steps: int, workers: int, extra: list[str]) -> Config:
    """Return the configuration by which a half of so many rows is gone through as often as the whole was."""
    own = [*extra, *fitting_batch(rows, extra)]
    whole, batch = (settings(target, sets).training.batch_size for sets in (extra, own))
    own += ["training.time_budget=null", f"training.steps={max(1, round(steps * whole / batch / 2))}"]
    return settings(target, own, compute__workers=workers, seed=seed)


def fitting_batch(rows: int, extra: list[str]) -> list[str]:
    """Return the override that a half of a small table needs: the largest power of two rows that it has.

    Args:
        rows: of the half, its own validation part included.
        extra: overrides of the run.
    """
    config = settings("y", extra)
    trained_on = int(rows * (1.0 - config.data.validation))
    if trained_on >= config.training.batch_size:
        return []
    return [f"training.batch_size={2 ** (trained_on.bit_length() - 1)}"]


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("quality", __doc__)
    reader.add_argument("--dataset", action="append", choices=sorted(DATASETS))
    reader.add_argument("--seed", action="append", type=int)
    reader.add_argument("--seconds", type=float, default=600)
    reader.add_argument("--workers", type=int, default=1, help="they share the cores out")
    reader.add_argument("--set", action="append", default=[], dest="extra")
    reader.add_argument("--no-half", action="store_true", help="leave the half models for later")
    options = reader.parse_args(arguments)
    results = Results("quality", options.results)
    for name in options.dataset or list(DATASETS):
        baseline = {"dataset": name, "model": "permuted columns", "seed": 0, "protocol": PROTOCOL}
        if not results.has(**baseline):
            split = DATASETS[name]()
            results.add({**baseline, "metrics": measure(split, permuted(split.train, 0), 0)})
        for seed in options.seed or seeds(SEEDS):
            key = {
                "dataset": name,
                "protocol": PROTOCOL,
                "seed": seed,
                "seconds": options.seconds,
                "workers": options.workers,
                "set": sorted(options.extra),
            }
            _run_missing(results, key, options.extra, half=not options.no_half)
    print(table(results.rows()))


def _run_missing(results: Results, key: Row, extra: list[str], half: bool) -> None:
    """Run a model, and the one on half of its rows, where the results lack them."""
    name, seed, workers = key["dataset"], key["seed"], key["workers"]
    whole, other = {**key, "model": "fingan"}, {**key, "model": "half model"}
    if not all(results.has(**whole, candidates=number) for number in CANDIDATES):
        for candidates, figures in run_one(name, seed, key["seconds"], workers, extra).items():
            results.add({**whole, "candidates": candidates, **figures})
    if half and not all(results.has(**other, candidates=number) for number in CANDIDATES):
        steps = next(row["training"]["steps"] for row in results.rows() if row.items() >= whole.items())
        for candidates, figures in run_half(name, seed, steps, workers, extra).items():
            results.add({**other, "candidates": candidates, **figures})
