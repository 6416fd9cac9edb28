"""When a trial is looked at, and what is decided there: nothing, or an early end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler

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


class Halving(FIFOScheduler):
    """Asynchronous successive halving (Li et al., MLSys 2020), with a trial judged among its contemporaries.

    At each look a trial goes on when it is among the best one in `reduction` of the newest
    `reduction`² that came so far. Among all of them, as Ray's ASHA has it, nearly every trial would
    be: a searcher that learns draws ever better ones, and the weak first ones would carry them.

    Args:
        reduction: one in so many goes on.
        looks: at a trial; nothing is decided at the last, which is its end.
        folder: of the search, where a trial that is to end finds a note; None for trials that Ray can end.
    """

    def __init__(self, reduction: int, looks: int, folder: SearchFolder | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reduction, self._folder = reduction, folder
        self._scores: list[dict[int, float]] = [{} for _ in range(looks - 1)]

    def weak(self, number: int, look: int, score: float) -> bool:
        """Take a trial's score at a look, the first is 1; return whether the trial is to end there."""
        if not 1 <= look <= len(self._scores) or number in self._scores[look - 1]:
            return False
        known = self._scores[look - 1]
        known[number] = score if math.isfinite(score) else math.inf
        newest = list(known.values())[-(self._reduction**2) :]
        better = sum(other < known[number] for other in newest)
        return better >= max(1, len(newest) // self._reduction)

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Decide; a trial of several workers is asked to end, instead of its process being ended.

        Ray keeps the workers' placement group for as long as the search runs when the process that asked
        for it ends before them, and the next trial would wait for that room without end.
        """
        if not self.weak(result["number"], result["look"], result[METRIC]):
            return str(TrialScheduler.CONTINUE)
        if self._folder is None:
            return str(TrialScheduler.STOP)
        self._folder.trial("search", result["number"], 0).weak.touch()
        return str(TrialScheduler.CONTINUE)


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
    if config.scheduler != "asha":
        return FIFOScheduler()
    asking = folder if space.base.compute.workers > 1 else None
    scheduler = Halving(config.reduction, config.rungs, asking)
    for trial in known:
        # An unfinished one goes on with its next look: those it has passed are not judged again.
        for look, score in trial.by_look.items():
            scheduler.weak(trial.number, look, score)
    return scheduler
