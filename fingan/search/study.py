"""Which setting to try next: Optuna's tree-structured Parzen estimator over a search space.

Bergstra et al., 2011; with constraints as in Watanabe & Hutter, 2023: settings that fail are
kept away from, however good the scores of those that do not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from fingan.config import Axis, Choice, Scalar
from fingan.rng import numpy_generator
from fingan.search.record import Trial
from fingan.search.space import Params, SearchSpace

RANDOM_TRIALS = 10
"""Drawn at random before the estimator has something to go by."""

KEPT = 0.6
"""Chance of a key to keep the base setting's value in them."""

REDRAWS = 20
"""Draws of a setting that has not been tried; in a small space there may be none left."""

_FAILED = "failed"


class Study:
    """What is known of a space so far, and what to try next.

    Args:
        space: what may vary.
        seed: of the draws.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._axes = dict(space.axes)
        self._space = space
        self._distributions = {key: _distribution(axis) for key, axis in self._axes.items()}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(
            n_startup_trials=RANDOM_TRIALS,
            multivariate=True,
            constant_liar=True,
            seed=seed % 2**32,
        )
        self._study = optuna.create_study(direction="minimize", sampler=sampler)
        self._running: dict[int, optuna.trial.Trial] = {}
        self._chance = numpy_generator(seed, "search-start")
        self._seen: list[Params] = []

    def ask(self, number: int) -> Params:
        """Return the values of a new trial, which gets this number.

        The first ones keep most of the base setting: it is known to work, a setting drawn at random
        hardly ever does.
        """
        for _ in range(REDRAWS):
            asked = self._draw()
            params = {key: _decoded(self._axes[key], value) for key, value in asked.params.items()}
            if params not in self._seen:
                break
            # The same setting and seed would give the same result.
            self._study.tell(asked, state=TrialState.FAIL)
        else:
            asked = self._draw()
            params = {key: _decoded(self._axes[key], value) for key, value in asked.params.items()}
        self._seen.append(params)
        self._running[number] = asked
        return params

    def _draw(self) -> optuna.trial.Trial:
        base = self._space.base_params()
        if len(self._seen) < RANDOM_TRIALS and self._space.covers(base):
            kept = {key: value for key, value in base.items() if self._chance.random() < KEPT}
            self._study.enqueue_trial(self._encoded(kept))
        return self._study.ask(self._distributions)

    def take(self, number: int, params: Params) -> None:
        """Learn of a trial that was not asked for: it runs with these values."""
        if self._space.covers(params):
            self._seen.append(params)
            self._study.enqueue_trial(self._encoded(params))
            self._running[number] = self._study.ask(self._distributions)

    def tell(self, trial: Trial) -> None:
        """Learn how a trial ended; one that was neither asked for nor taken is added.

        A trial off the axes is passed over: there is no place for it in the space.
        """
        asked = self._running.pop(trial.number, None)
        state, value = _outcome(trial)
        covered = self._space.covers(trial.params)
        if asked is not None and not (covered and asked.params == self._encoded(trial.params)):
            # It went on with other values, in a population.
            self._study.tell(asked, state=TrialState.FAIL)
            asked = None
        if asked is None:
            if covered:
                self._seen.append(trial.params)
                self._study.add_trial(self._frozen(trial, state, value))
            return
        asked.set_constraint(_FAILED, _violation(trial))
        for look, score in trial.by_look.items():
            asked.report(score, look)
        self._study.tell(asked, value, state)

    def importance(self) -> dict[str, float]:
        """Return the share of the finished trials' variance that each key explains (Hutter et al., 2014).

        Returns:
            Shares that sum to 1, largest first; empty with fewer than four finished trials, or equal ones.
        """
        finished = [t for t in self._study.trials if t.state is TrialState.COMPLETE]
        if len(finished) < 4 or len({t.value for t in finished}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(self._study, evaluator=evaluator)
        return {key: float(share) for key, share in found.items()}

    def _encoded(self, params: Mapping[str, Scalar]) -> dict[str, Any]:
        return {key: _encode(self._axes[key], value) for key, value in params.items()}

    def _frozen(self, trial: Trial, state: TrialState, value: float | None) -> FrozenTrial:
        frozen: FrozenTrial = create_trial(
            state=state,
            value=value,
            params=self._encoded(trial.params),
            distributions=self._distributions,
            constraints={_FAILED: _violation(trial)},
            intermediate_values=trial.by_look,
        )
        return frozen


def _outcome(trial: Trial) -> tuple[TrialState, float | None]:
    # One that failed before its first score counts as worse than any: the sampler passes over FAIL.
    if (trial.status == "pruned" and trial.curve) or (trial.failed and trial.score is None):
        return TrialState.PRUNED, None
    if trial.score is None or not math.isfinite(trial.score):
        return TrialState.FAIL, None
    return TrialState.COMPLETE, trial.score


def _violation(trial: Trial) -> float:
    """Return a constraint's value: above zero where it is broken."""
    return 1.0 if trial.failed else -1.0


def _numeric(choice: Choice) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in choice.choices)


def _distribution(axis: Axis) -> BaseDistribution:
    """Return how an axis is drawn from; numbers to choose from by their place in ascending order."""
    if isinstance(axis, Choice):
        if _numeric(axis):
            return IntDistribution(0, len(axis.choices) - 1)
        return CategoricalDistribution(axis.choices)
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
    return FloatDistribution(axis.low, axis.high, log=axis.log)


def _ordered(choice: Choice) -> list[Any]:
    values: list[Any] = list(choice.choices)
    return sorted(values)


def _encode(axis: Axis, value: Scalar) -> Any:
    if isinstance(axis, Choice) and _numeric(axis):
        return _ordered(axis).index(value)
    return value


def _decoded(axis: Axis, value: Any) -> Scalar:
    found: Scalar = _ordered(axis)[value] if isinstance(axis, Choice) and _numeric(axis) else value
    return found
