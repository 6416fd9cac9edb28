"""Numbers, integers and decimals through their encoder."""

from __future__ import annotations

import re
import time
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.encoding.base import NumericValues
from fingan.encoding.levels import NumericLevels
from fingan.encoding.number import CODES_AT_MOST, NumberEncoder
from fingan.encoding.pieces import Pieces
from fingan.errors import DataError
from fingan.rng import numpy_generator

INT64 = st.integers(-(2**63), 2**63 - 1)


def rng(seed=0):
    return numpy_generator(seed, "test number")


@given(st.lists(st.none() | INT64, min_size=1, max_size=60), st.integers(0, 9))
def test_any_integers(round_trip, values, seed):
    array = pa.array(values, pa.int64())
    encoder = NumberEncoder.fit("x", "integer", array)
    assert round_trip(encoder, array, seed).equals(array)


@given(st.lists(st.none() | st.integers(0, 255), min_size=1, max_size=60))
@pytest.mark.parametrize("kind", [pa.uint8(), pa.int16(), pa.uint32(), pa.uint64()], ids=str)
def test_integer_types_are_kept(round_trip, kind, values):
    array = pa.array(values, kind)
    assert round_trip(NumberEncoder.fit("x", "integer", array), array).equals(array)


@given(st.lists(st.none() | st.integers(-(10**11), 10**11), min_size=1, max_size=60))
def test_any_decimals(round_trip, values):
    array = pa.array([None if v is None else Decimal(v).scaleb(-2) for v in values], pa.decimal128(14, 2))
    assert round_trip(NumberEncoder.fit("x", "decimal", array), array).equals(array)


@given(
    st.lists(st.none() | st.integers(-(10**8), 10**8), min_size=1, max_size=60),
    st.integers(0, 6),
    st.sampled_from([pa.float64(), pa.float32()]),
)
def test_any_numbers_of_few_decimals(round_trip, points, decimals, kind):
    array = pa.array([None if p is None else p / 10**decimals for p in points], kind)
    encoder = NumberEncoder.fit("x", "number", array)
    if encoder.decimals is not None:
        assert round_trip(encoder, array).equals(array)
    else:
        # In single precision seven digits need not name a number.
        assert kind == pa.float32()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
def test_any_floats_stay_in_the_range(round_trip, values):
    array = pa.array(values, pa.float64())
    back = round_trip(NumberEncoder.fit("x", "number", array), array).to_numpy()
    assert ((back >= min(values)) & (back <= max(values))).all()


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("number", lambda r: r.lognormal(8, 2, 20_000).round(2)),
        ("number", lambda r: r.poisson(3.0, 20_000).astype(float)),
        ("integer", lambda r: r.integers(-(10**6), 10**6, 20_000).astype(np.int32)),
        ("integer", lambda r: r.integers(0, 10, 20_000)),
    ],
    ids=["cents", "whole floats", "integers", "codes"],
)
def test_large_columns_with_nulls(round_trip, kind, make, share):
    values = make(rng())
    array = pa.array(values, mask=rng(1).random(values.size) < share)
    encoder = NumberEncoder.fit("x", kind, array)
    assert round_trip(encoder, array).equals(array)
    assert encoder.encode(array)[0].__class__.__name__ in ("NumericValues", "CategoryValues")


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_continuous_floats_to_the_precision_of_their_run(round_trip, share):
    values = rng().normal(size=50_000)
    array = pa.array(values, mask=rng(1).random(values.size) < share)
    encoder = NumberEncoder.fit("x", "number", array)
    assert encoder.decimals is None
    back = round_trip(encoder, array)
    assert back.is_null().equals(array.is_null())
    np.testing.assert_allclose(back.drop_null(), array.drop_null(), rtol=0, atol=1e-11)


def test_atoms_are_exact_in_single_precision():
    array = pa.array(np.rint(rng().normal(500, 100, 300_000)))
    encoder = NumberEncoder.fit("x", "number", array)
    (values,) = encoder.encode(array)
    assert isinstance(values, NumericValues)
    assert values.lower.dtype == values.width.dtype == np.float32
    u = (values.lower + rng().random(len(array), dtype=np.float32) * values.width).astype(np.float64)
    assert encoder.decode([u], u).equals(array)


@pytest.mark.parametrize(
    "values",
    [
        [2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2],
        [-(2**63), 2**63 - 1, 0],
        list(range(2**53, 2**53 + 50)),
        [*range(50), -(2**63), 2**63 - 1],
    ],
    ids=["2^53 codes", "extreme codes", "2^53 pieces", "extreme pieces"],
)
def test_integers_that_floats_confuse(round_trip, values):
    array = pa.array(values, pa.int64())
    assert round_trip(NumberEncoder.fit("x", "integer", array), array).equals(array)


@pytest.mark.parametrize(
    "values", [[-0.0, 0.0, 1.0], [5e-324, 1e-310, 0.0], [1e308, -1e308], [1 / 3] * 4, [0.1 + 0.2]], ids=repr
)
def test_floats_at_the_limits(round_trip, values):
    array = pa.array(values * 3, pa.float64())
    back = round_trip(NumberEncoder.fit("x", "number", array), array)
    assert back.to_pylist() == array.to_pylist()


@pytest.mark.parametrize("kind", [pa.int16(), pa.float64(), pa.decimal128(9, 2)], ids=str)
@pytest.mark.parametrize(
    ("values", "width"), [([7] * 5, 1), ([7, None], 2), ([None] * 3, 1), ([7], 1)], ids=repr
)
def test_constant_and_null_columns_have_a_category_of_few_codes(round_trip, kind, values, width):
    array = pa.array(values, kind)
    encoder = NumberEncoder.fit("x", "number" if kind == pa.float64() else "decimal", array)
    (field,) = encoder.fields
    assert (field.name, field.kind, field.width) == ("x", "category", width)
    assert field.frequencies.sum() == pytest.approx(1.0)
    assert round_trip(encoder, array).equals(array)


def test_few_distinct_values_become_codes():
    few = NumberEncoder.fit("x", "integer", pa.array(list(range(CODES_AT_MOST)) * 2))
    many = NumberEncoder.fit("x", "integer", pa.array(list(range(CODES_AT_MOST + 1)) * 2))
    assert isinstance(few.form, NumericLevels)
    assert isinstance(many.form, Pieces)
    assert few.fields[0].width == CODES_AT_MOST


def test_decoded_values_stay_on_the_lattice():
    array = pa.array(0.05 * rng().integers(0, 10**6, 20_000))
    encoder = NumberEncoder.fit("x", "number", array)
    back = encoder.decode([rng(1).random(50_000)], np.zeros(50_000)).to_numpy()
    np.testing.assert_array_equal(np.round(back, 2), back)
    np.testing.assert_array_equal(np.rint(back * 100) % 5, 0)


def test_values_outside_name_column_value_and_range():
    encoder = NumberEncoder.fit("amount", "number", pa.array(np.arange(100) / 4))
    with pytest.raises(DataError, match=r"column 'amount': 99\.5 lies outside.*\[0\.0, 24\.75\].*clamp"):
        encoder.encode(pa.array([1.0, 99.5]))
    (values,) = encoder.intervals(pa.array([99.5]), clamp=True)
    assert encoder.decode([values.lower + values.width / 2], np.zeros(1)).to_pylist() == [24.75]


@pytest.mark.parametrize("value", [1e17, 1e300, -1e300, 99.501])
@pytest.mark.parametrize("steps", [5, 100], ids=["codes", "pieces"])
def test_floats_far_outside_are_named_as_they_are_or_clamped_to_the_nearer_end(value, steps):
    encoder = NumberEncoder.fit("amount", "number", pa.array(np.arange(steps * 20) % steps / 4))
    with pytest.raises(DataError, match=re.escape(f"column 'amount': {value!r} lies outside")):
        encoder.encode(pa.array([value]))
    (far,) = encoder.encode(pa.array([value]), clamp=True)
    (end,) = encoder.encode(pa.array([0.0 if value < 0 else (steps - 1) / 4]))
    for name, values in vars(end).items():
        np.testing.assert_array_equal(getattr(far, name), values)


@pytest.mark.parametrize("steps", [5, 100], ids=["codes", "pieces"])
@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
def test_what_would_round_to_an_end_lies_outside(kind, steps):
    array = pa.array(np.arange(steps * 20) % steps * 1.0, kind)
    encoder = NumberEncoder.fit("util", "number", array)
    for value in (steps - 0.6, -0.4, np.nextafter(np.float32(steps - 1), np.float32(steps)).item()):
        far = pa.array([value], kind)
        with pytest.raises(DataError, match=re.escape(f"{far[0].as_py()!r} lies outside the training range")):
            encoder.encode(far)
    assert encoder.encode(pa.array([0.4, steps - 1.4, 0.0], kind))


def test_the_rounding_of_arithmetic_is_not_outside():
    values = np.append(np.arange(100) / 10, 3 * [9.9 + 0.3])
    assert values.max() > 10.2
    encoder = NumberEncoder.fit("x", "number", pa.array(np.append(values, 10.2)))
    assert encoder.decimals == 1
    assert encoder.encode(pa.array(values))


def test_codes_outside_are_refused_or_clamped():
    encoder = NumberEncoder.fit("n", "integer", pa.array([1, 2, 5] * 3))
    with pytest.raises(DataError, match=r"column 'n': 9 lies outside the training range \[1, 5\]"):
        encoder.encode(pa.array([9]))
    assert encoder.encode(pa.array([9, 4]), clamp=True)[0].codes.tolist() == [2, 2]


def test_the_next_integer_is_outside_where_floats_confuse_both():
    encoder = NumberEncoder.fit("n", "integer", pa.array(range(2**53 - 100, 2**53 + 1)))
    with pytest.raises(DataError, match=f"{2**53 + 1} lies outside"):
        encoder.encode(pa.array([2**53 + 1]))


def test_nulls_need_training_rows_with_nulls():
    encoder = NumberEncoder.fit("n", "integer", pa.array(range(100)))
    with pytest.raises(DataError, match="column 'n': a missing value"):
        encoder.encode(pa.array([None], pa.int64()))
    with pytest.raises(DataError, match="column 'n'"):
        encoder.encode(pa.nulls(2))


@pytest.mark.parametrize(
    ("array", "kind", "message"),
    [
        (pa.array([1.0, np.inf]), "number", r"column 'x': inf is not finite; replace it"),
        (pa.array([2**64 - 1], pa.uint64()), "integer", r"column 'x': 18446744073709551615 .*drop it"),
        (pa.array([Decimal(10) ** 25], pa.decimal128(38, 0)), "decimal", r"column 'x': .*too many digits"),
        (pa.array(["a"]), "number", r"column 'x' has type string, not a number; make it kind 'category'"),
        (pa.array([1.5, 2.0]), "integer", r"column 'x' is of kind 'integer' but holds fractions"),
    ],
    ids=["inf", "uint64", "decimal", "text", "fractions"],
)
def test_what_cannot_be_fitted_says_why(array, kind, message):
    with pytest.raises(DataError, match=message):
        NumberEncoder.fit("x", kind, array)


def test_chunks_do_not_matter():
    values = rng().integers(0, 1000, 5000)
    one = NumberEncoder.fit("x", "integer", pa.array(values))
    two = NumberEncoder.fit("x", "integer", pa.chunked_array([values[:1], values[1:]]))
    np.testing.assert_array_equal(one.form.low, two.form.low)


@pytest.mark.parametrize(
    "name", ["adult_train", "uci_default", "ulb_creditcard_sample", "card_transactions_simulated"]
)
def test_real_tables(round_trip, shared_data, name):
    table = pq.read_table(shared_data / f"{name}.parquet")
    numeric = [f.name for f in table.schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
    for column in numeric:
        array = table[column].combine_chunks()
        back = round_trip(NumberEncoder.fit(column, "number", array), array)
        # Amounts of the simulated transactions carry the rounding of sums, which decoding removes.
        np.testing.assert_allclose(back.to_numpy(), array.to_numpy(), rtol=1e-15 if "simu" in name else 1e-9)


def test_fit_and_decode_are_fast():
    values = rng().lognormal(8, 2, 10**6).round(2)
    begin = time.process_time()
    encoder = NumberEncoder.fit("x", "number", pa.array(values))
    fitted = time.process_time()
    encoder.decode([rng().random(10**6)], np.zeros(10**6))
    decoded = time.process_time()
    assert fitted - begin < 3.0
    assert decoded - fitted < 1.0


@pytest.mark.slow
def test_ten_million_rows():
    array = pa.array(rng().normal(size=10**7).round(4))
    begin = time.process_time()
    encoder = NumberEncoder.fit("x", "number", array)
    assert time.process_time() - begin < 15.0
    assert encoder.decimals == 4
