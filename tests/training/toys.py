"""A small encoded table, and runs on it that a test can tamper with."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fingan.config import Config
from fingan.config.loading import from_mapping
from fingan.encoding.layout import Layout
from fingan.encoding.table import EncodedTable
from fingan.networks import Batch
from fingan.training import (
    Alone,
    BatchSource,
    Conditioning,
    Reducer,
    Run,
    Silent,
    TrainState,
    Update,
    new_state,
)
from fingan.training.state import Tensors

NONE = np.zeros(0)
WIDTHS = (2, 5, 3)
LAYOUT = Layout(
    numeric=3,
    widths=WIDTHS,
    units=5,
    unit_of_field=(0, 1, 1, 2, 3, 4),
    edges=(np.array([0.0, 0.2]), NONE, NONE),
    pairs=((0, 2),),
)
LABEL_FIELD, LABEL_UNIT = 0, 2
CONDITIONING = Conditioning(
    eligible=torch.ones(5, dtype=torch.bool),
    favoured=torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]),
    label=LABEL_FIELD,
    label_unit=LABEL_UNIT,
)
FREE = Conditioning(eligible=torch.zeros(5, dtype=torch.bool), favoured=torch.zeros(5))
SMALL = (
    "network.width=32",
    "network.blocks=1",
    "network.noise=8",
    "network.knots=8",
    "training.batch_size=62",
    "training.time_budget=null",
    "training.steps=60",
    "compute.precision=fp64",
    "conditioning.unconditional_share=0.5",
)
CPU = torch.device("cpu")


def settings(*overrides: str) -> Config:
    """A small configuration: 60 steps of 62 rows in fp64 unless overridden."""
    return from_mapping({}, [*SMALL, *overrides])


def table(rows: int = 400, seed: int = 0) -> EncodedTable:
    """Dependent fields; code 1 of the first category is a label with 3 % of the rows."""
    draw = np.random.default_rng(seed)
    label = (np.arange(rows) % 33 == 0).astype(np.int32)
    middle = np.clip(0.5 + 0.3 * label + 0.12 * draw.standard_normal(rows), 0.01, 0.98)
    atom = draw.random(rows) < 0.2
    lower = np.stack([np.where(atom, 0.0, 0.2 + 0.8 * middle), middle, 1 - middle], axis=1)
    width = np.stack([np.where(atom, 0.2, 0.0), np.full(rows, 0.01), np.full(rows, 0.01)], axis=1)
    codes = np.stack([label, draw.integers(0, 5, rows), (3 * middle).astype(int) % 3], axis=1)
    return EncodedTable(lower.astype(np.float32), width.astype(np.float32), codes.astype(np.int32))


def keyed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_source(
    config: Config, conditioning: Conditioning = CONDITIONING, rank: int = 0, world: int = 1
) -> BatchSource:
    """The batches of `table` for one worker, in the configured precision."""
    dtype = torch.float64 if config.compute.precision == "fp64" else torch.float32
    return BatchSource(table(), LAYOUT, config, conditioning, rank, world, CPU, dtype)


def make_state(config: Config) -> TrainState:
    dtype = torch.float64 if config.compute.precision == "fp64" else torch.float32
    shares = [np.bincount(c, minlength=w) / len(c) for c, w in zip(table().codes.T, WIDTHS, strict=True)]
    return new_state(LAYOUT, config, CPU, dtype, shares)


class Recorder(Silent):
    """Keeps what it is told; asks to stop at a step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.updates: list[Update] = []
        self.saved: list[Path | None] = []
        self.stop_at = stop_at
        self.run: Run | None = None

    def on_update(self, update: Update) -> None:
        self.updates.append(update)

    def on_checkpoint(self, path: Path | None, update: Update) -> None:
        self.saved.append(path)

    def should_stop(self) -> bool:
        return (
            self.stop_at is not None and self.run is not None and self.run.state.progress.step >= self.stop_at
        )

    @property
    def events(self) -> list[str]:
        return [u.event for u in self.updates if u.event]


Tamper = Callable[[Run, Batch, int, int], Batch]
"""Run, batch, step, attempt → the batch that is used instead."""


class Tampered:
    """A batch source with a saboteur between it and the run."""

    def __init__(self, source: BatchSource, tamper: Tamper) -> None:
        self._source, self._tamper = source, tamper
        self.run: Run | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def batch(self, step: int, part: int = 0, attempt: int = 0) -> Batch:
        assert self.run is not None
        return self._tamper(self.run, self._source.batch(step, part, attempt), step, attempt)


def make_run(
    config: Config,
    *,
    hooks: Recorder | None = None,
    reducer: Reducer | None = None,
    validate: Callable[[nn.Module], float] | None = None,
    tamper: Tamper | None = None,
    conditioning: Conditioning = CONDITIONING,
    **more: Any,
) -> Run:
    """A run on `table` that nothing outside the test influences."""
    reducer = Alone() if reducer is None else reducer
    source: Any = make_source(config, conditioning, reducer.rank, reducer.world)
    if tamper is not None:
        source = Tampered(source, tamper)
    hooks = Recorder() if hooks is None else hooks
    run = Run(config, make_state(config), source, reducer, validate, hooks, **more)
    hooks.run = run
    if tamper is not None:
        source.run = run
    return run


def weights_score(network: nn.Module) -> float:
    """A score that depends on every weight, as a validation's does."""
    return float(sum(p.detach().double().sin().mean() for p in network.parameters()))


def digest(tensors: Tensors) -> str:
    """SHA-256 over names, types and bytes."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().contiguous()
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.numpy().tobytes())
    return total.hexdigest()


def best_of(result):
    return digest(result.weights)


def nan_batch(run, batch: Batch, step, attempt) -> Batch:
    if step == 30 and attempt == 0:
        batch.rows[0, 0] = math.nan
    return batch


def collapse(run, batch: Batch, step, attempt) -> Batch:
    for layer in run.state.generator.trunk.last.values():
        layer.weight.data.zero_()
        layer.bias.data.zero_()
    first = torch.tensor([0, 2, 7])
    run.state.generator.trunk.last["codes"].bias.data[first] = 50.0
    return batch
