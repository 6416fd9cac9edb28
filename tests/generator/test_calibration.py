"""Calibration: marginals of generated rows brought to those of the training rows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import ndtr, softmax

from fingan.encoding.layout import Layout
from fingan.generator import Calibration, calibrate, identity
from fingan.generator.calibration import KNOTS, fit_knots, fit_offsets
from tests.tiny import generator

LAYOUT = Layout(
    numeric=2, widths=(3, 2), units=4, unit_of_field=(0, 1, 2, 3), edges=(np.empty(0), np.empty(0))
)


def test_the_identity_maps_a_normal_score_to_its_probability():
    scores = np.array([[-3.0, 0.0], [1.5, 6.0]], dtype=np.float32)
    assert identity(LAYOUT).u(scores) == pytest.approx(ndtr(scores), abs=1e-7)


def test_fitted_knots_make_any_marginal_uniform():
    rng = np.random.default_rng(0)
    raw = np.stack([rng.exponential(3.0, 50_000), rng.normal(5.0, 0.1, 50_000)]).astype(np.float32)
    knots, scores = fit_knots(raw.T, {})
    u = Calibration(knots, scores, np.zeros(5, dtype=np.float32)).u(raw)
    for field in range(2):
        assert np.quantile(u[field], [0.01, 0.5, 0.99]) == pytest.approx([0.01, 0.5, 0.99], abs=3e-3)
        assert (np.diff(u[field, np.argsort(raw[field])]) >= 0).all()


def test_a_field_that_is_not_uniform_goes_to_its_places():
    """Half of the values lie evenly in the lower tenth, the others in the upper half, none between."""
    places = np.array([[0.0, 0.1, 0.5, 1.0], [0.0, 0.5, 0.5, 1.0]])
    calibration = dataclasses.replace(identity(LAYOUT), places={1: places})
    raw = np.random.default_rng(0).normal(size=(2, 20_000)).astype(np.float32)
    plain, placed = calibration.u(raw)
    assert plain == pytest.approx(ndtr(raw[0]), abs=1e-7)
    assert placed == pytest.approx(np.interp(ndtr(raw[1]), places[1], places[0]), abs=1e-6)
    assert not ((placed > 0.1) & (placed < 0.5)).any()
    again = Calibration.from_arrays(calibration.arrays())
    assert np.array_equal(again.u(raw)[1], placed)


def test_knots_of_ties_and_of_too_few_rows_are_still_a_map():
    knots, scores = fit_knots(np.zeros((100, 1), dtype=np.float32), {})
    assert (np.diff(knots[0]) > 0).all()
    knots, scores = fit_knots(np.ones((100, 1), dtype=np.float32), {0: np.zeros(100, dtype=bool)})
    assert knots[0] == pytest.approx(scores)
    assert scores.size == KNOTS


def test_offsets_bring_the_expected_shares_to_the_training_shares():
    rng = np.random.default_rng(1)
    logits = rng.normal(0.0, 2.0, (20_000, 5)).astype(np.float32)
    shares = [np.array([0.6, 0.3983, 0.0017]), np.array([0.99, 0.01])]
    offsets = fit_offsets(LAYOUT, logits, shares)
    first = softmax(logits[:, :3] + offsets[:3], axis=1).mean(axis=0)
    second = softmax(logits[:, 3:] + offsets[3:], axis=1).mean(axis=0)
    assert first == pytest.approx(shares[0], rel=0.01)
    assert second == pytest.approx(shares[1], rel=0.01)


def test_a_calibrated_engine_is_a_function_of_its_seed():
    engine = dataclasses.replace(generator().engine, calibration=identity(generator().engine.encoder.layout))
    once, twice = (calibrate(engine, 3000, seed=5).calibration for _ in range(2))
    other = calibrate(engine, 3000, seed=6).calibration
    assert np.array_equal(once.knots, twice.knots)
    assert not np.array_equal(once.knots, other.knots)
    again = Calibration.from_arrays(once.arrays())
    assert np.array_equal(again.offsets, once.offsets)
