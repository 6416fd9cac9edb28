"""Rows per CPU-second through the whole training step, beside a straightforward implementation.

    python -m benchmarks training_speed --dataset adult --dataset default

One thread, all variants interleaved in one process, medians over the rounds: on a shared machine
only the ratios count. Besides, where the time goes, two threads in one process beside two workers,
and what checkpoints cost.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import torch

from benchmarks.command import parser
from benchmarks.datasets import load_inner
from benchmarks.jobs import alone
from benchmarks.markdown import grid
from benchmarks.profiling import KINDS, shares
from benchmarks.results import Results, Row, kind_of
from benchmarks.runs import PRECISIONS, precisions, settings, train_by_ray
from benchmarks.straightforward import Straightforward
from fingan.encoding.table import EncodedTable
from fingan.fitting import start
from fingan.networks import keep_freed_memory
from fingan.preparation import Prepared, prepare
from fingan.training.checkpoint import save_checkpoint

TABLES = ("adult", "default")
PLAIN = "straightforward, penalty on all rows"
PLAIN_SPARSE = "straightforward, penalty on every 4th step"
BAR = 2.0
"""At least so many times the rows per CPU-second of the straightforward implementation.

The default's penalty is paid by every 4th row, so the one that pays as much, on every 4th step, counts.
"""
CHECKPOINTS = 15
MOST_OVERHEAD = 0.02
"""Writing checkpoints takes at most this share of the time between them."""


def short_run(table: pa.Table, target: str, steps: int, *sets: str) -> Prepared:
    """Prepare a run of so many steps without validation."""
    fixed = ["training.time_budget=null", f"training.steps={steps}", *sets]
    prepared = prepare(table, settings(target, fixed, compute__workers=0))
    return dataclasses.replace(prepared, validation=None)


def variants(dataset: str, steps: int) -> dict[str, Callable[[], object]]:
    """Return what is timed by name, each a call that takes so many steps."""
    part = load_inner(dataset)

    def package(precision: str) -> Callable[[], object]:
        prepared = short_run(part.train, part.target, steps, f"compute.precision={precision}")
        return lambda: start(prepared).train()

    def plain(penalty_every: int) -> Callable[[], object]:
        prepared = short_run(part.train, part.target, steps)
        encoded = cast(EncodedTable, prepared.encoded)
        run = Straightforward(encoded, prepared.encoder.layout, prepared.config, penalty_every)
        return lambda: [run.step() for _ in range(steps)]

    ours = {precision: package(precision) for precision in precisions()}
    return {**ours, PLAIN: plain(1), PLAIN_SPARSE: plain(4)}


def time_variants(dataset: str, steps: int, rounds: int) -> dict[str, Any]:
    """Return rows per CPU-second of each variant, round by round (the first round warms up)."""
    torch.set_num_threads(1)
    keep_freed_memory()
    timed = variants(dataset, steps)
    rows = steps * settings("y").training.batch_size
    rates: dict[str, list[float]] = {name: [] for name in timed}
    for number in range(rounds + 1):
        for name, work in timed.items():
            before = time.process_time()
            work()
            if number:
                rates[name].append(rows / (time.process_time() - before))
    return {"rates": rates}


def profile_steps(dataset: str, steps: int, precision: str) -> dict[str, Any]:
    """Return the share of the time by kind of work."""
    torch.set_num_threads(1)
    keep_freed_memory()
    part = load_inner(dataset)
    prepared = short_run(part.train, part.target, steps, f"compute.precision={precision}")
    start(prepared).train()
    run = start(prepared)
    return {"shares": shares(run.train)}


def threads_and_workers(dataset: str, steps: int) -> dict[str, Any]:
    """Return rows per second by the clock of one and two threads, and of one and two workers."""
    part = load_inner(dataset)
    rates = {}
    for threads in (1, 2):
        # A new process: OpenMP reads its number of threads once.
        found = alone(by_threads, dataset=dataset, steps=steps, threads=threads)
        rates[f"{threads} threads"] = found.value["rate"]
    sets = ["training.time_budget=null", f"training.steps={steps}", "training.validations=1"]
    for workers in (1, 2):
        trained = train_by_ray(
            part.train, settings(part.target, sets, compute__workers=workers, compute__threads=1)
        )
        rates[f"{workers} workers"] = trained.training["rows_per_second"]
    return {"rates": rates}


def by_threads(dataset: str, steps: int, threads: int) -> dict[str, Any]:
    """Return rows per second by the clock, in this process with so many threads."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    part = load_inner(dataset)
    return {"rate": start(short_run(part.train, part.target, steps)).train().rows_per_second}


def checkpoint_cost(dataset: str, steps: int) -> dict[str, Any]:
    """Return the seconds of a step and of each of some checkpoints, by the clock, on one thread."""
    torch.set_num_threads(1)
    keep_freed_memory()
    part = load_inner(dataset)
    run = start(short_run(part.train, part.target, steps))
    result, every = run.train(), run.config.checkpoint.every_steps
    spent = []
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        for number in range(CHECKPOINTS):
            run.state.progress.step = every * (number + 1)
            started = time.perf_counter()
            path = save_checkpoint(Path(folder), run.state, run.config.checkpoint.keep)
            spent.append(time.perf_counter() - started)
        size = sum(file.stat().st_size for file in path.iterdir())
    return {
        "step_seconds": run.config.training.batch_size / result.rows_per_second,
        "checkpoint_seconds": spent,
        "bytes": size,
        "every": every,
    }


def _alone(function: Callable[..., dict[str, Any]], arguments: Row) -> dict[str, Any]:
    return alone(function, **arguments).value


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("training_speed", __doc__)
    reader.add_argument("--dataset", action="append")
    reader.add_argument("--steps", type=int, default=100)
    reader.add_argument("--rounds", type=int, default=7)
    reader.add_argument("--worker-steps", type=int, default=600)
    options = reader.parse_args(arguments)
    results = Results("training_speed", options.results)

    def add(key: Row, make: Callable[[], dict[str, Any]]) -> None:
        if not results.has(**key):
            results.add({**key, **make()})

    for name in options.dataset or TABLES:
        timing = {"dataset": name, "steps": options.steps, "rounds": options.rounds}
        add({"what": "rates", **timing}, partial(_alone, time_variants, timing))
        for precision in precisions():
            run = {"dataset": name, "steps": options.steps, "precision": precision}
            add({"what": "profile", **run}, partial(_alone, profile_steps, run))
        run = {"dataset": name, "steps": options.steps}
        add({"what": "checkpoint", **run}, partial(_alone, checkpoint_cost, run))
        pairs = {"dataset": name, "steps": options.worker_steps}
        add({"what": "workers", **pairs}, partial(threads_and_workers, name, options.worker_steps))
    print(table(results.rows()))


def table(rows: list[Row]) -> str:
    """Return rates with their ratios, profiles, and threads beside workers, as Markdown."""
    rates = [_rates(row) for row in rows if row["what"] == "rates"]
    times = ["times penalty on all rows", "times penalty on every 4th step"]
    header = ["dataset", "variant", "rows per CPU-second (range)", *times, "bar", "machine"]
    parts = [grid(header, [line for lines in rates for line in lines])] if rates else []
    profiles = [row for row in rows if row["what"] == "profile"]
    if profiles:
        lines = [
            [
                row["dataset"],
                row["precision"],
                *[f"{row['shares'].get(kind, 0.0):.0%}" for kind in KINDS],
                kind_of(row["machine"]),
            ]
            for row in profiles
        ]
        parts.append(grid(["dataset", "precision", *KINDS, "machine"], lines))
    pairs = [row for row in rows if row["what"] == "workers"]
    if pairs:
        names = list(pairs[0]["rates"])
        lines = [
            [row["dataset"], *[f"{row['rates'][name]:,.0f}" for name in names], kind_of(row["machine"])]
            for row in pairs
        ]
        parts.append(grid(["dataset, rows per second by the clock", *names, "machine"], lines))
    written = [_checkpoint(row) for row in rows if row["what"] == "checkpoint"]
    if written:
        header = ["dataset", "checkpoint of", "ms to write (range)", "share of the time", "bar", "machine"]
        parts.append(grid(header, written))
    return "\n\n".join(parts)


def _rates(row: Row) -> list[list[str]]:
    """Return one line per variant; ratios are taken round by round, so that the machine's mood cancels."""
    rates = {name: np.array(values) for name, values in row["rates"].items()}
    lines = []
    for name, own in rates.items():
        ratios = [float(np.median(own / rates[plain])) for plain in (PLAIN, PLAIN_SPARSE)]
        verdict = "" if name not in PRECISIONS else "pass" if ratios[1] >= BAR else "miss"
        spread = f"{np.median(own):,.0f} ({own.min():,.0f} … {own.max():,.0f})"
        shown = [f"{ratio:.2f}" for ratio in ratios]
        lines.append([row["dataset"], name, spread, *shown, verdict, kind_of(row["machine"])])
    return lines


def _checkpoint(row: Row) -> list[str]:
    spent = 1e3 * np.array(row["checkpoint_seconds"])
    share = float(np.median(spent)) / 1e3 / (row["every"] * row["step_seconds"])
    return [
        row["dataset"],
        f"{row['bytes'] / 2**20:.1f} MiB, every {row['every']} steps",
        f"{np.median(spent):.0f} ({spent.min():.0f} … {spent.max():.0f})",
        f"{share:.2%}",
        "pass" if share <= MOST_OVERHEAD else "miss",
        kind_of(row["machine"]),
    ]
