"""The classifiers and regressions that judge, and the features they see."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler, StandardScaler

from fingan.evaluation.frame import Column, Frame
from fingan.types import Float64, Int64

LEVELS_AT_MOST = 256
MOST = 1e30
"""A number further from zero is a code for something else."""

BOOSTING = "XGBoost"
"""What the boosted trees are called in results."""

Variant = Literal["mixed", "one_hot"]


class Learner(Protocol):
    """What the metrics need of an estimator."""

    def fit(self, features: Float64, outcome: np.ndarray, /) -> Any:
        """Learn from features [N, D] and outcomes [N]."""

    def predict(self, features: Float64, /) -> np.ndarray:
        """Return a prediction per row [N]."""


class Classifier(Learner, Protocol):
    """A learner of classes."""

    def predict_proba(self, features: Float64, /) -> np.ndarray:
        """Return a probability per row and class [N, K]."""


def detection_trees() -> Classifier:
    """Return the boosted trees of the detection metrics: XGBoost's defaults."""
    from xgboost import XGBClassifier

    return scaled(XGBClassifier(eval_metric="logloss", random_state=0, n_jobs=1))


def detection_logistic() -> Classifier:
    """Return the logistic regression of the detection metrics: scikit-learn's defaults."""
    return scaled(LogisticRegression(solver="lbfgs", max_iter=100))


def utility_trees(task: str) -> Learner:
    """Return the boosted trees of the utility metrics for a `regression` or classification task."""
    import xgboost

    kind = xgboost.XGBRegressor if task == "regression" else xgboost.XGBClassifier
    return kind(n_estimators=200, max_depth=6, learning_rate=0.1, random_state=0, n_jobs=1)


def utility_linear(task: str) -> Learner:
    """Return L2 logistic regression, or ridge regression, on standardised features."""
    model = Ridge() if task == "regression" else LogisticRegression(max_iter=300)
    return make_pipeline(StandardScaler(), model)  # type: ignore[no-any-return]


def scaled(model: Any) -> Classifier:
    """Return a detector's classifier behind the protocol's RobustScaler."""
    return make_pipeline(RobustScaler(), model)  # type: ignore[no-any-return]


def fit_quietly(learner: Learner, features: Float64, outcome: np.ndarray) -> None:
    """Fit, without the warning that the protocol's 100 iterations were not enough."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        learner.fit(features, outcome)


@dataclass(frozen=True)
class _Plan:
    """How one column becomes features: kept levels for one-hot, or the fill for a number."""

    name: str
    levels: Int64 | None
    rarity: Float64 | None
    fill: float
    flag: bool


@dataclass(frozen=True)
class Design:
    """Columns → features: text one-hot, numbers with missing values at the real mean.

    A flag marks missing numbers where a column has any. Of a category with more
    than 256 levels the most frequent ones get a feature each, and the rest share
    one, with the logarithm of the level's frequency beside it.
    """

    plans: tuple[_Plan, ...]

    @classmethod
    def fit(cls, real: Frame, pooled: Frame, variant: Variant = "mixed") -> Design:
        """Plan the features.

        Args:
            real: gives the means that fill missing numbers.
            pooled: all rows to be transformed; gives levels and whether values are missing.
            variant: `mixed` leaves integer-coded categories numeric, `one_hot` does not.
        """
        pairs = zip(real.columns, pooled.columns, strict=True)
        return cls(tuple(_plan(r, p, variant) for r, p in pairs))

    def names(self) -> list[str]:
        """Return the column behind each feature, [D]."""
        return [plan.name for plan in self.plans for _ in range(_width(plan))]

    def transform(self, frame: Frame) -> Float64:
        """Return the features, float64 [N, D]."""
        pairs = zip(self.plans, frame.columns, strict=True)
        return np.concatenate([_features(plan, column) for plan, column in pairs], axis=1)


def _plan(real: Column, pooled: Column, variant: Variant) -> _Plan:
    if real.values is None or (variant == "one_hot" and not real.numeric):
        counts = np.bincount(pooled.code(), minlength=len(pooled.levels))
        order = np.argsort(-counts, kind="stable")
        seen = order[counts[order] > 0]
        if seen.size <= LEVELS_AT_MOST:
            return _Plan(real.name, np.sort(seen), None, 0.0, False)
        return _Plan(real.name, np.sort(seen[:LEVELS_AT_MOST]), np.log1p(counts), 0.0, False)
    known = _within(real.values[~np.isnan(real.values)])
    fill = float(known.mean()) if known.size else 0.0
    return _Plan(real.name, None, None, fill, bool(np.isnan(pooled.number()).any()))


def _width(plan: _Plan) -> int:
    if plan.levels is None:
        return 2 if plan.flag else 1
    return plan.levels.size + (0 if plan.rarity is None else 2)


def _within(values: Float64) -> Float64:
    """Return numbers that stay finite in single precision when they are scaled: trees refuse infinities."""
    return np.clip(values, -MOST, MOST)


def _features(plan: _Plan, column: Column) -> Float64:
    if plan.levels is None:
        absent = np.isnan(column.number())
        parts = [np.where(absent, plan.fill, _within(column.number()))] + (
            [absent.astype(float)] if plan.flag else []
        )
        return np.stack(parts, axis=1)
    codes = column.code()
    features = np.zeros((codes.size, _width(plan)))
    position = np.searchsorted(plan.levels, codes).clip(max=plan.levels.size - 1)
    kept = plan.levels[position] == codes
    features[np.flatnonzero(kept), position[kept]] = 1.0
    if plan.rarity is not None:
        features[:, -2] = ~kept
        features[:, -1] = plan.rarity[codes]
    return features
