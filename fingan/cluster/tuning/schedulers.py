"""When a trial is looked at, and what is decided there: nothing, or an early end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from fingan.cluster.tuning.ledger import SearchFolder
from fingan.config import TuneConfig
from fingan.search import SearchSpace, Trial

METRIC, MODE = "score", "min"


def looks_of(config: TuneConfig) -> tuple[float, ...]:
    """Return the shares of a trial at which it is looked at, the last is 1."""
    if config.scheduler == "population":
        return tuple((look + 1) / config.intervals for look in range(config.intervals))
    if config.scheduler == "none":
        return (1 / 3, 2 / 3, 1.0)
    return tuple(config.reduction ** (look + 1.0 - config.rungs) for look in range(config.rungs))


class _Asking(ASHAScheduler):
    """Asks a trial of several workers to end, instead of ending its process.

    Ray keeps the workers' placement group for as long as the search runs when the process that asked for it
    ends before them, and the next trial would wait for that room without end.
    """

    def __init__(self, folder: SearchFolder, **given: Any) -> None:
        super().__init__(**given)
        self._folder = folder

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide as usual; leave a note where a trial is to end."""
        decision: str = super().on_trial_result(controller, trial, result)
        if decision == TrialScheduler.STOP:
            self._folder.trial("search", result["number"], 0).weak.touch()
        return TrialScheduler.CONTINUE


def scheduler_of(
    space: SearchSpace, known: Sequence[Trial], folder: SearchFolder | None = None
) -> TrialScheduler:
    """Return what decides at every look, with what it would remember of earlier trials.

    Args:
        space: what varies, and how the search decides.
        known: trials of the search so far.
        folder: of the search, where trials of several workers are asked to end.
    """
    config = space.base.tune
    if config.scheduler != "asha" or config.rungs == 1:
        return FIFOScheduler()
    # In units of the first look. A little more at the end: a logarithm may fall short of a whole number.
    top = config.reduction ** (config.rungs - 1) * (1.0 + 1e-9)
    kind: Any = ASHAScheduler
    if folder is not None and space.base.compute.workers > 1:
        kind = partial(_Asking, folder)
    scheduler: ASHAScheduler = kind(
        time_attr="rung",
        metric=METRIC,
        mode=MODE,
        grace_period=1,
        max_t=top,
        reduction_factor=config.reduction,
    )
    for trial in known:
        # An unfinished one goes on with its next look: those it has passed are not judged again.
        _remember(scheduler, trial, config)
    return scheduler


def rung(look: int, config: TuneConfig) -> float:
    """Return a look's place in units of the first: 1, then `reduction` times the one before."""
    return float(config.reduction ** (look - 1))


def _remember(scheduler: ASHAScheduler, trial: Trial, config: TuneConfig) -> None:
    past: Any = SimpleNamespace(trial_id=f"past-{trial.number}")
    nobody: Any = None
    scheduler.on_trial_add(nobody, past)
    for look, (_, score) in enumerate(trial.curve, start=1):
        # Not by a kind's own method, which would tell the trial of what is decided.
        told = {"rung": rung(look, config), METRIC: score}
        ASHAScheduler.on_trial_result(scheduler, nobody, past, told)
