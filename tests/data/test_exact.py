"""Casts to floats and ranges, as exact as the values are written."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.data.exact import outside_range, to_floats

WHOLE = [pa.int8(), pa.uint8(), pa.int64(), pa.uint64()]


def outside(
    values: list[object], kind: pa.DataType, low: float | None = None, high: float | None = None
) -> list[bool]:
    found = outside_range(pa.array(values, kind), low, high).tolist()
    assert outside_range(pa.chunked_array([pa.array(values, kind)]), low, high).tolist() == found
    return found


@given(st.lists(st.integers(-(10**30), 10**30), max_size=20), st.integers(0, 38))
def test_decimals_become_the_nearest_doubles(unscaled: list[int], scale: int) -> None:
    values = [Decimal(f"{number}E{-scale}") for number in unscaled]
    column = pa.array(values, pa.decimal128(38, scale))
    assert to_floats(column).to_pylist() == [float(v) for v in values]


def test_nulls_and_other_types_become_floats_too() -> None:
    assert to_floats(pa.array([Decimal("0.35"), None])).to_pylist() == [0.35, None]
    assert to_floats(pa.chunked_array([[True, None]])).to_pylist() == [1.0, None]
    assert to_floats(pa.array([2**53 + 1])).to_pylist() == [2.0**53]
    assert to_floats(pa.array([Decimal("0.1")]), pa.float32()).equals(pa.array([0.1], pa.float32()))


@given(
    st.lists(st.integers(-9999, 9999), max_size=20),
    st.none() | st.integers(-120, 120).map(lambda n: n / 100),
    st.none() | st.integers(-(10**9), 10**9) | st.floats(-1e9, 1e9),
)
def test_decimals_are_compared_with_what_the_bound_says(
    cents: list[int], low: float | None, high: float | None
) -> None:
    values = [Decimal(number).scaleb(-2) for number in cents]
    wrong = [
        (low is not None and Fraction(v) < Fraction(str(low)))
        or (high is not None and Fraction(v) > Fraction(str(high)))
        for v in values
    ]
    assert outside(list(values), pa.decimal128(4, 2), low, high) == wrong


@given(
    st.sampled_from(WHOLE),
    st.data(),
    st.integers(-(2**70), 2**70) | st.floats(-1e20, 1e20),
    st.integers(-(2**70), 2**70) | st.floats(-1e20, 1e20),
)
def test_integers_are_compared_exactly(
    kind: pa.DataType, data: st.DataObject, low: float, high: float
) -> None:
    limits = np.iinfo(kind.to_pandas_dtype())
    values = data.draw(st.lists(st.integers(int(limits.min), int(limits.max)), max_size=10))
    wrong = [v < Fraction(str(low)) or v > Fraction(str(high)) for v in values]
    assert outside(list(values), kind, low, high) == wrong


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
def test_floats_are_compared_with_the_nearest_float(kind: pa.DataType) -> None:
    assert outside([0.1, 0.7, 0.70001], kind, 0.1, 0.7) == [False, False, True]
    assert outside([0.5], kind, 1e300) == [True]
    assert outside([0.5], kind, -1e300, 1e300) == [False]


@pytest.mark.parametrize(
    ("values", "kind"),
    [([None, float("nan"), 2.0], pa.float64()), ([None, None, 2], pa.uint8())],
    ids=["float", "integer"],
)
@pytest.mark.parametrize("bound", [3, 300])
def test_missing_values_keep_every_range(values: list[object], kind: pa.DataType, bound: int) -> None:
    assert outside(values, kind, low=bound) == [False, False, True]
    assert outside(values, kind, high=-bound) == [False, False, True]
