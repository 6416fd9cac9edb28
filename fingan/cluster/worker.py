"""What every Ray Train worker runs: the same loop as in a single process."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from safetensors import SafetensorError

from fingan.cluster.runs import RunFolder
from fingan.errors import FinganError, TrainingDiverged
from fingan.fitting import start
from fingan.networks import keep_freed_memory
from fingan.training import Alone, Group, Reducer, Run, Update, load_newest

log = logging.getLogger(__name__)


class FolderHooks:
    """Writes progress into the run's folder and looks there for a request to stop.

    Args:
        folder: of the run.
        driver: word of the driver that started this worker.
    """

    def __init__(self, folder: RunFolder, driver: str) -> None:
        self._folder, self._driver = folder, driver

    def on_update(self, update: Update) -> None:
        """Append the update to the run's progress."""
        try:
            self._folder.append(update)
        except OSError as error:
            log.warning("cannot write progress to %s: %s", self._folder.progress, error)

    def on_checkpoint(self, path: Path | None, update: Update) -> None:
        """Nothing more to do: the checkpoint is in the folder."""

    def should_stop(self) -> bool:
        """Whether a stop was requested.

        Raises:
            FinganError: the run was resumed by another driver; two must not write its checkpoints.
        """
        if (now := self._folder.driver()) and now != self._driver:
            raise FinganError(f"the run in {self._folder.path} was taken over by another driver")
        return self._folder.stop.exists()


class RayHooks(FolderHooks):
    """The same, and tells Ray Train of each checkpoint."""

    def on_checkpoint(self, path: Path | None, update: Update) -> None:
        """Report to Ray; every rank does, because a report is a barrier."""
        score = float("nan") if update.best is None else update.best
        metrics = {"step": update.step, "score": score, "rows_per_second": update.rows_per_second}
        ray.train.report(metrics)


def train_worker(settings: dict[str, Any]) -> dict[str, str]:
    """Run the training loop on one worker.

    Checkpoints are fingan's own, in the run's folder, whole or absent; after a failure Ray
    starts the workers again and they continue from the newest valid one.

    An error that every worker meets alike, while they train, is returned. One that may strike a
    single worker is noted in the folder and raised, because the others wait for this one: Ray stops
    them all, and when it starts them again they find the note and end.

    Returns:
        An empty object, or `error` and `message` of an error that a retry cannot mend.
    """
    torch.set_num_threads(settings["threads"])
    keep_freed_memory()
    folder = RunFolder(Path(settings["folder"]))
    if known := folder.error():
        return known
    rank = ray.train.get_context().get_world_rank()
    try:
        result = _build(settings, folder).train()
        if rank == 0:
            folder.save_result(result)
    except TrainingDiverged as error:
        return {"error": type(error).__name__, "message": str(error)}
    except (FinganError, OSError, SafetensorError) as error:
        if folder.driver() in ("", settings["driver"]):
            folder.save_error(error)
        raise
    return {}


def _build(settings: dict[str, Any], folder: RunFolder) -> Run:
    """Build this worker's run, and continue from the newest checkpoint if there is one."""
    if not (folder.path / "run.json").exists():
        raise FinganError(
            f"the run's folder {folder.path} is not to be seen on the node of a worker; "
            "name a --registry (or FINGAN_RUNS) on storage that all nodes share"
        )
    reducer: Reducer = Group() if ray.train.get_context().get_world_size() > 1 else Alone()
    prepared = ray.get(settings["prepared"])
    device = ray.train.torch.get_device()
    run = start(prepared, reducer, RayHooks(folder, settings["driver"]), folder.checkpoints, device)
    run.looks, run.until = settings["looks"], settings["until"]
    path, _ = load_newest(folder.checkpoints, run.state)
    if path is not None:
        log.info("continuing from %s", path)
    if reducer.rank == 0:
        run.restarts = folder.count_start(reducer.world, run.state.progress.step)
    return run
