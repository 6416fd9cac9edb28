"""Decimals of floats and the common step of integers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.encoding.lattice import Lattice, common_step, decimals_of, from_lattice, to_lattice
from fingan.rng import numpy_generator


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=30), st.integers(0, 6))
def test_decimal_numbers_are_found_and_exact(points, decimals):
    values = from_lattice(np.array(points), decimals)
    found = decimals_of(values, single=False)
    assert found is not None
    assert found <= decimals
    np.testing.assert_array_equal(from_lattice(to_lattice(values, found), found), values)


@pytest.mark.parametrize("decimals", range(7))
def test_single_precision_is_compared_in_single_precision(decimals):
    points = numpy_generator(decimals, "points").integers(-99_999, 99_999, 5000)
    values = from_lattice(points, decimals).astype(np.float32)
    found = decimals_of(values.astype(np.float64), single=True)
    assert found is not None
    assert found <= decimals
    back = from_lattice(to_lattice(values.astype(np.float64), found), found)
    np.testing.assert_array_equal(back.astype(np.float32), values)


@pytest.mark.parametrize(
    "values",
    [[1 / 3], [1e308], [5e-324], [2.0**53 + 2], [0.0, 1e-7], [1e300, -1e300, 1.0], [0.1 + 0.2]],
    ids=repr,
)
def test_other_numbers_have_no_lattice(values):
    assert decimals_of(np.array(values), single=False) is None


def test_edge_cases_of_the_lattice():
    assert decimals_of(np.array([]), single=False) == 0
    assert decimals_of(np.array([-0.0, 2.0**53]), single=False) == 0
    assert decimals_of(numpy_generator(0, "x").normal(size=10**5), single=False) is None


def test_a_late_finer_value_is_not_overlooked():
    values = np.zeros(100_001)
    values[-2] = 0.25
    assert decimals_of(values, single=False) == 2


def test_rounding_of_arithmetic_is_forgiven_to_a_half():
    values = np.round(numpy_generator(0, "x").random(1000) * 100, 2)
    values[:300] = np.nextafter(values[:300], np.inf)
    assert decimals_of(values, single=False) == 2
    values[300:600] = np.nextafter(values[300:600], np.inf)
    assert decimals_of(values, single=False) is None


def test_rounding_is_not_forgiven_where_any_number_would_pass():
    values = 1e9 + numpy_generator(0, "x").random(1000)
    assert decimals_of(values, single=False) is None
    assert decimals_of(0.05 * np.arange(10**5), single=False) == 2


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20, unique=True))
def test_step_is_the_greatest_common_divisor(values):
    values = sorted(values)
    expected = math.gcd(*(v - values[0] for v in values)) if len(values) > 1 else 1
    assert common_step(np.array(values, dtype=np.int64)) == expected


def test_step_of_many_values():
    assert common_step(np.arange(0, 10**7, 25)) == 25


@pytest.mark.parametrize("decimals", range(7))
def test_numbers_too_large_for_the_lattice_stay_at_its_ends(decimals):
    points = to_lattice(np.array([-1e308, -1e20, 1e20, 1e308]), decimals)
    assert points.tolist() == [-(2**62)] * 2 + [2**62] * 2


@given(st.data(), st.integers(-(2**63), 2**63 - 1), st.integers(1, 10**6))
def test_the_next_point_of_a_lattice_of_integers(data, origin, step):
    count = (2**63 - 1 - origin) // step
    lattice = Lattice(origin, step, 0, np.dtype(np.int64))
    value = data.draw(st.integers(origin, origin + count * step))
    (found,) = lattice.at_least(np.array([value])).tolist()
    assert value <= found < value + step
    assert (found - origin) % step == 0


@given(
    st.integers(-(10**6), 10**6),
    st.integers(1, 500),
    st.integers(0, 4),
    st.floats(0, 10**6),
    st.sampled_from([np.float32, np.float64]),
)
def test_the_next_point_of_a_lattice_of_floats(origin, step, decimals, beyond, dtype):
    lattice = Lattice(origin, step, decimals, np.dtype(dtype))
    points = origin + step * np.arange(2 + int(beyond) // step)
    values = from_lattice(points, decimals).astype(dtype).astype(np.float64)
    value = np.clip((origin + beyond) / 10.0**decimals, values[0], values[-1])
    (found,) = lattice.at_least(np.array([value]))
    assert found == values[np.searchsorted(values, value)]
    np.testing.assert_array_equal(lattice.at_least(values), values)
