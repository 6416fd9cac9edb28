"""Utility: train on synthetic, test on real (TSTR), beside train on real, test on real (TRTR).

Esteban et al., 2017. Both models are tested on the same untouched hold-out, so
the figures differ by the training rows alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from fingan.errors import ConfigError, DataError
from fingan.evaluation import scoring
from fingan.evaluation.frame import Column, Frame, concat
from fingan.evaluation.intervals import bootstrap, normal
from fingan.evaluation.learners import Design, Learner, fit_quietly, utility_linear, utility_trees
from fingan.evaluation.metric import Interval
from fingan.evaluation.threads import run_all
from fingan.types import Float64, Int64

_Figure = Callable[[Float64, Float64], float]
Kind = Literal["binary", "multiclass", "regression"]
MOST_CODED_CLASSES = 10


@dataclass(frozen=True)
class Task:
    """What is predicted.

    Attributes:
        target: the column.
        kind: binary, multiclass or regression.
        classes: labels, in the order of the outcomes; empty for regression.
        positive: label of the positive class of a binary task.
    """

    target: str
    kind: Kind
    classes: tuple[str, ...]
    positive: str | None

    def outcome(self, frame: Frame) -> Float64:
        """Return the outcome of each row: class position or value; NaN where missing or unseen."""
        column = frame.column(self.target)
        if self.kind == "regression":
            return column.number()
        order = {label: i for i, label in enumerate(self.classes)}
        places = np.array([order.get(label, np.nan) for label in _level_table(column)], dtype=np.float64)
        if column.null >= 0:
            places[column.null] = np.nan
        return places[_level_codes(column)]

    def varies(self, frame: Frame) -> bool:
        """Whether rows have more than one known outcome."""
        outcome = self.outcome(frame)
        return np.unique(outcome[~np.isnan(outcome)]).size > 1


def plan_task(train: Frame, target: str, positive: str | None = None) -> Task:
    """Read the task off the target column of the training rows.

    Two values: binary, the rarer one positive unless named. A category, or an
    integer with at most 10 values: multiclass. Else regression.

    Raises:
        ConfigError: `positive` is not a value of the target.
        DataError: the target has one value only.
    """
    column = train.column(target)
    labels, table = _level_codes(column), _level_table(column)
    counts = np.bincount(labels, minlength=len(table)).astype(float)
    if column.missing().any():
        counts[labels[column.missing()][0]] = 0
    present = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    if len(present) < 2:
        known = table[present[0]] if present else "missing"
        raise DataError(
            f"target {target!r} has a single value in the training rows, {known!r}: there is nothing to "
            "predict; give rows of another value too"
        )
    if (
        len(present) > 2
        and column.numeric
        and not (column.kind == "integer" and len(present) <= MOST_CODED_CLASSES)
    ):
        return Task(target, "regression", (), None)
    classes = [table[i] for i in present]
    if len(present) > 2:
        return Task(target, "multiclass", tuple(classes), None)
    chosen = classes[1] if positive is None else str(positive)
    if chosen not in classes:
        raise ConfigError(f"positive class {positive!r} is not a value of {target!r}; its values: {classes}")
    other = next(c for c in classes if c != chosen)
    return Task(target, "binary", (other, chosen), chosen)


def _level_table(column: Column) -> list[str]:
    """Return the label of each code of `_level_codes`."""
    if column.codes is not None:
        return list(column.levels)
    return [f"{v:.15g}" for v in np.unique(column.number())]


def _level_codes(column: Column) -> Int64:
    if column.codes is not None:
        return column.codes
    return np.unique(column.number(), return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True)
class Scores:
    """Scores of one model on the hold-out, each with its interval."""

    values: dict[str, float]
    intervals: dict[str, Interval | None]
    rows: int


@dataclass(frozen=True)
class Utility:
    """TSTR and TRTR of both model families, by `trees` and `linear`.

    Attributes:
        task: what was predicted.
        synthetic: scores after training on synthetic rows.
        real: scores after training on real rows.
        share: trees' headline score (AUC, or R²) on synthetic rows as a share of that on real ones; NaN
            where the latter is no better than chance.
        share_interval: paired bootstrap over the hold-out.
    """

    task: Task
    synthetic: dict[str, Scores]
    real: dict[str, Scores]
    share: float
    share_interval: Interval


def measure_utility(train: Frame, synthetic: Frame, holdout: Frame, task: Task, seed: int) -> Utility:
    """Fit both families on real and on synthetic rows and score all on the hold-out.

    Args:
        train: real training rows.
        synthetic: synthetic rows.
        holdout: real rows that neither saw.
        task: what is predicted.
        seed: of the bootstrap.

    Raises:
        DataError: nothing to predict from, or the hold-out has no row with a known outcome.
    """
    features = [frame.without(task.target) for frame in (train, synthetic, holdout)]
    if not features[0].columns:
        raise DataError(f"target {task.target!r} is the only column; there is nothing to predict it from")
    design = Design.fit(features[0], concat(concat(features[0], features[1]), features[2]))
    matrices = [design.transform(frame) for frame in features]
    outcomes = [task.outcome(frame) for frame in (train, synthetic, holdout)]
    known = ~np.isnan(outcomes[2])
    if not known.any():
        raise DataError(f"target {task.target!r} has no known value in the hold-out")
    test, actual = matrices[2][known], outcomes[2][known]
    makers = {"trees": utility_trees, "linear": utility_linear}
    runs = {
        (name, i): partial(_predict, make(task.kind), matrices[i], outcomes[i], test, task)
        for name, make in makers.items()
        for i in (0, 1)
    }
    guesses = dict(zip(runs, run_all(list(runs.values())), strict=True))
    scores = {where: _score(task, actual, guess, seed) for where, guess in guesses.items()}

    chance = 0.0 if task.kind == "regression" else 0.5

    def share(rows: Int64) -> float:
        real, fake = (_headline(task, actual[rows], guesses["trees", i][rows]) for i in (0, 1))
        return fake / real if real > chance else float("nan")

    every = share(np.arange(actual.size))
    return Utility(
        task,
        synthetic={name: scores[name, 1] for name in ("trees", "linear")},
        real={name: scores[name, 0] for name in ("trees", "linear")},
        share=every,
        share_interval=bootstrap(share, actual.size, seed, "utility.share"),
    )


def _predict(learner: Learner, features: Float64, outcome: Float64, test: Float64, task: Task) -> Float64:
    """Fit on the rows with a known outcome; return values [N] or class probabilities [N, K]."""
    known = ~np.isnan(outcome)
    features, outcome = features[known], outcome[known]
    if task.kind != "regression":
        return _probabilities(learner, features, outcome.astype(np.int64), test, len(task.classes))
    if not outcome.size:
        return np.zeros(len(test))
    fit_quietly(learner, features, outcome)
    return np.asarray(learner.predict(test), dtype=np.float64)


def _headline(task: Task, actual: Float64, guess: Float64) -> float:
    if task.kind == "regression":
        return scoring.r_squared(actual, guess)
    if task.kind == "binary":
        return _auc(actual == 1, guess[:, 1])
    return _macro("auc", actual.astype(np.int64), guess)


def _auc(positive: np.ndarray, probability: Float64) -> float:
    """Return the ROC AUC; NaN where a class is absent, so that there is nothing to rank."""
    return scoring.roc_auc(positive, probability) if _has_both(positive) else float("nan")


def _has_both(positive: np.ndarray) -> bool:
    return bool(positive.any() and not positive.all())


def _score(task: Task, actual: Float64, guess: Float64, seed: int) -> Scores:
    if task.kind == "regression":
        return _score_regression(actual, guess, seed)
    if task.kind == "binary":
        return _score_binary(actual == 1, guess[:, 1], seed)
    return _score_multiclass(actual.astype(np.int64), guess, seed)


def _probabilities(
    learner: Learner, features: Float64, outcome: Int64, test: Float64, classes: int
) -> Float64:
    """Return class probabilities [N, K]; a class that the training rows lack has probability 0."""
    seen, packed = np.unique(outcome, return_inverse=True)
    probability = np.zeros((len(test), classes))
    if seen.size < 2:
        # Nothing to learn: the model is a constant, which is what such rows are worth.
        probability[:, seen] = 1.0
        return probability
    fit_quietly(learner, features, packed)
    probability[:, seen] = learner.predict_proba(test)  # type: ignore[attr-defined]
    return probability


def _score_binary(actual: np.ndarray, probability: Float64, seed: int) -> Scores:
    auc = _auc(actual, probability)
    slope, variance = scoring.calibration_slope(actual, probability)
    values = {
        "auc": auc,
        "pr_auc": scoring.average_precision(actual, probability) if _has_both(actual) else float("nan"),
        "f1": scoring.f1(actual, probability >= 0.5),
        "brier": scoring.brier(actual, probability),
        "calibration_slope": slope,
    }

    def spread(score: str) -> Interval:
        figures = {
            "pr_auc": lambda i: scoring.average_precision(actual[i], probability[i]),
            "f1": lambda i: scoring.f1(actual[i], probability[i] >= 0.5),
            "brier": lambda i: scoring.brier(actual[i], probability[i]),
        }
        return bootstrap(figures[score], actual.size, seed, f"utility.{score}")

    bounds: dict[str, Interval | None] = {name: spread(name) for name in ("pr_auc", "f1", "brier")}
    low, high = normal(auc, scoring.roc_auc_variance(actual, probability))
    bounds["auc"] = (max(0.0, low), min(1.0, high))
    bounds["calibration_slope"] = normal(slope, variance) if np.isfinite(variance) else None
    return Scores({k: v for k, v in values.items() if np.isfinite(v)}, bounds, actual.size)


def _macro(score: str, actual: Int64, probability: Float64) -> float:
    """Score one class against the rest, averaged over the classes that `actual` has."""
    if score == "brier":
        outcome = np.eye(probability.shape[1])[actual]
        return float(((probability - outcome) ** 2).sum(axis=1).mean())
    guess = probability.argmax(axis=1)
    classes = [k for k in range(probability.shape[1]) if 0 < (actual == k).sum() < actual.size]
    if not classes:
        return float("nan")
    if score == "f1":
        return float(np.mean([scoring.f1(actual == k, guess == k) for k in classes]))
    figure = scoring.roc_auc if score == "auc" else scoring.average_precision
    return float(np.mean([figure(actual == k, probability[:, k]) for k in classes]))


def _score_multiclass(actual: Int64, probability: Float64, seed: int) -> Scores:
    values: dict[str, float] = {}
    bounds: dict[str, Interval | None] = {}
    for score in ("auc", "pr_auc", "f1", "brier"):

        def figure(rows: Int64, score: str = score) -> float:
            return _macro(score, actual[rows], probability[rows])

        values[score] = figure(np.arange(actual.size))
        bounds[score] = bootstrap(figure, actual.size, seed, f"utility.{score}", repeats=100)
    return Scores({k: v for k, v in values.items() if np.isfinite(v)}, bounds, actual.size)


def _score_regression(actual: Float64, predicted: Float64, seed: int) -> Scores:
    values: dict[str, float] = {}
    bounds: dict[str, Interval | None] = {}
    for name, figure in (("r2", scoring.r_squared), ("rmse", scoring.rmse)):

        def again(rows: Int64, figure: _Figure = figure) -> float:
            return figure(actual[rows], predicted[rows])

        values[name] = figure(actual, predicted)
        bounds[name] = bootstrap(again, actual.size, seed, f"utility.{name}")
    return Scores(values, bounds, actual.size)
