"""Calibration: marginals of generated rows brought to those of the training rows."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import ndtr, ndtri, softmax
from scipy.stats import kstest

from fingan.encoding.layout import CopyField, Layout
from fingan.generator import BLOCK, Calibration, calibrate, identity
from fingan.generator.calibrate import own_places, rows_matched
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


def test_own_values_fill_up_what_copies_leave():
    """A field copies a skewed source in a third of the rows."""
    rng, rows = np.random.default_rng(3), 100_000
    skewed = ndtr(np.linspace(-4, 4, 513)) ** 0.7
    copy = CopyField(1, 0, (0,), ndtri(skewed)[None], 4.0, np.empty((2, 0)))
    codes = rng.choice(2, rows, p=[0.667, 0.333])
    u = rng.random((2, rows))
    places = own_places(dataclasses.replace(LAYOUT, copies=(copy,)), u, {1: codes})
    assert kstest(u[1], "uniform").statistic < 0.005
    assert kstest(u[1, codes == 1], "uniform").statistic > 0.1
    assert set(places) == {1}
    assert (np.diff(places[1]) >= 0).all()


def test_copies_of_too_many_large_values_leave_the_order_intact():
    """More mass above a place than there is room for: own values all go below, none is lost."""
    rng, rows = np.random.default_rng(4), 20_000
    copy = CopyField(1, 0, (0,), np.full((1, 513), 2.0), 4.0, np.empty((2, 0)))
    codes = rng.choice(2, rows, p=[0.5, 0.5])
    u = rng.random((2, rows))
    places = own_places(dataclasses.replace(LAYOUT, copies=(copy,)), u, {1: codes})[1]
    assert (np.diff(places) >= 0).all()
    assert places[1, 0] == 0.0
    assert places[1, -1] == 1.0
    assert np.isfinite(u).all()


def test_a_copy_of_a_heavy_value_counts_as_an_own_value():
    rng, rows = np.random.default_rng(5), 50_000
    line = np.linspace(-4, 4, 513)[None]
    heavy = np.array([[0.0, 0.6], [0.2, 0.7]])
    copy = CopyField(1, 0, (0,), line, 4.0, heavy)
    codes = rng.choice(2, rows, p=[0.5, 0.5])
    u = rng.random((2, rows))
    source, before = u[0].copy(), codes.copy()
    own_places(dataclasses.replace(LAYOUT, copies=(copy,)), u, {1: codes})
    lost = (before == 1) & (codes == 0)
    assert np.array_equal(lost, (before == 1) & ((source <= 0.2) | ((source >= 0.6) & (source <= 0.7))))
    assert u[1, codes == 1] == pytest.approx(source[codes == 1], abs=1e-3)
    assert kstest(u[1], "uniform").statistic < 0.01


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
    offsets = fit_offsets([logits[:, :3].T, logits[:9_000, 3:].T], shares)
    first = softmax(logits[:, :3] + offsets[:3], axis=1).mean(axis=0)
    second = softmax(logits[:9_000, 3:] + offsets[3:], axis=1).mean(axis=0)
    assert first == pytest.approx(shares[0], rel=0.01)
    assert second == pytest.approx(shares[1], rel=0.01)


def test_fields_with_rare_codes_are_matched_on_all_rows_as_long_as_there_is_room():
    common, rare = np.full(4, 0.25), np.array([0.9983, 0.0017])
    wide = np.full(200, 1 / 200)
    widths = (4, 2, 200, 2)
    layout = Layout(numeric=0, widths=widths, units=4, unit_of_field=(0, 1, 2, 3), edges=())
    unseen = np.array([1.0, 0.0])
    assert rows_matched(layout, [common, rare, wide, unseen], 200_000) == [50_000, 200_000, 50_000, 50_000]
    assert rows_matched(layout, [common, rare, wide, unseen], 3_000) == [3_000] * 4
    assert rows_matched(layout, [common, rare, wide, unseen], 90_000)[2] == 90_000
    assert rows_matched(dataclasses.replace(layout, widths=(), units=0), [], 5) == []


@dataclasses.dataclass(frozen=True)
class Sure:
    """Stands for an engine whose network is sure of every label: one of 400 rows is rare."""

    layout: Layout
    calibration: Calibration

    @property
    def encoder(self):
        return self

    def frequencies(self):
        return [np.array([0.9983, 0.0017])]

    def draw(self, seed, purpose, block):
        return SimpleNamespace(normal=np.random.default_rng([seed, block]), choice=np.zeros((1, BLOCK)))

    def raw(self, normal, values, mask):
        rare = np.where(normal.random(BLOCK) < 1 / 400, 8.0, -8.0)
        logits = np.stack([np.zeros(BLOCK), rare]).astype(np.float32)
        return SimpleNamespace(numbers=np.zeros((0, BLOCK), np.float32), logits=logits)


def test_a_rare_code_that_the_network_is_sure_of_is_matched_on_all_rows():
    layout = Layout(numeric=0, widths=(2,), units=1, unit_of_field=(0,), edges=())
    engine, blocks = Sure(layout, identity(layout)), 200
    offsets = calibrate(engine, blocks * BLOCK, seed=0).calibration.offsets
    raw = np.hstack([engine.raw(engine.draw(0, "", b).normal, None, None).logits for b in range(blocks)])
    shares = [softmax(raw[:, :n].T + offsets, axis=1).mean(axis=0)[1] for n in (50_000, raw.shape[1])]
    assert shares[1] == pytest.approx(0.0017, rel=0.01)
    # So it would have been had it been matched on the first rows.
    assert abs(shares[0] / 0.0017 - 1.0) > 0.02


def test_a_calibrated_engine_is_a_function_of_its_seed():
    engine = dataclasses.replace(generator().engine, calibration=identity(generator().engine.encoder.layout))
    once, twice = (calibrate(engine, 3000, seed=5).calibration for _ in range(2))
    other = calibrate(engine, 3000, seed=6).calibration
    assert np.array_equal(once.knots, twice.knots)
    assert not np.array_equal(once.knots, other.knots)
    again = Calibration.from_arrays(once.arrays())
    assert np.array_equal(again.offsets, once.offsets)
