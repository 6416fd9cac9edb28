"""Scores of classifiers and regressions: ROC AUC with DeLong's variance, PR-AUC, calibration slope, …"""

from __future__ import annotations

import numpy as np

from fingan.ranks import mid_ranks
from fingan.types import Bool, Float64

_CLIP = 1e-6


def roc_auc(positive: Bool, scores: Float64) -> float:
    """Return the area under the ROC curve, ties half (Mann–Whitney); .5 when a class is absent.

    Args:
        positive: which rows are positive [N].
        scores: higher means more positive [N].
    """
    m = int(positive.sum())
    n = positive.size - m
    if m == 0 or n == 0:
        return 0.5
    ranks = mid_ranks(scores)
    return float((ranks[positive].sum() - m * (m + 1) / 2) / (m * n))


def roc_auc_variance(positive: Bool, scores: Float64) -> float:
    """Return DeLong's variance of the ROC AUC (DeLong et al., 1988; midranks of Sun & Xu, 2014)."""
    m = int(positive.sum())
    n = positive.size - m
    if m < 2 or n < 2:
        return 0.25
    ranks = mid_ranks(scores)
    placed = (ranks[positive] - mid_ranks(scores[positive])) / n
    passed = 1.0 - (ranks[~positive] - mid_ranks(scores[~positive])) / m
    return float(placed.var(ddof=1) / m + passed.var(ddof=1) / n)


def average_precision(positive: Bool, scores: Float64) -> float:
    """Return the area under the precision–recall curve as a step function; NaN without positives."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    last = np.append(np.diff(scores[order]) != 0, True)
    hits, found = hits[last], np.flatnonzero(last) + 1
    if not hits.size or hits[-1] == 0:
        return float("nan")
    steps = np.diff(hits, prepend=0) / hits[-1]
    return float((steps * hits / found).sum())


def f1(positive: Bool, predicted: Bool) -> float:
    """Return the F1 score; 0 where nothing is found."""
    hits = float((positive & predicted).sum())
    total = float(positive.sum() + predicted.sum())
    return 2 * hits / total if total else 0.0


def brier(positive: Bool, probability: Float64) -> float:
    """Return the mean squared error of the probabilities (Brier, 1950)."""
    return float(((probability - positive) ** 2).mean())


def calibration_slope(positive: Bool, probability: Float64) -> tuple[float, float]:
    """Return the slope of a logistic regression of the outcome on the predicted log-odds, and its variance.

    1 is calibrated, below 1 over-confident (Cox, 1958). Fitted by Newton's method;
    (NaN, NaN) where a class is absent, the scores do not vary, or it does not settle.
    """
    clipped = np.clip(probability, _CLIP, 1 - _CLIP)
    logit = np.log(clipped / (1 - clipped))
    if positive.all() or not positive.any() or logit.std() < 1e-9:
        return float("nan"), float("nan")
    design = np.stack([np.ones_like(logit), logit], axis=1)
    weights = np.zeros(2)
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        information = design.T @ (design * (fitted * (1 - fitted))[:, None])
        if np.linalg.cond(information) > 1e14:
            return float("nan"), float("nan")
        step = np.linalg.solve(information, design.T @ (positive - fitted))
        weights = weights + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            return float(weights[1]), float(np.linalg.inv(information)[1, 1])
    return float("nan"), float("nan")


def r_squared(actual: Float64, predicted: Float64) -> float:
    """Return the coefficient of determination; 0 where the outcome does not vary."""
    spread = float(((actual - actual.mean()) ** 2).sum())
    return 1 - float(((actual - predicted) ** 2).sum()) / spread if spread else 0.0


def rmse(actual: Float64, predicted: Float64) -> float:
    """Return the root mean squared error."""
    return float(np.sqrt(((actual - predicted) ** 2).mean()))
