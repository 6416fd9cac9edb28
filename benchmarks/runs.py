"""Training runs as the benchmarks need them: through Ray as a user has them, or alone by CPU time."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psutil
import pyarrow as pa
import torch

from fingan import cluster
from fingan.cli.options import configuration
from fingan.config import Config
from fingan.fitting import finish, start, uses_bf16
from fingan.generator import Generator
from fingan.preparation import prepare
from fingan.training import TrainResult

LOOK_SECONDS = 0.5

PRECISIONS = ("bf16", "fp32")


def precisions() -> tuple[str, ...]:
    """Return the default's here, and what to time beside it: bf16 only where it is multiplied natively."""
    return PRECISIONS if uses_bf16(Config(), torch.device("cpu")) else ("fp32",)


def settings(target: str, sets: Sequence[str] = (), **given: Any) -> Config:
    """Return the default configuration with overrides.

    Args:
        target: label column.
        sets: `section.key=value` texts, as after `--set`.
        given: values by key, `__` for the dot; they win over `sets`.
    """
    return configuration(None, list(sets), data__target=target, **given)


class Meter:
    """CPU-seconds of this process and of all below it, seen by looking at them twice a second.

    What a process uses after the last look at it is missed: at most half a second of each.
    """

    def __enter__(self) -> Self:
        self._seen: dict[tuple[int, float], float] = {}
        self._over = threading.Event()
        self._look()
        self._before = sum(self._seen.values())
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._look()

    @property
    def cpu_seconds(self) -> float:
        """CPU-seconds between entry and now (or exit)."""
        return sum(self._seen.values()) - self._before

    def _watch(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        own = psutil.Process()
        for process in [own, *own.children(recursive=True)]:
            try:
                times = process.cpu_times()
                self._seen[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:
                continue


@dataclass(frozen=True)
class Trained:
    """A generator and what it cost.

    Attributes:
        generator: calibrated, ready to sample.
        training: what the run says of itself: steps, seconds, rows per second, score.
        wall_seconds, cpu_seconds: from the table to the generator, start of Ray included.
    """

    generator: Generator
    training: dict[str, Any]
    wall_seconds: float
    cpu_seconds: float

    def cost(self) -> dict[str, Any]:
        """Return the cost as a result holds it."""
        seconds = {"wall_seconds": round(self.wall_seconds, 1), "cpu_seconds": round(self.cpu_seconds, 1)}
        return {"training": self.training, **seconds}


def train_by_ray(table: pa.Table, config: Config) -> Trained:
    """Train as `fingan train` does, on `compute.workers` workers."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as registry, Meter() as meter:
        generator = cluster.train(table, config, registry, "benchmark").generator
    training = generator.metrics["training"]
    return Trained(generator, training, time.monotonic() - started, meter.cpu_seconds)


def train_alone(table: pa.Table, config: Config) -> tuple[Generator, TrainResult]:
    """Train in this process on one thread; the time budget is counted in CPU-seconds, not by the clock."""
    torch.set_num_threads(1)
    prepared = prepare(table, config)
    run = start(prepared)
    run.clock = time.process_time
    result = run.train()
    return finish(prepared, result), result
