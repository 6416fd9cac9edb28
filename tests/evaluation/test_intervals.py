"""Intervals against known values, and their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.evaluation import intervals


def test_wilson_against_the_textbook():
    low, high = intervals.wilson(10, 100)
    assert (low, high) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert intervals.wilson(0, 50)[0] == 0
    assert intervals.wilson(50, 50)[1] == 1


@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_holds_the_estimate_and_stays_in_range(trials, share):
    low, high = intervals.wilson(share * trials, trials)
    assert 0 <= low <= share + 1e-9
    assert share - 1e-9 <= high <= 1


def test_groups_are_even_and_keyed():
    first = intervals.groups(103, 0, "a")
    assert set(np.bincount(first)) <= {10, 11}
    assert np.array_equal(first, intervals.groups(103, 0, "a"))
    assert not np.array_equal(first, intervals.groups(103, 0, "b"))


def test_leave_out_gives_the_total_first():
    counts = np.array([[1.0, 2], [3, 4]])
    assert intervals.leave_out(counts).tolist() == [[4, 6], [3, 4], [1, 2]]


def test_jackknife_of_a_mean_is_the_standard_error():
    values = np.random.default_rng(0).normal(size=intervals.GROUPS)
    left_out = (values.sum() - values) / (values.size - 1)
    low, high = intervals.jackknife(values.mean(), left_out, low=-math.inf)
    error = values.std(ddof=1) / math.sqrt(values.size)
    assert (high - low) / 2 == pytest.approx(2.262 * error, rel=1e-3)


@pytest.mark.statistical
def test_coverage_is_near_95_per_cent():
    """Over 400 draws fewer than 365 or more than 395 hits happen with probability < 1 % at 95 %."""
    rng = np.random.default_rng(5)
    hits = {"wilson": 0, "bootstrap": 0}
    for i in range(400):
        found = rng.binomial(200, 0.3)
        low, high = intervals.wilson(found, 200)
        hits["wilson"] += low <= 0.3 <= high
        values = rng.normal(1.0, 1.0, 80)
        low, high = intervals.bootstrap(lambda index, v=values: float(v[index].mean()), 80, i, "mean", 100)
        hits["bootstrap"] += low <= 1.0 <= high
    assert 365 <= hits["wilson"] <= 395
    assert 350 <= hits["bootstrap"] <= 395


def test_bootstrap_skips_what_is_not_finite():
    assert intervals.bootstrap(lambda _: math.nan, 10, 0, "nan", 5) == (-math.inf, math.inf)


def test_normal_interval():
    assert intervals.normal(1.0, 0.25) == pytest.approx((1 - 0.98, 1 + 0.98), abs=1e-3)
