"""`fingan train`: prepare on the driver, run the loop on Ray Train workers, publish the best."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchTrainer
from safetensors import SafetensorError

from fingan import errors
from fingan.cluster.runs import RunFolder, read_updates, runs_root
from fingan.cluster.session import ray_session
from fingan.cluster.worker import FolderHooks, train_worker
from fingan.config import ComputeConfig, Config, from_mapping, to_mapping
from fingan.data import data_name
from fingan.errors import ConfigError, FinganError
from fingan.fitting import Prepared, finish, prepare, start
from fingan.generator import Generator
from fingan.registry import Registry, check_name
from fingan.training import Update, load_newest
from fingan.types import Json

MAX_FAILURES = 3
MOST_THREADS = 4
"""Beyond this the matrix products of a step are too small to share."""
POLL_SECONDS = 0.25
OnUpdate = Callable[[Update], None]
OnStage = Callable[[str], None]


@dataclass(frozen=True)
class Trained:
    """What `train` leaves.

    Attributes:
        name, version: where it was published.
        generator: the published generator.
        interrupted: whether it was stopped before its end.
        folder: the run's folder.
    """

    name: str
    version: int
    generator: Generator
    interrupted: bool
    folder: Path


def train(
    source: object,
    config: Config,
    registry: str | Path = "registry",
    name: str | None = None,
    resume: bool = False,
    on_update: OnUpdate | None = None,
    on_stage: OnStage | None = None,
) -> Trained:
    """Train a generator on `compute.workers` Ray Train workers and publish it.

    Ctrl-C (KeyboardInterrupt in the calling thread) stops the workers after their current
    window and publishes the best generator so far; the run can be resumed. A second one leaves
    at once and publishes nothing, as does one before the first step.

    Args:
        source: the table, in any form that `read_table` takes.
        config: of the run; `compute.workers: 0` trains in this process, without Ray.
        registry: directory or URL to publish to.
        name: the model's name; the data file's stem otherwise.
        resume: continue the newest unfinished run of that name, with its own configuration;
            of `config` only `compute` counts.
        on_update: called with live progress, in the calling thread.
        on_stage: called with the name of each stage as it begins.

    Raises:
        ConfigError, DataError: before any work, for what does not fit.
        NotFound: nothing to resume.
        TrainingDiverged: training stayed unhealthy.
        FinganError: workers failed again and again.
    """
    say = _ignore if on_stage is None else on_stage
    name = check_name(data_name(source) if name is None else name)
    store, root = Registry(registry), runs_root(registry)
    folder = RunFolder.newest_unfinished(root, name) if resume else None
    if folder is not None:
        say(f"continuing the run in {folder.path} with its own configuration")
        own = to_mapping(folder.config())
        config = from_mapping({**own, "compute": to_mapping(config)["compute"]})
    say("reading and encoding")
    prepared = prepare(source, config)
    facts = _facts(prepared)
    if folder is None:
        folder = RunFolder.create(root, name, config, facts)
    elif folder.read().get("data") != facts:
        raise ConfigError(
            f"the unfinished run of {name!r} was started on other data; resume it with the same table"
        )
    with folder.held():
        return _train_in(folder, prepared, store, name, on_update, say)


def _ignore(stage: str) -> None:
    """Say nothing."""


def _facts(prepared: Prepared) -> Json:
    """Return what tells tables apart: their schema, and a digest of what training sees of the rows."""
    digest = hashlib.sha256()
    for array in (prepared.encoded.lower, prepared.encoded.width, prepared.encoded.codes):
        digest.update(array.tobytes())
    return {
        "rows": prepared.rows,
        "schema": prepared.schema.fingerprint(),
        "encoded": digest.hexdigest(),
    }


def _train_in(
    folder: RunFolder,
    prepared: Prepared,
    store: Registry,
    name: str,
    on_update: OnUpdate | None,
    say: OnStage,
) -> Trained:
    try:
        folder.renew()
        asked = _run(prepared, folder, on_update, say)
        result = folder.load_result()
        if result.steps == 0:
            # Stopped before the first step: an untrained network is nobody's best so far.
            raise KeyboardInterrupt
        say("calibrating and publishing")
        generator = finish(prepared, result)
        version = _publish(generator, store, name)
    except BaseException as error:
        folder.abandon("interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
        raise
    stopped = result.reason == "interrupted"
    folder.note(status="interrupted" if stopped else "finished", version=version)
    if not stopped:
        folder.clear_state()
    return Trained(name, version, generator, asked or stopped, folder.path)


def _publish(generator: Generator, store: Registry, name: str) -> int:
    draft = Path(tempfile.mkdtemp(prefix="fingan-"))
    try:
        generator.save(draft / "bundle")
        return store.publish(name, draft / "bundle")
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _run(prepared: Prepared, folder: RunFolder, on_update: OnUpdate | None, say: OnStage) -> bool:
    """Train, following the progress; return whether the user interrupted."""
    compute = prepared.config.compute
    if compute.workers == 0:
        return _run_here(prepared, folder, on_update, say)
    say("starting Ray")
    with ray_session(compute.workers, compute.gpus_per_worker) as own:
        trainer = _trainer(prepared, folder, _EmbeddedTrainer if own else TorchTrainer)
        outcome = _InThread(trainer.fit)
        say("starting workers")
        interrupted = _follow(outcome, folder, on_update, say)
        _raise_known(folder.error())
        try:
            result: Any = outcome.value()
        except TrainingFailedError as error:
            raise FinganError(f"training failed {MAX_FAILURES + 1} times: {_cause(error)}") from error
    _raise_known(result.return_value)
    return interrupted


def _run_here(prepared: Prepared, folder: RunFolder, on_update: OnUpdate | None, say: OnStage) -> bool:
    run = start(prepared, hooks=FolderHooks(folder), checkpoints=folder.checkpoints)
    load_newest(folder.checkpoints, run.state)
    say("training")
    outcome = _InThread(lambda: folder.save_result(run.train()))
    interrupted = _follow(outcome, folder, on_update, say)
    try:
        outcome.value()
    except SafetensorError as error:
        raise FinganError(f"cannot write in {folder.path}: {error}") from error
    return interrupted


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


def _trainer(prepared: Prepared, folder: RunFolder, kind: type[TorchTrainer]) -> TorchTrainer:
    compute = prepared.config.compute
    local = kind is _EmbeddedTrainer
    threads = threads_of(compute, local=local)
    # On this machine more threads than cores are slow, but correct: Ray must not wait for cores.
    resources: dict[str, float] = {"CPU": 1 if local else threads}
    if compute.gpus_per_worker:
        resources["GPU"] = compute.gpus_per_worker
    loop: Callable[[dict[Any, Any]], Any] = train_worker
    return kind(
        loop,
        train_loop_config={"prepared": ray.put(prepared), "folder": str(folder.path), "threads": threads},
        scaling_config=ScalingConfig(
            num_workers=compute.workers,
            use_gpu=compute.gpus_per_worker > 0,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name=folder.path.name,
            storage_path=str(folder.path / "ray"),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
        ),
    )


class _InThread:
    """Runs a function beside the calling thread, which stays free for Ctrl-C and progress."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._value: object = None
        self._error: BaseException | None = None
        # Not `join`: in Python 3.11 a Ctrl-C in it takes the running thread for a finished one.
        self._over = threading.Event()
        threading.Thread(target=self._call, args=(function,), daemon=True).start()

    def _call(self, function: Callable[[], object]) -> None:
        try:
            self._value = function()
        except BaseException as error:
            self._error = error
        finally:
            self._over.set()

    def wait(self, seconds: float) -> bool:
        """Wait that long at most; return whether it is over."""
        return self._over.wait(seconds)

    def value(self) -> object:
        """Return the function's value, or raise its error."""
        if self._error is not None:
            raise self._error
        return self._value


def _follow(outcome: _InThread, folder: RunFolder, on_update: OnUpdate | None, say: OnStage) -> bool:
    """Pass progress on until the run is over; the first Ctrl-C asks it to stop, the second leaves."""
    interrupted, over = False, False
    offset = folder.progress.stat().st_size if folder.progress.exists() else 0
    while not over:
        try:
            over = outcome.wait(POLL_SECONDS)
            updates, offset = read_updates(folder.progress, offset)
            if on_update is not None:
                for update in updates:
                    on_update(update)
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            folder.stop.touch()
            say("stopping and keeping the best so far; Ctrl-C again leaves at once")
    return interrupted


def _cause(error: TrainingFailedError) -> str:
    """Return the first worker's error, or the error itself, in one line."""
    failures = getattr(error, "worker_failures", {})
    first = next(iter(failures.values()), error)
    lines = str(first).strip().splitlines()
    return f"{type(first).__name__}: {lines[-1]}" if lines else type(first).__name__


def _raise_known(found: object) -> None:
    """Raise the error that a worker returned or noted, if any."""
    if isinstance(found, dict) and "error" in found:
        kind = getattr(errors, found["error"], None)
        if isinstance(kind, type) and issubclass(kind, FinganError):
            raise kind(found["message"])
        raise FinganError(f"{found['error']}: {found['message']}")
