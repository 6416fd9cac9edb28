"""The training loop on Ray Train workers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchConfig, TorchTrainer

from fingan import errors
from fingan.cluster.runs import RunFolder
from fingan.cluster.worker import train_worker
from fingan.config import ComputeConfig
from fingan.errors import FinganError
from fingan.preparation import Prepared

MAX_FAILURES = 3
MOST_THREADS = 4
"""Beyond this the matrix products of a step are too small to share."""

RESIZE_SECONDS = 30.0
"""How often a run that lost workers looks for room to have them back."""


class _EmbeddedTrainer(TorchTrainer):
    """Ray's trainer without its cleaner of placement groups.

    The cleaner asks the dashboard, which an embedded Ray does not have, and costs seconds at
    both ends of a run. What it would clean ends with the embedded Ray.
    """

    def _create_default_callbacks(self) -> list[Any]:
        callbacks: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
        return [c for c in callbacks if type(c).__name__ != "PlacementGroupCleanerCallback"]


def threads_of(compute: ComputeConfig, *, local: bool) -> int:
    """Return the CPU threads of each worker.

    Unless given: the cores of this machine shared out where the workers run on it, at most
    `MOST_THREADS`; one on a cluster, whose nodes this machine cannot tell.
    """
    if compute.threads is not None:
        return compute.threads
    shared = (os.cpu_count() or 1) // max(1, compute.workers)
    return max(1, min(MOST_THREADS, shared)) if local else 1


def build_trainer(
    prepared: Prepared,
    folder: RunFolder,
    driver: str,
    *,
    local: bool,
    looks: tuple[float, ...] = (),
    until: float = 1.0,
) -> TorchTrainer:
    """Return the trainer of a run, which starts its workers again when some of them die.

    Args:
        prepared: the data; shared through Ray's object store.
        folder: of the run, on storage that all workers see.
        driver: this driver's word.
        local: whether the workers run on this machine, in an embedded Ray.
        looks, until: as of `training.Run`.
    """
    compute = prepared.config.compute
    threads = threads_of(compute, local=local)
    # On this machine more threads than cores are slow, but correct: Ray must not wait for cores.
    resources: dict[str, float] = {"CPU": 1 if local else threads}
    if compute.gpus_per_worker:
        resources["GPU"] = compute.gpus_per_worker
    fewest = compute.workers if compute.min_workers is None else compute.min_workers
    elastic = fewest < compute.workers
    loop: Callable[[dict[Any, Any]], Any] = train_worker
    return (_EmbeddedTrainer if local else TorchTrainer)(
        loop,
        train_loop_config={
            "prepared": ray.put(prepared),
            "folder": str(folder.path),
            "driver": driver,
            "threads": threads,
            "looks": looks,
            "until": until,
        },
        torch_config=TorchConfig(timeout_s=max(1, round(compute.timeout))),
        scaling_config=ScalingConfig(  # type: ignore[call-arg]  # annotated as the first version's
            num_workers=(fewest, compute.workers) if elastic else compute.workers,  # type: ignore[arg-type]
            use_gpu=compute.gpus_per_worker > 0,
            resources_per_worker=resources,
            elastic_resize_monitor_interval_s=RESIZE_SECONDS,
        ),
        run_config=RunConfig(
            name=folder.path.name,
            storage_path=str(folder.path / "ray"),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
        ),
    )


def fit(trainer: TorchTrainer) -> None:
    """Run a trainer to its end.

    Raises:
        FinganError: what a worker reported, or that workers failed again and again.
    """
    try:
        result: Any = trainer.fit()
    except TrainingFailedError as error:
        raise FinganError(f"training failed {MAX_FAILURES + 1} times: {_cause(error)}") from error
    raise_known(result.return_value)


def _cause(error: TrainingFailedError) -> str:
    """Return the first worker's error, or the error itself, in one line."""
    failures = getattr(error, "worker_failures", {})
    first = next(iter(failures.values()), error)
    lines = str(first).strip().splitlines()
    return f"{type(first).__name__}: {lines[-1]}" if lines else type(first).__name__


def raise_known(found: object) -> None:
    """Raise the error that a worker returned or noted, if any."""
    if isinstance(found, dict) and "error" in found:
        kind = getattr(errors, found["error"], None)
        if isinstance(kind, type) and issubclass(kind, FinganError):
            raise kind(found["message"])
        raise FinganError(f"{found['error']}: {found['message']}")
