"""Arrow to numpy and back, exactly."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.encoding.base import missing_of
from fingan.encoding.exchange import floats_from, integers_from, to_arrow, unscaled_from
from fingan.errors import DataError


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.int32(), pa.int64(), pa.uint64()], ids=str)
def test_integers(kind):
    array = pa.array([0, None, 5, 127], kind)
    assert to_arrow(integers_from("x", array), missing_of(array), kind).equals(array)


def test_unsigned_integers_beyond_64_bits_with_sign():
    with pytest.raises(DataError, match=r"column 'x': 18446744073709551615 does not fit.*decimal or double"):
        integers_from("x", pa.array([1, 2**64 - 1], pa.uint64()))


@given(st.lists(st.none() | st.integers(-(10**12) + 1, 10**12 - 1), min_size=1, max_size=20))
def test_decimals(unscaled):
    for kind in (pa.decimal128(12, 2), pa.decimal256(40, 2)):
        array = pa.array([None if v is None else Decimal(v).scaleb(-2) for v in unscaled], kind)
        for part in (array, array.slice(1)):
            assert to_arrow(unscaled_from("x", part), missing_of(part), kind).equals(part)


@pytest.mark.parametrize("kind", [pa.decimal128(38, 20), pa.decimal128(38, 38), pa.decimal256(60, 30)])
def test_decimals_of_many_places_beside_nulls(kind):
    array = pa.array([Decimal(12345).scaleb(-kind.scale), None, Decimal(0)], kind)
    assert unscaled_from("x", array).tolist() == [12345, 0, 0]
    assert to_arrow(unscaled_from("x", array), missing_of(array), kind).equals(array)


def test_decimals_beyond_64_bits():
    with pytest.raises(DataError, match=r"column 'x': Decimal.*too many digits.*double"):
        unscaled_from("x", pa.array([Decimal("1E+20")], pa.decimal128(30, 0)))


def test_floats_take_nan_for_null_and_refuse_infinity():
    values, missing = floats_from("x", pa.array([1.5, None, float("nan")]))
    assert missing.tolist() == [False, True, True]
    assert values[0] == 1.5
    with pytest.raises(DataError, match=r"column 'x': -inf is not finite"):
        floats_from("x", pa.array([1.0, -np.inf]))


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()], ids=str)
def test_float_types_are_kept(kind):
    array = pa.array(np.array([0.5, -2.0, 0.0]).astype(kind.to_pandas_dtype()), kind)
    assert to_arrow(*floats_from("x", array), kind).equals(array)


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64(), pa.timestamp("ns", "Europe/Paris")], ids=str)
def test_ticks_become_dates_and_timestamps(kind):
    ticks = np.array([0, 86_400_000 * 3])
    array = to_arrow(ticks, np.array([False, True]), kind)
    assert array.type == kind
    assert array.null_count == 1
