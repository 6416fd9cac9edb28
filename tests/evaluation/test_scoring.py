"""Scores against scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from fingan.evaluation import scoring

outcomes = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=60)


@given(outcomes)
def test_auc_and_average_precision_agree_with_scikit_learn(pairs):
    positive, scores = np.array([p for p, _ in pairs]), np.array([s / 6 for _, s in pairs])
    if 0 < positive.sum() < positive.size:
        assert scoring.roc_auc(positive, scores) == pytest.approx(metrics.roc_auc_score(positive, scores))
        expected = metrics.average_precision_score(positive, scores)
        assert scoring.average_precision(positive, scores) == pytest.approx(expected)
        assert scoring.f1(positive, scores > 0.5) == pytest.approx(metrics.f1_score(positive, scores > 0.5))
    assert scoring.brier(positive, scores) == pytest.approx(np.mean((scores - positive) ** 2))


def test_scores_of_a_single_class():
    none = np.zeros(5, bool)
    assert scoring.roc_auc(none, np.arange(5.0)) == 0.5
    assert scoring.roc_auc_variance(none, np.arange(5.0)) == 0.25
    assert np.isnan(scoring.average_precision(none, np.arange(5.0)))
    assert np.isnan(scoring.calibration_slope(none, np.full(5, 0.3))[0])
    assert scoring.f1(none, none) == 0


@pytest.mark.statistical
def test_delongs_variance_is_the_variance_over_samples():
    rng = np.random.default_rng(0)
    positive = np.repeat([True, False], [60, 120])
    draws = rng.normal(size=(600, 180)) + positive
    aucs = [scoring.roc_auc(positive, d) for d in draws]
    claimed = np.mean([scoring.roc_auc_variance(positive, d) for d in draws[:100]])
    assert claimed == pytest.approx(np.var(aucs), rel=0.2)


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.0])
def test_calibration_slope_recovers_the_stretch(factor):
    rng = np.random.default_rng(1)
    logit = rng.normal(size=40_000) * 1.5
    positive = rng.random(40_000) < 1 / (1 + np.exp(-logit))
    slope, variance = scoring.calibration_slope(positive, 1 / (1 + np.exp(-logit / factor)))
    assert slope == pytest.approx(factor, abs=4 * np.sqrt(variance))


def test_calibration_slope_gives_up_where_classes_separate():
    positive = np.repeat([False, True], 50)
    assert not np.isfinite(scoring.calibration_slope(positive, np.where(positive, 0.9, 0.1) + 0.001)[0])
    assert not np.isfinite(scoring.calibration_slope(positive, np.full(100, 0.4))[0])


def test_regression_scores():
    actual, guess = np.array([1.0, 2, 3]), np.array([1.0, 2, 5])
    assert scoring.rmse(actual, guess) == pytest.approx(np.sqrt(4 / 3))
    assert scoring.r_squared(actual, guess) == pytest.approx(1 - 4 / 2)
    assert scoring.r_squared(np.ones(3), guess) == 0
