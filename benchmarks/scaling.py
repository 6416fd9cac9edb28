"""Does a second worker pay? Rows per second on one and on two, and what they say to each other.

    python -m benchmarks scaling --steps 60 --repeats 5

Processes of one thread each that train together over gloo, on the shipped lending table, with a
global batch of 4,096 rows and networks of two blocks, 512 wide; timed inside the loop, after a
warm-up, with the worker counts taking turns. Wants an otherwise idle machine.

The step is then taken apart: what is computed once for each row, what every worker does for
itself (optimisers, averages), and the reductions. From the same figures comes a model of a step on
W workers,

    T(W) = R / W + F + 2 · (L + 2 (W - 1) / W · bytes / bandwidth)

(ring all-reduce; Patarasuk & Yuan, 2009), with R and F fitted to one worker at two batch sizes, and
latency L and bandwidth to reductions alone. The table sets the model beside the run on two workers,
which it was not fitted to.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from benchmarks.command import parser
from benchmarks.datasets import DATASETS
from benchmarks.markdown import grid, grouped
from benchmarks.results import Results, Row
from benchmarks.runs import settings
from fingan.fitting import start
from fingan.networks import keep_freed_memory
from fingan.preparation import prepare
from fingan.training import Alone, Group, Reducer, Run

BATCH = 4096
NETWORK = ("network.width=512", "network.blocks=2", "network.knots=24")
WARM_UP = 10
LEAST_SPEED_UP = 1.6
SIZES = (10_000, 100_000, 1_000_000, 4_000_000)
"""Numbers of the reductions that latency and bandwidth are fitted to."""

GPUS = (8, 16, 32, 64)


class Timed:
    """A group that notes how long it waits and how much it sends."""

    def __init__(self, inner: Reducer) -> None:
        self.rank, self.world, self._inner = inner.rank, inner.world, inner
        self.seconds, self.sent, self.calls = 0.0, 0, 0

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sum over all workers, and count it."""
        started = time.perf_counter()
        self._inner.sum_(tensor)
        self.seconds += time.perf_counter() - started
        self.sent += tensor.numel() * tensor.element_size()
        self.calls += 1
        return tensor

    def broadcast_(self, tensor: Tensor) -> Tensor:
        """Take rank 0's values."""
        return self._inner.broadcast_(tensor)


def _build(world: int, batch: int) -> tuple[Run, Timed]:
    split = DATASETS["lending_club"]()
    sets = [*NETWORK, f"training.batch_size={batch}", "training.validations=1"]
    sets += ["training.time_budget=null", "training.steps=100000"]
    prepared = prepare(split.train, settings(split.target, sets, compute__workers=0))
    reducer = Timed(Group() if world > 1 else Alone())
    return start(prepared, reducer), reducer


def _join(rank: int, world: int, port: int) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    keep_freed_memory()
    if world > 1:
        dist.init_process_group("gloo", rank=rank, world_size=world)


def _take(run: Run, steps: int) -> None:
    for _ in range(steps):
        run._step()
        run.state.progress.step += 1


def _train(rank: int, world: int, port: int, batch: int, steps: int, queue: Any) -> None:
    """Take steps on one worker; rank 0 tells how long they took."""
    _join(rank, world, port)
    run, reducer = _build(world, batch)
    _take(run, WARM_UP)
    reducer.seconds, reducer.sent, reducer.calls = 0.0, 0, 0
    wall, cpu = time.perf_counter(), time.process_time()
    _take(run, steps)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    spent = torch.tensor([cpu], dtype=torch.float64)
    reducer.sum_(spent)
    if rank == 0:
        queue.put(
            {
                "seconds": wall / steps,
                "cpu_seconds": float(spent) / steps,
                "waited": reducer.seconds / steps,
                "bytes": (reducer.sent - 8) / steps,
                "reductions": (reducer.calls - 1) / steps,
            }
        )
    if world > 1:
        dist.destroy_process_group()


def _reduce(rank: int, world: int, port: int, queue: Any) -> None:
    """Time reductions alone."""
    _join(rank, world, port)
    found = []
    for size in SIZES:
        buffer = torch.zeros(size)
        times = []
        for _ in range(15):
            dist.barrier()
            started = time.perf_counter()
            dist.all_reduce(buffer)
            times.append(time.perf_counter() - started)
        found.append([4 * size, float(np.median(times[3:]))])
    if rank == 0:
        queue.put({"reductions": found})
    dist.destroy_process_group()


def _spawn(function: Any, world: int, *arguments: Any) -> dict[str, Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    queue = mp.get_context("spawn").SimpleQueue()
    mp.spawn(function, (world, port, *arguments, queue), nprocs=world)  # type: ignore[attr-defined, no-untyped-call]
    found: dict[str, Any] = queue.get()
    return found


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("scaling", __doc__)
    reader.add_argument("--steps", type=int, default=60)
    reader.add_argument("--repeats", type=int, default=5)
    options = reader.parse_args(arguments)
    results = Results("scaling", options.results)
    for repeat in range(options.repeats):
        for world, batch in ((1, BATCH), (2, BATCH), (1, BATCH // 2)):
            key = {"workers": world, "batch": batch, "steps": options.steps, "repeat": repeat}
            if not results.has(**key):
                results.add({**key, **_spawn(_train, world, batch, options.steps)})
    if not results.has(what="reductions alone"):
        results.add({"what": "reductions alone", **_spawn(_reduce, 2)})
    print(table(results.rows()))


def _median(rows: Sequence[Row], figure: str) -> float:
    return float(np.median([row[figure] for row in rows]))


def ring(world: int, sent: float, latency: float, bandwidth: float) -> float:
    """Return the seconds of one all-reduce of `sent` bytes over a ring."""
    return latency + 2.0 * (world - 1) / world * sent / bandwidth


def table(rows: list[Row]) -> str:
    """Return speeds, the bar, what is sent, and the model beside the measurement, as Markdown."""
    groups = grouped([row for row in rows if "workers" in row], lambda row: (row["workers"], row["batch"]))
    lines = []
    for (world, batch), own in groups.items():
        step, waited = _median(own, "seconds"), _median(own, "waited")
        lines.append(
            [
                str(world),
                f"{batch:,}",
                f"{1e3 * step:,.1f}",
                f"{batch / step:,.0f}",
                f"{batch / _median(own, 'cpu_seconds'):,.0f}",
                f"{_median(own, 'bytes') / 2**20:.2f}" if world > 1 else "–",
                f"{_median(own, 'reductions'):.0f}" if world > 1 else "–",
                f"{waited / step:.1%}" if world > 1 else "–",
            ]
        )
    header = ["workers", "global batch", "ms a step", "rows/s", "rows per CPU-second"]
    text = grid([*header, "MiB sent a step", "reductions", "share of the step"], lines)
    if {(1, BATCH), (2, BATCH), (1, BATCH // 2)} <= groups.keys():
        text += "\n\n" + _verdict(groups) + "\n\n" + _model(rows, groups)
    return text


def _verdict(groups: dict[Any, list[Row]]) -> str:
    one, two = groups[1, BATCH], groups[2, BATCH]
    ratios = [o["seconds"] / t["seconds"] for o, t in zip(one, two, strict=False)]
    ratio = float(np.median(ratios))
    verdict = "pass" if ratio >= LEAST_SPEED_UP else "miss"
    spread = f"{min(ratios):.2f} … {max(ratios):.2f}"
    bar = f"at least {LEAST_SPEED_UP}: {verdict}"
    return f"Two workers over one: {ratio:.2f} times the rows/s ({spread}; {bar})."


def _model(rows: list[Row], groups: dict[Any, list[Row]]) -> str:
    alone = [row for row in rows if row.get("what") == "reductions alone"]
    if not alone:
        return ""
    sent, seconds = np.array(alone[-1]["reductions"]).T
    slope, latency = np.polyfit(sent, seconds, 1, w=1.0 / seconds)
    bandwidth, latency = 1.0 / slope, max(latency, 0.0)  # two workers: 2 (W - 1) / W is 1
    whole, half = (_median(groups[1, size], "seconds") for size in (BATCH, BATCH // 2))
    per_row, fixed = (whole - half) / (BATCH - BATCH // 2), max(0.0, 2.0 * half - whole)
    bucket = _median(groups[2, BATCH], "bytes") / 2.0

    def step(world: int, rate: float, fixed: float, latency: float, bandwidth: float) -> float:
        return BATCH / world * rate + fixed + 2.0 * ring(world, bucket, latency, bandwidth)

    predicted = step(2, per_row, fixed, latency, bandwidth)
    measured = _median(groups[2, BATCH], "seconds")
    text = (
        f"Fitted: {1e6 * per_row:.1f} µs a row, {1e3 * fixed:.1f} ms a step on every worker, reductions of "
        f"{1e3 * latency:.2f} ms and {bandwidth / 2**20:,.0f} MiB/s. Predicted for two workers "
        f"{1e3 * predicted:.1f} ms a step, measured {1e3 * measured:.1f} ms "
        f"({predicted / measured - 1.0:+.0%})."
    )
    return text + "\n\n" + _projection(bucket)


NODE_GPUS = 8
LINKS = {"NVLink inside a node": (3e-5, 150e9), "100 Gbit/s between nodes": (6e-5, 11e9)}
"""Assumed latency in seconds and bandwidth in bytes/s of an all-reduce; not measured here."""

ROWS_PER_GPU, GPU_MICROSECONDS, GPU_FIXED = 4096, 1.0, 4e-3
"""Assumed: rows a GPU takes of every batch, µs a row, seconds a step whatever the rows. Not measured."""


def _projection(bucket: float) -> str:
    """Return what the model says of GPUs, whose own figures are assumptions."""
    lines = []
    for world in (1, *GPUS):
        link = "NVLink inside a node" if world <= NODE_GPUS else "100 Gbit/s between nodes"
        latency, bandwidth = LINKS[link]
        spoken = 0.0 if world == 1 else 2.0 * ring(world, bucket, latency * np.log2(world), bandwidth)
        seconds = ROWS_PER_GPU * GPU_MICROSECONDS * 1e-6 + GPU_FIXED + spoken
        base = ROWS_PER_GPU * GPU_MICROSECONDS * 1e-6 + GPU_FIXED
        lines.append(
            [
                str(world),
                "–" if world == 1 else link,
                f"{1e3 * seconds:.2f}",
                f"{spoken / seconds:.0%}",
                f"{world * ROWS_PER_GPU / seconds:,.0f}",
                f"{base / seconds:.0%}",
            ]
        )
    note = (
        f"The same model for GPUs, with assumed figures ({ROWS_PER_GPU:,} rows a GPU, {GPU_MICROSECONDS:g} "
        f"µs a row and {1e3 * GPU_FIXED:g} ms a step on each): read the efficiencies, not the "
        "rows/s. An H200 took 24 to 40 ms for as many rows of a smaller network (One GPU); several GPUs were "
        "not measured."
    )
    header = ["GPUs", "reductions over", "ms a step", "share spent on them", "rows/s", "efficiency"]
    return f"{note}\n\n{grid(header, lines)}"
