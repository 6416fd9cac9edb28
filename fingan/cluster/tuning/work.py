"""The trials of a search, from the first setting to the finalists' last seed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray

from fingan.cluster.address import Address
from fingan.cluster.following import InThread, follow
from fingan.cluster.lease import Lease
from fingan.cluster.session import ray_session
from fingan.cluster.tuning.ledger import SearchFolder
from fingan.cluster.tuning.population import MembersSearcher, Population
from fingan.cluster.tuning.schedulers import looks_of, scheduler_of
from fingan.cluster.tuning.searchers import FinalsSearcher, StudySearcher
from fingan.cluster.tuning.stages import Need, Stage, concurrency_of, need_of, run_stage
from fingan.cluster.tuning.trial import Order
from fingan.config import Config, to_mapping
from fingan.errors import FinganError
from fingan.files import atomic_write_bytes
from fingan.preparation import Prepared
from fingan.search import Finalist, Params, Record, SearchSpace, Trial, write_record
from fingan.search.finals import candidates, standing
from fingan.search.page import render
from fingan.search.ranking import reliable
from fingan.search.record import ENDED
from fingan.search.study import Study
from fingan.training import Update

HOPELESS = 5
"""So many trials that all fail tell of the data or the space, not of a setting."""

LOOK_SECONDS = 1.0
"""Between two looks at the trials' folders."""


@dataclass(frozen=True)
class Listener:
    """Whom to tell.

    Attributes:
        on_trials: of all trials as they stand, again and again.
        on_stage: of each stage as it begins.
        on_update: of the winner's training.
        on_folder: of the search's folder, where record and page will be.
    """

    on_trials: Callable[[list[Trial]], None] = lambda trials: None
    on_stage: Callable[[str], None] = lambda name: None
    on_update: Callable[[Update], None] = lambda update: None
    on_folder: Callable[[Path], None] = lambda folder: None


@dataclass
class Work:
    """The trials of a search, and what is known of it so far.

    Attributes:
        name: of the model.
        folder: of the search.
        space: what varies.
        listener: whom to tell.
        lease: held by this driver.
        address: of a running Ray; None starts one on this machine.
        allow_open: accept a Ray whose dashboard asks for no token.
        started, before: seconds; when this driver began, and what earlier ones took.
        study: what has been learned; None before the first trial.
    """

    name: str
    folder: SearchFolder
    space: SearchSpace
    listener: Listener
    lease: Lease
    address: Address | None
    allow_open: bool
    started: float
    before: float
    study: Study | None = None
    looked: float = 0.0
    hopeless: bool = False

    def search(self, prepared: Prepared, first: Sequence[Params]) -> bool:
        """Run all trials that are not yet over; return whether the user interrupted."""
        config = self.space.base
        local = self.address is None
        need = need_of(config.compute, local=local)
        with ExitStack() as stack:
            self.listener.on_stage("starting Ray")
            room = _room(config, need)
            stack.enter_context(ray_session(room, self.address, self.allow_open))
            total = ray.cluster_resources()
            cpus, gpus = (total.get(kind, 0.0) for kind in ("CPU", "GPU"))
            at_a_time = concurrency_of(config.tune, need, cpus, gpus, local=local)
            looks = looks_of(config.tune)
            order = Order(self.folder.path, self.folder.renew(), self.space, looks, local)
            data = ray.put(prepared)

            def run(stage: Stage, order: Order) -> bool:
                return self._follow(lambda: run_stage(stage, order, data, need, at_a_time))

            self.listener.on_stage(f"trying {config.tune.trials} settings, {at_a_time} at a time")
            if self._try_all(first, order, run):
                return True
            self._refuse_hopeless()
            self.listener.on_stage("repeating the best settings over seeds")
            return run(self._repeating(), replace(order, looks=(1.0,)))

    def _try_all(self, first: Sequence[Params], order: Order, run: Callable[[Stage, Order], bool]) -> bool:
        """Run the trials of the search; return whether the user interrupted."""
        self.study = Study(self.space, self.space.base.seed)
        if self.space.base.tune.scheduler != "population":
            return run(self._trying(first), order)
        population = Population(self.folder, self.space)
        population.begin(self.study, first)
        for look, share in enumerate(order.looks, start=1):
            members = MembersSearcher(self.folder, population.pending(share))
            stage = Stage("search", members, scheduler_of(self.space, []), self._over)
            if run(stage, replace(order, until=share)):
                return True
            if self._over():
                break
            if share < 1.0:
                population.move(look)
        for trial in self.folder.trials("search"):
            if trial.status in ENDED:
                self.study.tell(trial)
        return False

    def _trying(self, first: Sequence[Params]) -> Stage:
        self.study = self.study or Study(self.space, self.space.base.seed)
        searcher = StudySearcher(self.folder, self.space, self.study, first)
        scheduler = scheduler_of(self.space, self.folder.trials("search"), self.folder)
        return Stage("search", searcher, scheduler, self._over)

    def _repeating(self) -> Stage:
        config = self.space.base.tune
        chosen = candidates(self.folder.trials("search"), config.finalists)
        settings = {trial.number: trial.params for trial in chosen}
        searcher = FinalsSearcher(self.folder, settings, config)
        scheduler = scheduler_of(SearchSpace(_without_scheduler(self.space.base), self.space.axes), [])
        return Stage("final", searcher, scheduler, self.folder.stop.exists)

    def _over(self) -> bool:
        """Whether the search of settings is to end: asked to, out of time, or hopeless."""
        budget = self.space.base.tune.time_budget
        late = budget is not None and self.seconds >= budget
        if late or self.hopeless:
            self.folder.over.touch()
        return self.folder.ending

    def _refuse_hopeless(self) -> None:
        trials = self.folder.trials("search")
        if any(t.status in ("finished", "paused") and not t.failed for t in trials):
            return
        failed = [t for t in trials if t.status == "failed"]
        why = f"the first: {failed[0].error}" if failed else "none came to its end in the time that was given"
        raise FinganError(
            f"none of {len(trials)} trials came to a result; {why}. See {self.folder.page}; "
            "check the data with `fingan check`, narrow tune.space or raise the budget"
        )

    @property
    def seconds(self) -> float:
        """Of the search by the clock, over all resumptions."""
        return self.before + time.monotonic() - self.started

    def _follow(self, stage: Callable[[], None]) -> bool:
        work = InThread(stage)
        interrupted = follow(work, self._look, self._stop)
        work.value()
        return interrupted

    def _stop(self) -> None:
        self.folder.stop.touch()
        self.listener.on_stage("stopping and keeping what is known; Ctrl-C again leaves at once")

    def _look(self) -> None:
        self.lease.check()
        if time.monotonic() - self.looked < LOOK_SECONDS:
            return
        trials = self.folder.all_trials()
        self.hopeless = hopeless(trials)
        self.listener.on_trials(trials)
        self.looked = time.monotonic()

    def standing(self) -> list[Finalist]:
        """Return the finalists, best first."""
        ended = [t for t in self.folder.trials("final") if t.status in ENDED]
        return standing(ended, self.space.base.tune)

    def winner(self) -> Finalist:
        """Return the setting to publish.

        Raises:
            FinganError: every finalist failed more often than allowed.
        """
        best = self.standing()[0]
        if not reliable(best, self.space.base.tune.max_failures):
            raise FinganError(
                f"every finalist failed: the best of them in {best.failures} of {best.seeds} seeds; "
                f"see {self.folder.page}, narrow tune.space, or --resume with a larger tune.max_failures"
            )
        return best

    def note(self, status: str) -> Record:
        """Write the record and the page of what is known, and return the record."""
        known, config = self.folder.read(), self.space.base
        # After the base's trial, those with given settings come first.
        given = range(1, 1 + len(known.get("first", ())))
        trials = [replace(trial, given=trial.number in given) for trial in self.folder.all_trials()]
        order = self.standing()
        self.folder.note(seconds=round(self.seconds, 1))
        record = Record(
            name=self.name,
            shape=known["shape"],
            base=to_mapping(config.portable()),
            space={key: axis.model_dump(mode="json") for key, axis in self.space.axes.items()},
            trials=tuple(trials),
            finalists=tuple(finalist.to_json(config.tune.confidence) for finalist in order),
            winner=order[0].params if order and reliable(order[0], config.tune.max_failures) else None,
            importance={} if self.study is None else self.study.importance(),
            seconds=round(self.seconds, 1),
            cpu_seconds=round(sum(trial.seconds * trial.workers for trial in trials), 1),
            command=known.get("command", ""),
            status=status,
        )
        write_record(self.folder.record, record)
        atomic_write_bytes(self.folder.page, render(record).encode())
        return record


def hopeless(trials: Sequence[Trial]) -> bool:
    """Whether so many trials have failed, and none has come through, that more would be a waste."""
    failed = sum(trial.status == "failed" for trial in trials)
    sound = any(trial.status in ("finished", "pruned") and not trial.failed for trial in trials)
    return failed >= HOPELESS and not sound


def _room(config: Config, need: Need) -> Any:
    """Return the computing that an embedded Ray must hold: all trials that run at a time."""
    at_a_time = config.tune.concurrency or 1
    workers = max(1, round(at_a_time * need.cpus + 0.5))
    gpus = min(1.0, at_a_time * need.gpus / workers)
    return config.compute.model_copy(update={"workers": workers, "gpus_per_worker": gpus})


def _without_scheduler(config: Config) -> Config:
    return config.model_copy(update={"tune": config.tune.model_copy(update={"scheduler": "none"})})
