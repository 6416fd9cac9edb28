"""Pieces: exact inverse, uniform u, valid values for any u, the range of the training rows."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import kstest

from fingan.encoding.lattice import common_step
from fingan.encoding.pieces import Pieces
from fingan.errors import BundleError, DataError
from fingan.rng import numpy_generator

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=64)


def fit(values, missing=None, step=None):
    values = np.asarray(values)
    missing = np.zeros(values.size, dtype=bool) if missing is None else missing
    if values.dtype == np.int64 and step is None:
        step = common_step(np.unique(values[~missing]))
    distinct, counts = np.unique(values[~missing], return_counts=True)
    return Pieces.from_counts(distinct, counts, int(missing.sum()), lattice_step=step), missing


def rng(seed=0):
    return numpy_generator(seed, "test pieces")


def draw(pieces, values, missing, share):
    lower, width = pieces.interval(values, missing)
    return pieces.quantile(lower + share * width)


@given(st.lists(INT64, min_size=1, max_size=60), st.floats(0.0, 1.0, exclude_max=True), st.data())
def test_any_integers_come_back_exactly(values, share, data):
    values = np.array(values, dtype=np.int64)
    flags = st.lists(st.booleans(), min_size=values.size, max_size=values.size)
    missing = np.array(data.draw(flags)) & (np.arange(values.size) > 0)
    pieces, _ = fit(values, missing)
    back, null = draw(pieces, values, missing, share)
    np.testing.assert_array_equal(null, missing)
    np.testing.assert_array_equal(back[~missing], values[~missing])


@pytest.mark.parametrize("share", [0.0, 0.3, np.nextafter(1.0, 0.0)])
@pytest.mark.parametrize(
    "make",
    [
        lambda r: r.integers(0, 40_000, 30_000),
        lambda r: np.rint(r.lognormal(8, 2, 30_000)),
        lambda r: 2**53 + r.integers(0, 10**6, 30_000),
        lambda r: 2**63 - 1 - r.integers(0, 10**6, 30_000),
        lambda r: 100 * r.integers(-(2**40), 2**40, 30_000),
        lambda r: np.where(r.random(30_000) < 0.9, 0, r.integers(0, 86_400 * 10**9, 30_000)),
    ],
    ids=["even", "skewed", "beyond 2^53", "at 2^63", "step 100", "mostly zero"],
)
def test_runs_of_integers_come_back_exactly(make, share):
    values = make(rng()).astype(np.int64)
    pieces, none = fit(values)
    assert len(pieces.low) < np.unique(values).size
    back, _ = draw(pieces, values, none, share)
    np.testing.assert_array_equal(back, values)


@given(st.lists(FLOATS, min_size=1, max_size=60), st.floats(0.0, 1.0, exclude_max=True))
def test_any_floats_come_back_to_the_precision_of_their_run(values, share):
    values = np.array(values)
    pieces, none = fit(values)
    back, _ = draw(pieces, values, none, share)
    span = pieces.high[pieces._piece_of(values)] / 2 - pieces.low[pieces._piece_of(values)] / 2
    assert (np.abs(back / 2 - values / 2) <= 1e-8 * span + 2**-1073).all()
    atoms = np.isin(values, pieces.low[pieces.low == pieces.high])
    np.testing.assert_array_equal(back[atoms], values[atoms])


@given(st.lists(INT64, min_size=1, max_size=40), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_any_u_is_a_valid_lattice_value(values, u):
    pieces, _ = fit(np.array(values, dtype=np.int64))
    back, null = pieces.quantile(np.array([*u, 0.0, 1.0]))
    assert not null.any()
    assert all(pieces.minimum <= v <= pieces.maximum for v in back.tolist())
    assert all((v - values[0]) % pieces.step == 0 for v in back.tolist())


@given(st.lists(FLOATS, min_size=1, max_size=40), st.lists(st.floats(0.0, 1.0), min_size=1, max_size=20))
def test_any_u_is_a_finite_float_in_the_range(values, u):
    pieces, _ = fit(np.array(values))
    back, _ = pieces.quantile(np.array([*u, 0.0, 1.0]))
    assert ((back >= min(values)) & (back <= max(values))).all()


def test_the_quantile_function_never_decreases():
    values = np.rint(rng().lognormal(6, 1, 20_000)).astype(np.int64)
    pieces, _ = fit(values)
    back, _ = pieces.quantile(np.linspace(0.0, 1.0, 200_001))
    assert (np.diff(back) >= 0).all()


@pytest.mark.statistical
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
@pytest.mark.parametrize(
    "make",
    [
        lambda r: r.normal(size=50_000),
        lambda r: r.poisson(3, 50_000),
        lambda r: np.rint(r.lognormal(8, 2, 50_000)).astype(np.int64),
        lambda r: np.round(r.exponential(size=50_000), 3),
    ],
    ids=["normal", "poisson", "lognormal", "rounded"],
)
def test_u_of_the_training_rows_is_uniform(make, share):
    values = make(rng(1))
    missing = rng(2).random(values.size) < share
    pieces, _ = fit(values, missing)
    lower, width = pieces.interval(values, missing)
    u = lower + rng(3).random(values.size) * width
    assert kstest(u, "uniform").pvalue > 1e-3
    assert pieces.missing_share == pytest.approx(missing.mean())
    _, null = pieces.quantile(rng(4).random(50_000))
    assert null.mean() == pytest.approx(missing.mean(), abs=0.01)


@pytest.mark.parametrize("double", [True, False])
def test_atoms_survive_single_precision_and_a_normal_score(double):
    r = rng(5)
    values = np.where(r.random(300_000) < 0.5, r.poisson(40, 300_000), r.integers(0, 10**6, 300_000))
    missing = r.random(values.size) < 0.05
    pieces, _ = fit(values, missing)
    lower, width = (x.astype(np.float32) for x in pieces.interval(values, missing))
    for share in (
        np.float32(0.0),
        r.random(values.size, dtype=np.float32),
        np.nextafter(np.float32(1), np.float32(0)),
    ):
        score = np.clip(ndtri(lower + share * width), -8.0, 8.0).astype(np.float32)
        assert score.dtype == np.float32
        u = ndtr(score.astype(np.float64) if double else score).astype(np.float64)
        back, null = pieces.quantile(u)
        atoms = np.isin(values, pieces.low[pieces.low == pieces.high]) & ~missing
        assert atoms.mean() > 0.4
        np.testing.assert_array_equal(back[atoms], values[atoms])
        np.testing.assert_array_equal(null, missing)


def test_values_that_repeat_are_atoms_and_rare_ones_runs():
    values = np.concatenate([np.repeat(np.arange(5), 1000), np.arange(100_000, 104_000)])
    pieces, _ = fit(values)
    atoms = pieces.low[pieces.low == pieces.high]
    assert set(range(5)) <= set(atoms.tolist())
    runs = pieces.counts[pieces.low != pieces.high]
    assert runs.max() <= 10
    assert runs.sum() > 3900


def test_a_run_holds_at_most_its_share_of_the_rows():
    pieces, _ = fit(rng().normal(size=100_000))
    assert pieces.counts.max() <= 100_000 / 2048 + 2
    assert pieces.counts[:4].max() <= 3
    assert pieces.counts[-4:].max() <= 3
    assert len(pieces.low) < 2500


def test_a_short_continuous_column_is_not_kept_value_by_value():
    pieces, _ = fit(rng().normal(size=1000))
    assert np.union1d(pieces.low, pieces.high).size < 500
    repeated, _ = fit(np.repeat(rng().normal(size=100), 5))
    assert (repeated.low == repeated.high).all()


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_heavy_tails_keep_mean_and_spread(sigma):
    values = rng().lognormal(0, sigma, 30_000)
    pieces, _ = fit(values)
    back, _ = pieces.quantile((np.arange(10**6) + 0.5) / 10**6)
    assert back.mean() == pytest.approx(values.mean(), rel=0.01)
    assert back.std() == pytest.approx(values.std(), rel=0.03)


def test_edges_of_heavy_atoms_and_of_missing():
    values = np.concatenate([np.zeros(500), rng().normal(10, 1, 400), np.full(100, 99.0)])
    missing = np.arange(1000) >= 950
    pieces, _ = fit(values, missing)
    np.testing.assert_allclose(pieces.atom_edges(), [0.05, 0.55, 0.95])


def test_values_between_pieces_go_to_the_nearer_end():
    pieces, _ = fit(np.repeat(np.array([0, 10, 2**62]), 5), step=1)
    back, _ = draw(pieces, np.array([4, 6, 2**61 + 6, 2**61]), np.zeros(4, dtype=bool), 0.5)
    assert back.tolist() == [0, 10, 2**62, 10]


def test_values_outside_are_refused_or_clamped():
    pieces, _ = fit(np.repeat(np.array([0, 10]), 5))
    outside = np.array([-1, 11])
    with pytest.raises(DataError, match=r"-1 lies outside the training range \[0, 10\]; clamp"):
        pieces.interval(outside, np.zeros(2, dtype=bool))
    lower, width = pieces.interval(outside, np.zeros(2, dtype=bool), clamp=True)
    assert pieces.quantile(lower + width / 2)[0].tolist() == [0, 10]


def test_missing_needs_training_rows_that_miss():
    pieces, _ = fit(np.arange(10))
    with pytest.raises(DataError, match="missing value"):
        pieces.interval(np.arange(2), np.array([True, False]))


@pytest.mark.parametrize("values", [np.arange(3000) ** 2, rng().normal(size=3000)], ids=["lattice", "floats"])
def test_state_gives_the_same_distribution(values):
    missing = rng().random(3000) < 0.1
    pieces, _ = fit(values, missing)
    document, arrays = pieces.state()
    again = Pieces.from_state(json.loads(json.dumps(document)), arrays)
    u = rng(9).random(5000)
    for one, two in zip(pieces.quantile(u), again.quantile(u), strict=True):
        np.testing.assert_array_equal(one, two)


def test_torn_state_is_refused():
    document, arrays = fit(np.arange(5000) * 7 % 4999)[0].state()
    with pytest.raises(BundleError, match="ascending"):
        Pieces.from_state(document, arrays | {"low": arrays["low"][::-1].copy()})
    with pytest.raises(BundleError):
        Pieces.from_state(document, arrays | {"counts": arrays["counts"][:-1]})
