"""Categories: codes, groups of many levels, conditions."""

from __future__ import annotations

import datetime
import time
import tracemalloc
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.encoding.category import WIDTH_CAP, CategoryEncoder
from fingan.errors import BundleError, DataError
from fingan.rng import numpy_generator


def rng(seed=0):
    return numpy_generator(seed, "test category")


def wide(rows, levels, seed=0):
    names = np.array([f"merchant-{i:06d}" for i in range(levels)])
    drawn = (levels * rng(seed).random(rows) ** 3).astype(np.int64)
    drawn[:levels] = np.arange(levels)
    return pa.array(names[drawn]), drawn


@given(st.lists(st.none() | st.text(max_size=4), min_size=1, max_size=60))
def test_any_text(round_trip, values):
    array = pa.array(values, pa.string())
    encoder = CategoryEncoder.fit("c", "category", array)
    assert round_trip(encoder, array).equals(array)
    assert encoder.fields[0].width == len(set(values))


@pytest.mark.parametrize(
    "array",
    [
        pa.array([True, None, False]),
        pa.array([True] * 3),
        pa.array([3, 1, None, 2**60], pa.int64()),
        pa.array([0.1, -1e300, 5e-324]),
        pa.array([datetime.date(2020, 2, 29), None]),
        pa.array([0, 10**15], pa.timestamp("us", "Europe/Paris")),
        pa.array([0, 86_400_000], pa.date64()),
        pa.array([Decimal("1.50"), Decimal("-3.00")], pa.decimal128(9, 2)),
        pa.array([None, None], pa.string()),
        pa.array(["<b>", "", "é"]).dictionary_encode(),
    ],
    ids=lambda a: str(a.type),
)
def test_types_are_kept(round_trip, array):
    encoder = CategoryEncoder.fit("c", "category", array)
    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    assert round_trip(encoder, array).equals(plain)


def test_a_column_without_type_is_text():
    encoder = CategoryEncoder.fit("c", "category", pa.nulls(3))
    assert (encoder.type, encoder.fields[0].width) == (pa.string(), 1)
    assert encoder.decode([np.zeros(2, dtype=int)], np.zeros(2)).to_pylist() == [None, None]


def test_codes_are_by_frequency_whatever_the_order_of_rows():
    values = ["b"] * 3 + ["a"] * 3 + ["c"] * 5 + [None]
    encoder = CategoryEncoder.fit("c", "category", pa.array(values))
    again = CategoryEncoder.fit("c", "category", pa.array(values[::-1]))
    assert encoder.levels.to_pylist() == again.levels.to_pylist() == ["c", "a", "b"]
    np.testing.assert_allclose(encoder.fields[0].frequencies, np.array([5, 3, 3, 1]) / 12)
    assert encoder.codes_of(pa.array([None, "a"])).tolist() == [3, 1]


@pytest.mark.parametrize("extra", [0, 1])
def test_width_is_capped(extra):
    array, _ = wide(5000, WIDTH_CAP + extra)
    encoder = CategoryEncoder.fit("c", "category", array)
    assert encoder.fields[0].width == WIDTH_CAP
    assert (encoder.code == np.arange(WIDTH_CAP + extra)).all() == (not extra)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
def test_many_levels_keep_their_frequencies(share, with_nulls):
    array, drawn = wide(50_000, 3000)
    array = with_nulls(np.array(array.to_pylist()), pa.string(), share)
    encoder = CategoryEncoder.fit("c", "category", array)
    assert encoder.fields[0].width == WIDTH_CAP + (share > 0)
    (values,) = encoder.encode(array)
    back = encoder.decode([values.codes], rng(1).random(len(array)))
    assert back.type == pa.string()
    np.testing.assert_array_equal(encoder.codes_of(back), values.codes)
    real = np.bincount(drawn, minlength=3000) * (1 - share)
    names = pa.array([f"merchant-{i:06d}" for i in range(3000)])
    made = np.bincount(pc.index_in(back.drop_null(), value_set=names).to_numpy(), minlength=3000)
    assert np.corrcoef(real, made)[0, 1] > 0.99
    assert back.null_count == array.null_count


def test_every_u_inside_a_group_gives_one_of_its_members():
    array, _ = wide(20_000, 1000)
    encoder = CategoryEncoder.fit("c", "category", array)
    codes = np.repeat(np.arange(WIDTH_CAP), 3)
    spare = np.tile([0.0, 0.5, np.nextafter(1.0, 0.0)], WIDTH_CAP)
    np.testing.assert_array_equal(encoder.codes_of(encoder.decode([codes], spare)), codes)


def test_a_profile_puts_like_levels_together():
    _, drawn = wide(60_000, 1000)
    risk = (np.arange(1000) * 7919 % 1000) / 1000
    profile = np.stack([risk[drawn], rng().normal(size=drawn.size)], axis=1).astype(np.float32)
    array = pa.array(drawn)
    with_profile = CategoryEncoder.fit("c", "category", array, profile=profile)
    without = CategoryEncoder.fit("c", "category", array)

    def spread(encoder):
        inside = encoder.code >= 64
        levels = risk[encoder.levels.to_numpy()[inside]]
        return np.mean([levels[encoder.code[inside] == c].std() for c in range(64, 128)])

    assert spread(with_profile) < spread(without) / 4


def test_state_of_many_levels(round_trip):
    array, _ = wide(5000, 500)
    encoder = CategoryEncoder.fit("c", "category", array)
    back = round_trip(encoder, array)
    np.testing.assert_array_equal(encoder.codes_of(back), encoder.codes_of(array))


def test_unseen_levels_are_refused_or_clamped():
    encoder = CategoryEncoder.fit("city", "category", pa.array(["Paris", "Paris", "Rome"]))
    with pytest.raises(DataError, match=r"column 'city': 'Pari' is not among the 2 levels.*'Paris'"):
        encoder.encode(pa.array(["Rome", "Pari"]))
    assert encoder.encode(pa.array(["Oslo", "Rome"]), clamp=True)[0].codes.tolist() == [0, 1]
    with pytest.raises(DataError, match="column 'city': a missing value"):
        encoder.encode(pa.array([None], pa.string()))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"code": np.array([0, 2], np.int32)}, "codes that leave some out"),
        ({"code": np.array([0, 10**9], np.int32)}, "codes that leave some out"),
        ({"code": np.array([1, 0], np.int32)}, "not one code for each level"),
        ({"code": np.array([0], np.int32)}, "not one code for each level"),
        ({"counts": np.array([3], np.int64)}, "not one code for each level"),
    ],
)
def test_a_forged_state_is_refused(arrays, words):
    document, own = CategoryEncoder.fit("city", "category", pa.array(["Rome", "Paris", "Rome"])).state()
    with pytest.raises(BundleError, match=words):
        CategoryEncoder.from_state(document, {**own, **arrays})


def test_a_type_without_levels_is_refused():
    with pytest.raises(DataError, match=r"column 'c' of type list.*cast it to text or drop it"):
        CategoryEncoder.fit("c", "category", pa.array([[1], [2]]))
    with pytest.raises(DataError, match="column 'c'"):
        CategoryEncoder.fit("c", "category", pa.array([b"x"]))


def _many_levels(rows, seconds, megabytes):
    array, _ = wide(rows, 100_000)
    profile = rng().normal(size=(rows, 8)).astype(np.float32)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    begin = time.process_time()
    encoder = CategoryEncoder.fit("c", "category", array, profile=profile)
    (values,) = encoder.encode(array)
    back = encoder.decode([values.codes], rng(1).random(rows))
    taken = time.process_time() - begin
    peak = tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - before
    tracemalloc.stop()
    assert len(encoder.levels) == 100_000
    assert encoder.fields[0].width == WIDTH_CAP
    np.testing.assert_array_equal(encoder.codes_of(back.slice(0, 1000)), values.codes[:1000])
    assert taken < seconds
    assert peak < megabytes * 2**20


def test_a_hundred_thousand_levels():
    _many_levels(200_000, seconds=4.0, megabytes=150)


@pytest.mark.slow
def test_a_hundred_thousand_levels_at_full_size():
    _many_levels(1_000_000, seconds=10.0, megabytes=500)
