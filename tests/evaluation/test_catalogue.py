"""Verdicts in words."""

from __future__ import annotations

import pytest

from fingan.evaluation import CATALOGUE, Metric, verdict


def level(name: str, value: float, reference: float | None) -> str:
    return verdict(Metric(name, value, CATALOGUE[name].direction, {}, reference, None)).level


@pytest.mark.parametrize(
    ("name", "value", "reference", "expected"),
    [
        ("shape_error", 0.9, 0.6, "good"),
        ("shape_error", 2.5, 0.6, "fair"),
        ("shape_error", 17.0, 0.6, "poor"),
        ("detection_auc", 0.52, 0.5, "good"),
        ("detection_auc", 0.7, 0.5, "fair"),
        ("detection_auc", 0.99, 0.5, "poor"),
        ("tstr_share", 99.0, 100.0, "good"),
        ("tstr_share", 90.0, 100.0, "poor"),
        ("beta_recall", 0.49, 0.5, "good"),
        ("beta_recall", 0.9, 0.5, "poor"),
        ("tstr_calibration_slope", 0.7, 0.7, "good"),
        ("tstr_calibration_slope", 0.2, 1.0, "poor"),
        ("tstr_rmse", 104.0, 100.0, "good"),
        ("tstr_rmse", 130.0, 100.0, "poor"),
        ("validity", 100.0, 99.9, "good"),
        ("validity", 99.9, 99.0, "fair"),
        ("class_rate_error", 9.0, 3.0, "good"),
        ("exact_copies", 0.2, 0.2, "good"),
        ("dcr_leak", 0.9, None, "poor"),
    ],
)
def test_verdicts(name, value, reference, expected):
    assert level(name, value, reference) == expected


def test_every_metric_is_described():
    for name, info in CATALOGUE.items():
        assert info.title, name
        assert info.meaning.endswith("."), name
        assert info.section in ("fidelity", "detection", "utility", "manifold", "memorisation")
        assert info.good <= info.fair
        assert info.domain[0] < info.domain[1]


def test_a_metric_must_be_finite():
    with pytest.raises(ValueError, match="'shape_error'"):
        Metric("shape_error", float("nan"), "lower", {}, None, None)
