"""Detection: how well a classifier tells synthetic rows from real ones (classifier two-sample test).

Protocol of the quoted tables (Lopez-Paz & Oquab, ICLR 2017; sdmetrics'
LogisticDetection; XGBoost variant as in the re-runs of the tabular literature):
as many real as synthetic rows, text columns one-hot, integer-coded categories
numeric, mean imputation, RobustScaler, 3-fold stratified shuffle, mean AUC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from sklearn.model_selection import StratifiedKFold

from fingan.evaluation import intervals, scoring
from fingan.evaluation.frame import Column, Frame, concat
from fingan.evaluation.learners import (
    BOOSTING,
    Classifier,
    Design,
    Variant,
    detection_logistic,
    detection_trees,
    fit_quietly,
)
from fingan.evaluation.metric import Interval
from fingan.evaluation.threads import run_all
from fingan.rng import key, numpy_generator
from fingan.types import Float64, Int64

FOLDS = 3
QUANTILES = 50


@dataclass(frozen=True)
class Detection:
    """Result of one detector.

    Attributes:
        auc: mean over the folds.
        folds: AUC of each fold.
        interval: from DeLong's variance in each fold; folds test disjoint rows.
        rows: rows per side.
        estimator: its name.
        tells: share of the classifier's importance by column, largest first (trees).
    """

    auc: float
    folds: tuple[float, ...]
    interval: Interval
    rows: int
    estimator: str
    tells: dict[str, float]

    @property
    def score(self) -> float:
        """1 − (2·max(.5, AUC) − 1): 1 is indistinguishable."""
        return 2 - 2 * max(0.5, self.auc)


def detect(
    real: Frame,
    synthetic: Frame,
    seed: int,
    variant: Variant = "mixed",
    learner: Callable[[], Classifier] = detection_trees,
) -> Detection:
    """Tell `synthetic` from `real`, as many rows of each as the smaller table has.

    Args:
        real: all training rows.
        synthetic: the table to judge.
        seed: of the folds, and of the subsample where the tables differ in size.
        variant: `mixed` is the protocol, `one_hot` encodes integer-coded categories too.
        learner: makes the classifier of each fold.
    """
    rows = min(real.rows, synthetic.rows)
    real, synthetic = _at_most(real, rows, seed, "real"), _at_most(synthetic, rows, seed, "synthetic")
    pooled = concat(real, synthetic)
    design = Design.fit(real, pooled, variant)
    features = design.transform(pooled)
    fake = np.repeat([False, True], rows)
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=key(seed, "evaluation.folds") % 2**32)

    def judge(train: Int64, test: Int64) -> tuple[float, float, Float64]:
        model = learner()
        fit_quietly(model, features[train], fake[train].astype(np.int64))
        probability = model.predict_proba(features[test])[:, 1]
        score = scoring.roc_auc(fake[test], probability)
        return score, scoring.roc_auc_variance(fake[test], probability), _importance(model, features.shape[1])

    folds = [partial(judge, train, test) for train, test in splitter.split(features, fake)]
    scores, variances, importance = zip(*run_all(folds), strict=True)
    auc = float(np.mean(scores))
    low, high = intervals.normal(auc, sum(variances) / FOLDS**2)
    name = BOOSTING if learner is detection_trees else "logistic regression"
    tells = _by_column(design.names(), np.sum(importance, axis=0))
    return Detection(auc, scores, (max(0.0, low), min(1.0, high)), rows, name, tells)


def detect_logistic(real: Frame, synthetic: Frame, seed: int) -> Detection:
    """Run the logistic detector of the protocol."""
    return detect(real, synthetic, seed, learner=detection_logistic)


def coarse(frame: Frame, reference: Frame) -> Frame:
    """Cut every number at 50 quantiles of `reference`; categories stay. Missing stays missing."""
    pairs = zip(frame.columns, reference.columns, strict=True)
    return Frame(tuple(_coarse(c, r) if c.numeric else c for c, r in pairs), frame.rows)


def _coarse(column: Column, reference: Column) -> Column:
    known = reference.number()[~np.isnan(reference.number())]
    if not known.size:
        return column
    edges = np.unique(np.quantile(known, np.linspace(0, 1, QUANTILES + 1)[1:-1]))
    values = column.number()
    cut = np.searchsorted(edges, values, side="right").astype(np.float64)
    return replace(column, values=np.where(np.isnan(values), np.nan, cut))


def has_coded_categories(frame: Frame) -> bool:
    """Whether some category is held as a number, so that the one-hot variant differs."""
    return any(c.codes is not None and c.values is not None for c in frame.columns)


def _at_most(frame: Frame, rows: int, seed: int, purpose: str) -> Frame:
    if frame.rows <= rows:
        return frame
    rng = numpy_generator(seed, f"evaluation.detection.{purpose}")
    index: Int64 = np.sort(rng.choice(frame.rows, rows, replace=False))
    return frame.take(index)


def _importance(model: Classifier, width: int) -> Float64:
    """Return the trees' gain by feature, zeros where the estimator has none."""
    gains = getattr(model[-1], "feature_importances_", None)  # type: ignore[index]
    return np.zeros(width) if gains is None else np.asarray(gains, dtype=np.float64)


def _by_column(names: list[str], importance: Float64) -> dict[str, float]:
    total = importance.sum()
    if total <= 0:
        return {}
    shares: dict[str, float] = {}
    for name, gain in zip(names, importance / total, strict=True):
        shares[name] = shares.get(name, 0.0) + float(gain)
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
