"""Curves through knots: the same as numpy's interpolation, and straight on beyond the ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.generator.curve import Curve


@given(st.integers(0, 2**32), st.integers(2, 300), st.sampled_from([1e-6, 1.0, 1e4]))
def test_inside_the_knots_it_interpolates(seed, count, spread):
    rng = np.random.default_rng(seed)
    knots = np.cumsum(rng.exponential(spread, count)) - 3.0
    heights = np.cumsum(rng.exponential(1.0, count))
    values = np.append(rng.uniform(knots[0], knots[-1], 500), knots)
    assert Curve(knots, heights)(values) == pytest.approx(np.interp(values, knots, heights), rel=1e-8)


def test_crowded_knots_are_told_apart():
    """Most knots stand in one of the guide's buckets, as after an outlier."""
    knots = np.append(np.linspace(0.0, 1e-4, 256), 1e3)
    heights = np.arange(257.0)
    values = np.linspace(0.0, 2e-4, 5001)
    assert Curve(knots, heights)(values) == pytest.approx(np.interp(values, knots, heights), rel=1e-9)


def test_beyond_its_ends_the_slope_is_one():
    curve = Curve(np.array([0.0, 1.0]), np.array([10.0, 30.0]))
    assert curve(np.array([-2.5, 0.0, 0.5, 1.0, 4.0])) == pytest.approx([7.5, 10.0, 20.0, 30.0, 33.0])


def test_at_equal_knots_it_jumps():
    curve = Curve(np.array([0.0, 0.0, 0.5, 0.5, 1.0, 1.0]), np.array([0.0, 0.1, 0.2, 0.7, 0.9, 1.0]))
    assert curve(np.array([0.0, 0.25, 0.49, 0.5, 0.75])) == pytest.approx([0.1, 0.15, 0.198, 0.7, 0.8])
