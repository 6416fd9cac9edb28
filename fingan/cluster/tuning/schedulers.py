"""When a trial is looked at, and what is decided there: nothing, an early end, or another's state."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from ray import tune
from ray.tune.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)

from fingan.config import Choice, Span, TuneConfig
from fingan.search import SearchSpace, Trial
from fingan.search.record import ENDED

METRIC, MODE = "score", "min"

FROZEN_IN_POPULATION = ("network.", "compute.", "conditioning.", "objective.name")
"""A state that is carried over fits no other network; and what it learned to do stays what it does."""


def looks_of(config: TuneConfig) -> tuple[float, ...]:
    """Return the shares of a trial at which it is looked at, the last is 1."""
    if config.scheduler == "population":
        return tuple((look + 1) / config.intervals for look in range(config.intervals))
    if config.scheduler == "none":
        return (1 / 3, 2 / 3, 1.0)
    return tuple(config.reduction ** (look + 1.0 - config.rungs) for look in range(config.rungs))


def scheduler_of(space: SearchSpace, known: Sequence[Trial]) -> TrialScheduler:
    """Return what decides at every look, with what it would remember of the trials that have ended.

    Args:
        space: what varies, and how the search decides.
        known: trials of the search so far.
    """
    config = space.base.tune
    if config.scheduler == "population":
        return _population(space)
    if config.scheduler == "none" or config.rungs == 1:
        return FIFOScheduler()
    # In units of the first look. A little more at the end: a logarithm may fall short of a whole number.
    top = config.reduction ** (config.rungs - 1) * (1.0 + 1e-9)
    scheduler = ASHAScheduler(
        time_attr="rung",
        metric=METRIC,
        mode=MODE,
        grace_period=1,
        max_t=top,
        reduction_factor=config.reduction,
    )
    for trial in known:
        if trial.status in ENDED:
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
        scheduler.on_trial_result(nobody, past, {"rung": rung(look, config), METRIC: score})


def mutable(space: SearchSpace) -> list[str]:
    """Return the keys that a population may change in mid-training."""
    return [key for key in space.axes if not key.startswith(FROZEN_IN_POPULATION)]


def _population(space: SearchSpace) -> PopulationBasedTraining:
    """Return population-based training (Jaderberg et al., 2017).

    Synchronous: what a trial goes on from is there when it is asked for.
    """

    def draws(key: str) -> Any:
        axis = space.axes[key]
        if isinstance(axis, Choice):
            return list(axis.choices)
        if axis.whole:
            return tune.randint(int(axis.low), int(axis.high) + 1)
        return tune.loguniform(axis.low, axis.high) if axis.log else tune.uniform(axis.low, axis.high)

    def within(config: dict[str, Any]) -> dict[str, Any]:
        for key in mutable(space):
            axis = space.axes[key]
            if isinstance(axis, Span):
                config[key] = min(max(config[key], axis.low), axis.high)
                config[key] = round(config[key]) if axis.whole else config[key]
        return config

    return PopulationBasedTraining(
        time_attr="look",
        metric=METRIC,
        mode=MODE,
        perturbation_interval=1,
        hyperparam_mutations={key: draws(key) for key in mutable(space)},
        custom_explore_fn=within,
        synch=True,
        log_config=False,
    )
