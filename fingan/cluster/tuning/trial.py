"""One trial: the loop of `fingan train` in a Ray Tune actor, or on Train workers of its own."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from ray import tune

from fingan.cluster.following import InThread
from fingan.cluster.runs import RunFolder, read_updates
from fingan.cluster.trainer import build_trainer, fit, raise_known
from fingan.cluster.tuning.ledger import SearchFolder, TrialFolder
from fingan.cluster.tuning.schedulers import METRIC
from fingan.cluster.worker import FolderHooks
from fingan.config import Config, to_mapping
from fingan.errors import FinganError
from fingan.fitting import memorisation, start
from fingan.networks import keep_freed_memory
from fingan.preparation import Prepared
from fingan.search import SearchSpace, Trial
from fingan.search.record import ENDED
from fingan.training import TrainResult, Update, list_checkpoints, load_newest, step_of

CHECKPOINT_STEPS = 100
"""Steps between a trial's checkpoints at most: a search that dies loses no more of a trial."""

POLL_SECONDS = 0.25
STOP_SECONDS = 60.0
"""Given to the workers of a trial that is ended early."""


@dataclass(frozen=True)
class Order:
    """What all trials of a search share.

    Attributes:
        folder: of the search.
        driver: word of the driver that started it.
        space: what varies, and the base configuration.
        looks: shares of a trial at which it is looked at, the last is 1.
        local: whether Ray runs on this machine alone.
        until: share of a trial at which it pauses, for its state to be taken over; 1 for never.
    """

    folder: Path
    driver: str
    space: SearchSpace
    looks: tuple[float, ...]
    local: bool
    until: float = 1.0

    def config(self, trial: Trial) -> Config:
        """Return the configuration of a trial: its values, its seed, and a trial's length.

        Finalists get seeds that the search has not seen: it chose what was good with its own.
        """
        values = to_mapping(self.space.config(trial.params))
        spent, seed = self.space.base.tune, self.space.base.seed
        seed += 1 + trial.seed if trial.stage == "final" else 0
        values["training"] |= {"steps": spent.trial_steps, "patience": None}
        values["training"]["time_budget"] = None if spent.trial_steps else spent.trial_budget
        values["checkpoint"]["every_steps"] = min(values["checkpoint"]["every_steps"], CHECKPOINT_STEPS)
        return Config.model_validate({**values, "seed": seed})


class Reporter:
    """Tells Ray Tune of a trial's looks, and keeps them in its folder."""

    def __init__(self, folder: TrialFolder, trial: Trial) -> None:
        self._folder, self._trial = folder, trial

    def hear(self, update: Update) -> None:
        """Note and tell of an update's validation, if it has one; where nothing was scored, tell only."""
        if "validated" not in update.event:
            return
        score = math.inf if update.best is None else update.best
        if math.isfinite(score):
            self._folder.look(update.elapsed, score, update.step, update.look)
        self.tell(score, update.look)

    def tell(self, score: float, look: int) -> None:
        """Tell of a look; 0 for a validation that is none.

        The scheduler may end the trial here: SystemExit is raised in this thread.
        """
        tune.report({METRIC: score, "look": look, "number": self._trial.number})


class TrialHooks(FolderHooks):
    """Tells of looks; stops when the search does."""

    def __init__(self, folder: RunFolder, driver: str, search: SearchFolder, reporter: Reporter) -> None:
        super().__init__(folder, driver)
        self._search, self._reporter, self._word = search, reporter, driver

    def on_update(self, update: Update) -> None:
        """Append the update to the run's progress; tell of it where it is a look."""
        super().on_update(update)
        self._reporter.hear(update)

    def should_stop(self) -> bool:
        """Whether the search was asked to stop."""
        return super().should_stop() or self._search.stop.exists()


def run_trial(config: dict[str, Any], order: Order, prepared: Prepared) -> None:
    """Train one setting, from where its folder says that it stands.

    A failure of the training is a result: it is noted in the folder. Only what is none of the
    setting's business is raised.

    Args:
        config: `number`, `seed` and `stage` of the trial; all else are its values by key.
        order: what the trials share.
        prepared: the data, as prepared for the base configuration.
    """
    search = SearchFolder(order.folder)
    params = {key: value for key, value in config.items() if key in order.space.axes}
    workers = order.space.base.compute.workers
    trial = Trial(config["number"], params, config["seed"], config["stage"], workers=max(1, workers))
    folder = search.trial(trial.stage, trial.number, trial.seed)
    known = folder.read()
    if known is not None and known.status in ENDED:
        return
    # A trial is of the table's own network, which has all of its time.
    own = replace(prepared, config=order.config(trial), rare=())
    folder.begin(trial, to_mapping(own.config))
    driver = folder.run.renew()
    train = _train_on_workers if workers > 1 else _train_here
    try:
        saved = list_checkpoints(folder.run.checkpoints)
        # What was seen after the state from which the trial goes on is seen again.
        folder.keep_looks(step_of(saved[-1]) if saved else 0)
        reporter = Reporter(folder, trial)
        result = train(own, order, folder, reporter, driver)
        if result.reason == "pause":
            folder.run.note(
                status="paused", until=order.until, steps=result.steps, rollbacks=result.rollbacks
            )
        else:
            _end(result, own, folder, reporter, last=len(order.looks))
    except SystemExit:
        # Raised by Tune in this thread, at a look: this setting is not worth more.
        if (now := folder.read()) is not None and now.status == "running":
            folder.run.note(status="interrupted" if search.ending else "pruned")
        raise
    except FinganError as error:
        if folder.run.driver() == driver:
            folder.run.note(status="failed", error=f"{type(error).__name__}: {error}")


def _end(result: TrainResult, prepared: Prepared, folder: TrialFolder, reporter: Reporter, last: int) -> None:
    """Note what a trial came to, and tell of its last look."""
    if result.reason == "interrupted":
        folder.run.note(status="pruned" if folder.weak.exists() else "interrupted")
        return
    share = memorisation(prepared, result)
    folder.run.save_result(result)
    if result.score is not None:
        folder.look(result.seconds, result.score, result.steps, last)
    folder.run.note(status="finished", steps=result.steps, rollbacks=result.rollbacks, memorisation=share)
    if result.score is not None:
        reporter.tell(result.score, last)


def _train_here(
    prepared: Prepared, order: Order, folder: TrialFolder, reporter: Reporter, driver: str
) -> TrainResult:
    """Train in this process, on the GPU that Ray gives it, if any."""
    torch.set_num_threads(prepared.config.compute.threads or 1)
    keep_freed_memory()
    hooks = TrialHooks(folder.run, driver, SearchFolder(order.folder), reporter)
    # Tune's actor sees no other GPU than its own; Ray Train's `get_device` is not for it.
    device = torch.device("cuda" if prepared.config.compute.gpus_per_worker else "cpu")
    run = start(prepared, hooks=hooks, checkpoints=folder.run.checkpoints, device=device)
    load_newest(folder.run.checkpoints, run.state)
    run.looks, run.until = order.looks[:-1], order.until
    if prepared.config.tune.clock == "processor":
        run.clock = time.process_time
    return run.train()


def _train_on_workers(
    prepared: Prepared, order: Order, folder: TrialFolder, reporter: Reporter, driver: str
) -> TrainResult:
    """Train on Ray Train workers, which this actor drives."""
    run, search = folder.run, SearchFolder(order.folder)
    stage = run.read()["stage"]
    offset = run.progress.stat().st_size if run.progress.exists() else 0
    trainer = build_trainer(
        prepared, run, driver, local=order.local, looks=order.looks[:-1], until=order.until
    )
    work = InThread(lambda: fit(trainer))
    try:
        over = False
        while not over:
            over = work.wait(POLL_SECONDS)
            if search.halts(stage) or folder.weak.exists():
                run.stop.touch()
            updates, offset = read_updates(run.progress, offset)
            for update in updates:
                reporter.hear(update)
    except BaseException:
        # Tune ends this actor; its workers must not go on without it.
        run.stop.touch()
        work.wait(STOP_SECONDS)
        raise
    raise_known(run.error())
    work.value()
    return run.load_result()
