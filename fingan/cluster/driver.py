"""`fingan train`: prepare on the driver, run the loop on Ray Train workers, publish the best."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from safetensors import SafetensorError

from fingan.cluster.address import Address
from fingan.cluster.following import InThread, follow
from fingan.cluster.lease import Lease, leased
from fingan.cluster.runs import (
    RunFolder,
    going_on,
    read_updates,
    remove_rows,
    rows_of,
    runs_root,
    told_apart,
)
from fingan.cluster.session import Session, ray_session
from fingan.cluster.tracking import Tracker, told, tracked
from fingan.cluster.trainer import build_trainer, fit, raise_known
from fingan.cluster.worker import FolderHooks
from fingan.config import ComputeConfig, Config, to_mapping
from fingan.data import data_name
from fingan.encoding.table import EncodedTable
from fingan.errors import ConfigError, FinganError
from fingan.fitting import finish, start, train_here
from fingan.generator import Generator
from fingan.ingest import Item, Result, in_turn
from fingan.preparation import Prepared, prepare
from fingan.registry import Registry, check_name
from fingan.training import TrainResult, Update, load_newest
from fingan.types import Json

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
    address: str | None = None,
    allow_open_dashboard: bool = False,
    facts: Json | None = None,
    purpose: str | None = None,
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
            of `config` only `compute` counts, but for its precision.
        on_update: called with live progress, in the calling thread.
        on_stage: called with the name of each stage as it begins.
        address: `auto` or `host:port` of a running Ray; None starts one on this machine.
        allow_open_dashboard: accept a Ray whose dashboard asks for no token.
        facts: what the published bundle tells besides, such as the search that chose the settings.
        purpose: what the run is for; with one, `resume` continues no run for anything else.

    Raises:
        ConfigError, DataError: before any work, for what does not fit.
        UserError: a run of that name is still going on.
        NotFound: nothing to resume.
        TrainingDiverged: training stayed unhealthy.
        FinganError: workers failed again and again.
    """
    name = check_name(data_name(source) if name is None else name)
    job = _Job(
        name=name,
        store=Registry(registry),
        root=runs_root(registry),
        registry=told_apart(registry),
        on_update=_ignore if on_update is None else on_update,
        say=_ignore if on_stage is None else on_stage,
        ray=_Ray(config.compute, None if address is None else Address(address), allow_open_dashboard),
        facts=facts or {},
        purpose=purpose,
    )
    with job.ray, leased(job.root / name / "lease.json", name) as lease:
        return job.train(source, config, resume, lease)


def _ignore(_: object) -> None:
    """Say nothing."""


class _Ray(ExitStack):
    """The Ray of a run, started or joined when it is first needed."""

    def __init__(self, compute: ComputeConfig, address: Address | None, allow_open: bool) -> None:
        super().__init__()
        self._given = compute, address, allow_open
        self._session: Session | None = None

    def session(self) -> Session:
        """Return the connected Ray."""
        if self._session is None:
            self._session = self.enter_context(ray_session(*self._given))
        return self._session

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Apply a function to all items on the workers' machines, or here where there are no workers."""
        compute, _, _ = self._given
        return self.session().each(function, items) if compute.workers else in_turn(function, items)


@dataclass(frozen=True)
class _Job:
    """One call of `train`."""

    name: str
    store: Registry
    root: Path
    registry: str | None
    on_update: OnUpdate
    say: OnStage
    ray: _Ray
    facts: Json
    purpose: str | None

    def train(self, source: object, config: Config, resume: bool, lease: Lease) -> Trained:
        """Prepare the data, find or make the run's folder, and train in it."""
        folder = self._unfinished() if resume else None
        if folder is not None:
            self.say(f"continuing the run in {folder.path} with its own configuration")
            config = going_on(to_mapping(folder.config()), config)
        self.say("reading and encoding")
        prepared = prepare(source, config, rows_of(self.root, self.name), self.ray.each)
        facts = facts_of(prepared)
        if folder is None:
            folder = RunFolder.create(self.root, self.name, config, facts, self.registry, self.purpose)
        elif folder.read().get("data") != facts:
            raise ConfigError(
                f"the unfinished run of {self.name!r} was started on other data; "
                "resume it with the same table"
            )
        return self._train_in(folder, prepared, lease)

    def _unfinished(self) -> RunFolder:
        return RunFolder.newest_unfinished(self.root, self.name, self.registry, self.purpose)

    def _train_in(self, folder: RunFolder, prepared: Prepared, lease: Lease) -> Trained:
        driver: str | None = None
        try:
            driver = folder.renew()
            asked = self._run(prepared, folder, driver, lease)
            self.ray.close()
            result = folder.load_result()
            if result.steps == 0:
                # Stopped before the first step: an untrained network is nobody's best so far.
                raise KeyboardInterrupt
            generator, asked = self._finish(prepared, result, folder, driver, lease, asked)
            version = _publish(generator, self.store, self.name)
        except BaseException as error:
            folder.abandon("interrupted" if isinstance(error, KeyboardInterrupt) else "failed", driver)
            raise
        # Asked after training, it has cut short nothing but the networks of rare classes.
        stopped = result.reason == "interrupted" or (asked and bool(prepared.rare))
        if folder.driver() == driver:
            self._close(folder, version, stopped)
        return Trained(self.name, version, generator, asked or stopped, folder.path)

    def _close(self, folder: RunFolder, version: int, stopped: bool) -> None:
        folder.note(status="interrupted" if stopped else "finished", version=version)
        if not stopped:
            folder.clear_state()
            remove_rows(self.root, self.name)

    def _run(self, prepared: Prepared, folder: RunFolder, driver: str, lease: Lease) -> bool:
        """Train, following the progress; return whether the user interrupted."""
        if prepared.config.compute.workers:
            self.say("starting Ray")
            self.ray.session()
        # Before the work begins: nothing between its beginning and its being followed may fail.
        with tracked(folder, self.name) as listening:
            progress = _Progress(folder, lease, self.on_update, listening)
            work = self._begin(prepared, folder, driver)
            interrupted = follow(work, progress, self._stopper(folder, driver))
            raise_known(folder.error())
            work.value()
        return interrupted

    def _begin(self, prepared: Prepared, folder: RunFolder, driver: str) -> InThread:
        if prepared.config.compute.workers == 0:
            self.say("training")
            return _run_here(prepared, folder, driver)
        trainer = build_trainer(prepared, folder, driver, local=self.ray.session().own)
        self.say("starting workers")
        return InThread(lambda: fit(trainer))

    def _finish(
        self,
        prepared: Prepared,
        result: TrainResult,
        folder: RunFolder,
        driver: str,
        lease: Lease,
        asked: bool,
    ) -> tuple[Generator, bool]:
        """Return what the weights make, and whether the user interrupted, now or before (`asked`)."""
        rare = 0 if result.reason == "interrupted" else len(prepared.rare)
        first = f"training {rare} small network(s) of rare classes, then " if rare else ""
        self.say(f"{first}calibrating and publishing")
        hooks = FolderHooks(folder, driver)
        work = InThread(lambda: finish(prepared, result, hooks))
        asked = follow(work, lease.check, self._stopper(folder, driver), asked)
        return _telling(cast(Generator, work.value()), self.facts), asked

    def _stopper(self, folder: RunFolder, driver: str) -> Callable[[], None]:
        def stop() -> None:
            # The workers of a driver that took the run over are not ours to stop.
            if folder.driver() == driver:
                folder.stop.touch()
            self.say("stopping and keeping the best so far; Ctrl-C again leaves at once")

        return stop


class _Progress:
    """Passes on what a run has written since the last look."""

    def __init__(
        self, folder: RunFolder, lease: Lease, on_update: OnUpdate, listening: list[Tracker]
    ) -> None:
        self._folder, self._lease, self._on_update, self._told = folder, lease, on_update, listening
        self._offset = folder.progress.stat().st_size if folder.progress.exists() else 0

    def __call__(self) -> None:
        """Look once."""
        self._lease.check()
        updates, self._offset = read_updates(self._folder.progress, self._offset)
        for update in updates:
            self._told = [tracker for tracker in self._told if told(tracker, update)]
            self._on_update(update)


def _run_here(prepared: Prepared, folder: RunFolder, driver: str) -> InThread:
    run = start(prepared, hooks=FolderHooks(folder, driver), checkpoints=folder.checkpoints)
    load_newest(folder.checkpoints, run.state)

    def work() -> None:
        try:
            folder.save_result(train_here(run))
        except SafetensorError as error:
            raise FinganError(f"cannot write in {folder.path}: {error}") from error

    return InThread(work)


def facts_of(prepared: Prepared) -> Json:
    """Return what tells tables apart: their schema, and a digest of what training sees of the rows."""
    encoded = prepared.encoded
    if isinstance(encoded, EncodedTable):
        digest = hashlib.sha256()
        for array in (encoded.lower, encoded.width, encoded.codes):
            digest.update(array.tobytes())
        seen = digest.hexdigest()
    else:
        seen = encoded.folder.name
    return {"rows": prepared.rows, "schema": prepared.schema.fingerprint(), "encoded": seen}


def _telling(generator: Generator, facts: Json) -> Generator:
    return replace(generator, metrics={**generator.metrics, **facts})


def publish_run(prepared: Prepared, folder: RunFolder, store: Registry, name: str, facts: Json) -> int:
    """Publish what a run left, as the next version of a name; return the version.

    Args:
        prepared: the data, with the run's own configuration.
        folder: of the run.
        store: where to.
        name: of the model.
        facts: what the bundle tells besides.
    """
    return _publish(_telling(finish(prepared, folder.load_result()), facts), store, name)


def _publish(generator: Generator, store: Registry, name: str) -> int:
    draft = Path(tempfile.mkdtemp(prefix="fingan-"))
    try:
        generator.save(draft / "bundle")
        return store.publish(name, draft / "bundle")
    finally:
        shutil.rmtree(draft, ignore_errors=True)
