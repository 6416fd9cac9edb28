"""Runs of real gloo groups: what each spawned process does, and what it leaves in files."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from safetensors.torch import save_file

from fingan.config import Config
from fingan.errors import CheckpointCorrupt, TrainingDiverged
from fingan.fitting import start
from fingan.networks import Batch
from fingan.preparation import Prepared
from fingan.training import Alone, Group, Reducer, Run, load_newest, rows
from tests.training.toys import Recorder, Tamper, Tampered, digest, weights_score

PARITY: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    # name → overrides, numbers of workers
    "default": ((), (2, 3, 4)),
    "exact": (("objective.penalty=exact",), (2,)),
    "wasserstein": (("objective.name=wasserstein_gp", "objective.discriminator_steps=2"), (3,)),
}
FP64, FP32 = ("compute.precision=fp64", "training.steps=100"), ("compute.precision=fp32", "training.steps=20")
STORED, STORED_WORLDS = {"fp64": (*FP64, "training.steps=60"), "fp32": FP32}, (2, 4)
"""How, and by how many workers, is trained on rows in files: two epochs and a half in fp64."""


def overridden(config: Config, overrides: tuple[str, ...]) -> Config:
    from fingan.config.loading import from_mapping, to_mapping

    return from_mapping(to_mapping(config), overrides)


def build(
    prepared: Prepared,
    overrides: tuple[str, ...],
    reducer: Reducer,
    tamper: Tamper | None = None,
    checkpoints: Path | None = None,
) -> Run:
    """One worker's run, scored by its weights instead of by a validation."""
    prepared = dataclasses.replace(prepared, config=overridden(prepared.config, overrides), validation=None)
    hooks = Recorder()
    run = start(prepared, reducer, hooks, checkpoints)
    hooks.run, run.validate = run, weights_score
    if tamper is not None:
        tampered: Any = Tampered(run.source, tamper)
        tampered.run = run
        run.source = tampered
        run.__post_init__()
    return run


def train_parity(prepared: Prepared, name: str, precision: tuple[str, ...], reducer: Reducer) -> Run:
    overrides, _ = PARITY[name]
    run = build(prepared, (*overrides, *precision), reducer)
    run.train()
    return run


def train_stored(streamed: Prepared, precision: tuple[str, ...], reducer: Reducer) -> Run:
    """A run on rows in files, whose windows are smaller than a shard."""
    with patch.object(rows, "WINDOW_ROWS", 20):
        run = build(streamed, precision, reducer)
    run.train()
    return run


def poison(rank: int, what: str, first: int, last: int = 1_000, attempts: int = 1) -> Tamper:
    """Spoil one worker's batch, weight or gradient at some steps of the first attempts."""

    def tamper(run: Run, batch: Batch, step: int, attempt: int) -> Batch:
        if run.reducer.rank != rank or not first <= step <= last or attempt >= attempts:
            return batch
        if what == "batch":
            batch.rows[0, 0] = math.nan
        elif what == "weight":
            next(run.state.generator.parameters()).data[0, 0] = math.nan
        else:
            handle = next(run.state.discriminator.parameters()).register_hook(lambda g: g * math.inf)
            run.hooks.handles.append(handle)  # type: ignore[attr-defined]
        return batch

    def cleaned(run: Run, batch: Batch, step: int, attempt: int) -> Batch:
        handles = vars(run.hooks).setdefault("handles", [])
        while handles:
            handles.pop().remove()
        return tamper(run, batch, step, attempt)

    return cleaned


def outcome(run: Run) -> dict[str, Any]:
    """What a run came to, for comparison between workers."""
    try:
        result = run.train()
        end = result.reason
    except (TrainingDiverged, CheckpointCorrupt) as error:
        end = f"{type(error).__name__}: {error}"
    return {
        "end": end,
        "progress": {k: v for k, v in dataclasses.asdict(run.state.progress).items() if k != "elapsed"},
        "tensors": digest(run.state.tensors()),
    }


SHORT = ("compute.precision=fp32", "training.steps=40", "checkpoint.every_steps=20", "training.validations=2")
SCENARIOS: dict[str, tuple[tuple[str, ...], Tamper]] = {
    "healthy": ((), lambda run, batch, step, attempt: batch),
    "batch": ((), poison(1, "batch", 30, 30)),
    "weight": ((), poison(1, "weight", 30, 30)),
    "gradient": ((), poison(1, "gradient", 30, 30)),
    "hopeless": (("health.max_rollbacks=2",), poison(1, "batch", 30, attempts=99)),
    "stop": (("health.on_nonfinite=stop",), poison(1, "batch", 30)),
}


def scenarios(prepared: Prepared, folder: Path, rank: int) -> None:
    """Two workers, one of which meets with misfortune; then resumption, then checkpoints apart."""
    found = {}
    for name, (overrides, tamper) in SCENARIOS.items():
        run = build(prepared, (*SHORT, *overrides), Group(), tamper)
        found[name] = outcome(run)
    shared = folder / "checkpoints"
    cut = build(prepared, (*SHORT, "health.on_nonfinite=stop"), Group(), poison(1, "batch", 30), shared)
    outcome(cut)
    dist.barrier()
    again = build(prepared, SHORT, Group(), None, shared)
    load_newest(shared, again.state)
    found["resumed"] = outcome(again)
    apart = build(prepared, SHORT, Group())
    if rank == 0:
        load_newest(shared, apart.state)
    found["apart"] = outcome(apart)
    (folder / f"scenarios-{rank}.json").write_text(json.dumps(found), encoding="utf-8")


def in_group(folder: Path, world: int, rank: int, work: Callable[[], None]) -> None:
    store = f"file://{folder}/store-{world}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    try:
        work()
    finally:
        dist.destroy_process_group()


def full_run(rank: int, prepared: Prepared, folder: Path) -> None:
    """One of two workers of a whole run with real validations."""
    torch.set_num_threads(1)

    def train() -> None:
        result = start(prepared, Group()).train()
        (folder / f"score-{rank}").write_text(repr(result.score), encoding="utf-8")

    in_group(folder, 2, rank, train)


def worker(rank: int, prepared: Prepared, streamed: Prepared, folder: Path) -> None:
    """Everything that one of four processes does, in groups of 2, 3 and 4."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)

    def save(run: Run, name: str) -> None:
        tensors = {k: v.contiguous() for k, v in run.state.tensors().items()}
        save_file(tensors, folder / f"{name}-{rank}.safetensors")

    def parity(world: int) -> None:
        for label, precision in (("fp64", FP64), ("fp32", FP32)):
            for name, (_, worlds) in PARITY.items():
                if world in worlds:
                    save(train_parity(prepared, name, precision, Group()), f"{name}-{label}-{world}")
            if world in STORED_WORLDS:
                save(train_stored(streamed, STORED[label], Group()), f"stored-{label}-{world}")

    for world in (2, 3, 4):
        if rank < world:
            in_group(folder, world, rank, lambda world=world: parity(world))  # type: ignore[misc]
    if rank < 2:
        in_group(folder / "again", 2, rank, lambda: scenarios(prepared, folder, rank))


def alone(prepared: Prepared, name: str, precision: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """The same run with one worker."""
    return train_parity(prepared, name, precision, Alone()).state.tensors()
