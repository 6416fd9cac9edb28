"""Decoded rows per second to Arrow by precision and threads, where the time goes, and memory over many rows.

    python -m benchmarks sampling --dataset adult --dataset default --memory-rows 100000000

Generators of the default size, trained for a few steps: the time of a row does not depend on how
good it is. All variants take turns in one process of their own, medians over the rounds; on a
shared machine rows per CPU-second say more than rows per second.
"""

from __future__ import annotations

import dataclasses
import functools
import pkgutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil

from benchmarks.command import parser
from benchmarks.datasets import load_inner
from benchmarks.jobs import alone
from benchmarks.markdown import grid
from benchmarks.results import Results, Row
from benchmarks.runs import precisions, settings
from fingan.config import SamplingConfig
from fingan.fitting import finish, start
from fingan.generator import Generator
from fingan.networks import keep_freed_memory
from fingan.preparation import prepare

TABLES = ("adult", "default")
THREADS = (1, 2)
CANDIDATES = (SamplingConfig().candidates, 1)
BARS = {"adult": (200_000, 500_000), "default": (150_000, 300_000)}
"""Rows per second that must be reached, and that are aimed at: bf16, two cores with AMX."""

MEMORY_TABLE = "default"
SETTLED = 0.02
"""Share of the rows after which growth of the resident memory counts."""

SCOPES = {
    "fingan.generator.engine.Engine.draw": "noise",
    "fingan.generator.engine.Engine.raw": "rest of the network",
    "fingan.generator.calibration.Calibration.u": "calibration",
    "fingan.generator.choice.CodeChoice.__call__": "draw of codes",
    "fingan.generator.engine.Engine.decode": "decoding to Arrow",
    "fingan.generator.density.DensityRatio.__call__": "ratio of densities",
    "torch.nn.functional.linear": "matrix products",
    "torch.addmm": "matrix products",
}
"""Functions and what their time counts as; the time of one inside another counts once, as its own."""

KINDS = (*dict.fromkeys(SCOPES.values()), "rest")


def made(dataset: str, steps: int) -> dict[str, Generator]:
    """Train for so many steps, and return the generator in each precision that the processor multiplies."""
    part = load_inner(dataset)
    sets = ["training.time_budget=null", f"training.steps={steps}", "training.warmup_steps=1"]
    prepared = prepare(part.train, settings(part.target, sets, compute__workers=0))
    prepared = dataclasses.replace(prepared, validation=None)
    generator = finish(prepared, start(prepared).train())
    return {
        name: dataclasses.replace(
            generator, engine=dataclasses.replace(generator.engine, autocast=name == "bf16")
        )
        for name in precisions()
    }


def draw(generator: Generator, rows: int, threads: int = 1, candidates: int | None = None) -> None:
    """Generate rows and drop them."""
    for _ in generator.iter_batches(rows, threads=threads, candidates=candidates):
        pass


def time_rates(dataset: str, steps: int, rows: int, rounds: int) -> dict[str, Any]:
    """Return rows per second and per CPU-second of each variant, round by round (the first warms up)."""
    keep_freed_memory()
    generators = made(dataset, steps)
    rates: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds + 1):
        for (precision, generator), threads, candidates in product(generators.items(), THREADS, CANDIDATES):
            size = rows // candidates
            before = time.perf_counter(), time.process_time()
            draw(generator, size, threads, candidates)
            after = time.perf_counter(), time.process_time()
            own = rates.setdefault(f"{precision} {threads} {candidates}", {"clock": [], "cpu": []})
            if number:
                own["clock"].append(size / (after[0] - before[0]))
                own["cpu"].append(size / (after[1] - before[1]))
    return {"rates": rates}


class Stopwatch:
    """Adds up the calling thread's CPU time by what it is spent on."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(KINDS, 0.0)
        self._inside = ["rest"]
        self._since = time.thread_time()

    def _switch(self) -> None:
        now = time.thread_time()
        self.spent[self._inside[-1]] += now - self._since
        self._since = now

    def timed(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time counted as `kind`."""

        @functools.wraps(function)
        def inner(*arguments: Any, **named: Any) -> Any:
            self._switch()
            self._inside.append(kind)
            try:
                return function(*arguments, **named)
            finally:
                self._switch()
                self._inside.pop()

        return inner

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time the functions of `SCOPES` while inside."""
        with ExitStack() as stack:
            for target, kind in SCOPES.items():
                stack.enter_context(patch(target, self.timed(kind, pkgutil.resolve_name(target))))
            self._since = time.thread_time()
            yield
            self._switch()


def time_parts(dataset: str, steps: int, rows: int) -> dict[str, Any]:
    """Return microseconds per row by what they are spent on, one thread, each precision."""
    keep_freed_memory()
    parts = {}
    for (precision, generator), candidates in product(made(dataset, steps).items(), CANDIDATES):
        size = rows // candidates
        draw(generator, size // 4, 1, candidates)
        watch = Stopwatch()
        with watch.watching():
            draw(generator, size, 1, candidates)
        spent = {kind: 1e6 * seconds / size for kind, seconds in watch.spent.items()}
        parts[f"{precision} {candidates}"] = spent
    return {"parts": parts}


def watch_memory(dataset: str, steps: int, rows: int) -> dict[str, Any]:
    """Return by how many bytes the resident memory grows over many rows that nobody keeps."""
    keep_freed_memory()
    generator = next(iter(made(dataset, steps).values()))
    process, seen, settled, most = psutil.Process(), 0, 0, 0
    began = time.perf_counter()
    for batch in generator.iter_batches(rows, threads=max(THREADS), candidates=1):
        seen += batch.num_rows
        now = process.memory_info().rss
        if seen >= SETTLED * rows:
            settled = settled or now
            most = max(most, now)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "settled_bytes": settled, "growth_bytes": most - settled, "seen": seen}


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("sampling", __doc__)
    reader.add_argument("--dataset", action="append", choices=TABLES)
    reader.add_argument("--steps", type=int, default=50, help="of training")
    reader.add_argument("--rows", type=int, default=1 << 18, help="per round")
    reader.add_argument("--rounds", type=int, default=7)
    reader.add_argument("--memory-rows", type=int, help="rows of the memory run; without it there is none")
    options = reader.parse_args(arguments)
    results = Results("sampling", options.results)

    def add(what: str, function: Callable[..., dict[str, Any]], run: Row) -> None:
        if not results.has(what=what, **run):
            results.add({"what": what, **run, **alone(function, **run).value})

    for name in options.dataset or TABLES:
        run = {"dataset": name, "steps": options.steps, "rows": options.rows}
        add("rates", time_rates, {**run, "rounds": options.rounds})
        add("parts", time_parts, run)
    if options.memory_rows:
        memory = {"dataset": MEMORY_TABLE, "steps": options.steps, "rows": options.memory_rows}
        add("memory", watch_memory, memory)
    print(table(results.rows()))


def table(rows: list[Row]) -> str:
    """Return rates with their bars, the parts of the time and the memory run, as Markdown."""
    by = {what: [row for row in rows if row["what"] == what] for what in ("rates", "parts", "memory")}
    header = [
        "dataset",
        "precision",
        "threads",
        "candidates",
        "rows/s (range)",
        "rows per CPU-second",
        "AMX",
        "must",
        "aim",
    ]
    texts = [grid(header, [line for row in by["rates"] for line in _rates(row)])]
    if by["parts"]:
        lines = [line for row in by["parts"] for line in _parts(row)]
        texts.append(grid(["dataset", "precision", "candidates", "µs per row", *KINDS], lines))
    for row in by["memory"]:
        rate, grown, at = row["seen"] / row["seconds"], row["growth_bytes"], row["settled_bytes"]
        texts.append(
            f"{row['seen']:,} rows of {row['dataset']}, all rows kept, to a null sink at {rate:,.0f} rows/s: "
            f"resident memory grew by {grown / 2**20:,.0f} MiB over {at / 2**20:,.0f} MiB."
        )
    return "\n\n".join(texts)


def _rates(row: Row) -> list[list[str]]:
    lines = []
    for name, rates in row["rates"].items():
        precision, threads, candidates = name.split()
        middle, cpu = np.median(rates["clock"]), np.median(rates["cpu"])
        spread = f"{middle:,.0f} ({min(rates['clock']):,.0f} … {max(rates['clock']):,.0f})"
        barred = precision == "bf16" and int(threads) == 2
        bars: Sequence[int] = BARS[row["dataset"]] if barred else ()
        verdicts = [f"{bar:,}: {'pass' if middle >= bar else 'miss'}" for bar in bars] or ["–", "–"]
        amx = "yes" if row["machine"]["amx"] else "no"
        lines.append([row["dataset"], precision, threads, candidates, spread, f"{cpu:,.0f}", amx, *verdicts])
    return lines


def _parts(row: Row) -> list[list[str]]:
    lines = []
    for name, parts in row["parts"].items():
        precision, candidates = name.split()
        total = sum(parts.values())
        shares = [f"{parts[kind] / total:.0%}" for kind in KINDS]
        lines.append([row["dataset"], precision, candidates, f"{total:.1f}", *shares])
    return lines
