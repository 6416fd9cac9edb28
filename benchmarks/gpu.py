"""Training and sampling on one GPU, beside a CPU thread of the same machine.

    python -m benchmarks gpu --dataset adult --dataset default

Steps are timed by the clock, after warm-up, by size of batch and precision; quality is that of the
default configuration after so many seconds of training, measured as ablation does, on an inner part
of the training rows. Without Ray: one process has one GPU.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch

from benchmarks.command import parser
from benchmarks.datasets import load_inner
from benchmarks.markdown import grid
from benchmarks.measures import generated_figures
from benchmarks.results import Results, Row
from benchmarks.runs import settings
from benchmarks.training_speed import short_run
from fingan.fitting import finish, start
from fingan.generator import Generator
from fingan.preparation import prepare

TABLES = ("adult", "default")
BATCHES = (512, 4_096, 16_384)
PRECISIONS = ("bf16", "fp32")
WARM_UP = 40
FIGURES = {
    "shape_error": 2,
    "trend_error": 2,
    "detection_auc": 3,
    "network_detection_auc": 3,
    "tstr_share": 1,
}


def speeds(dataset: str, device: str, wanted: Sequence[Row], steps: int) -> Iterator[dict[str, Any]]:
    """Yield real rows per second through the whole step by the clock, with each batch size and precision."""
    part = load_inner(dataset)
    prepared = short_run(part.train, part.target, steps)

    def rate(batch_size: int, precision: str, number: int) -> float:
        sets = (f"training.batch_size={batch_size}", f"compute.precision={precision}")
        config = settings(part.target, (*sets, "training.time_budget=null", f"training.steps={number}"))
        return start(replace(prepared, config=config), device=torch.device(device)).train().rows_per_second

    for key in wanted:
        rate(**key, number=WARM_UP)
        found = rate(**key, number=steps)
        yield {**key, "rows_per_second": found, "ms_a_step": 1e3 * key["batch_size"] / found}


def quality(dataset: str, device: str, seconds: float) -> dict[str, Any]:
    """Train by the clock for so many seconds, and measure; then sample on the device and on the CPU."""
    part = load_inner(dataset)
    config = settings(part.target, compute__workers=0, training__time_budget=f"{seconds:g}s")
    prepared = prepare(part.train, config)
    result = start(prepared, device=torch.device(device)).train()
    generator = finish(prepared, result)
    figures, _ = generated_figures(part, generator, 0)
    rates = {
        f"{where}, {candidates}": _sampled_per_second(_on(where, generator), candidates)
        for where in dict.fromkeys((device, "cpu"))
        for candidates in (1, config.sampling.candidates)
    }
    return {"steps": result.steps, "score": result.score, "figures": figures, "sampled": rates}


def _on(device: str, generator: Generator) -> Generator:
    """Return the generator with its network on a device."""
    network = copy.deepcopy(generator.engine.network).to(device)
    return replace(generator, engine=replace(generator.engine, network=network, device=torch.device(device)))


def _sampled_per_second(generator: Generator, candidates: int, rows: int = 100_000) -> float:
    """Return rows per second by the clock, on one thread of the CPU."""
    generator.sample(20_000, candidates=candidates)
    started = time.perf_counter()
    generator.sample(rows, seed=1, candidates=candidates)
    return rows / (time.perf_counter() - started)


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("gpu", __doc__)
    reader.add_argument("--dataset", action="append")
    reader.add_argument("--device", default="cuda")
    reader.add_argument("--steps", type=int, default=200)
    reader.add_argument("--seconds", type=float, default=60, help="of training; 0 for speeds only")
    reader.add_argument("--batch", action="append", type=int)
    options = reader.parse_args(arguments)
    torch.set_num_threads(1)
    results = Results("gpu", options.results)
    device = options.device
    if device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU here; --device cpu tries the benchmark without one")
    name_of = torch.cuda.get_device_name() if device.startswith("cuda") else "CPU"
    pairs = product(options.batch or BATCHES, PRECISIONS)
    keys: list[Row] = [{"batch_size": size, "precision": precision} for size, precision in pairs]
    for name in options.dataset or TABLES:
        of_table: Row = {"dataset": name, "device": name_of}
        wanted = [key for key in keys if not results.has(**of_table, what="speed", **key)]
        if wanted:
            for found in speeds(name, device, wanted, options.steps):
                results.add({"what": "speed", **of_table, **found})
        run = {**of_table, "seconds": options.seconds, "what": "quality"}
        if options.seconds and not results.has(**run):
            results.add({**run, **quality(name, device, options.seconds)})
    print(table(results.rows()))


def table(rows: list[Row]) -> str:
    """Return speeds, then quality and sampling, as Markdown."""
    speeds = [
        [
            row["device"],
            row["dataset"],
            f"{row['batch_size']:,}",
            row["precision"],
            f"{row['ms_a_step']:.1f}",
            f"{row['rows_per_second']:,.0f}",
        ]
        for row in rows
        if row["what"] == "speed"
    ]
    runs = [row for row in rows if row["what"] == "quality"]
    qualities = [
        [row["device"], row["dataset"], f"{row['seconds']:g}", f"{row['steps']:,}"]
        + [f"{row['figures'][figure]:.{digits}f}" for figure, digits in FIGURES.items()]
        for row in runs
    ]
    sampled = [
        [row["device"], row["dataset"], f"{row['seconds']:g}", *where.split(", "), f"{rate:,.0f}"]
        for row in runs
        for where, rate in row["sampled"].items()
    ]
    return "\n\n".join(
        [
            grid(["device", "dataset", "batch", "precision", "ms a step", "rows/s"], speeds),
            grid(["device", "dataset", "seconds", "steps", *FIGURES], qualities),
            grid(
                ["machine with", "dataset", "seconds", "network on", "candidates", "sampled rows/s"], sampled
            ),
        ]
    )
