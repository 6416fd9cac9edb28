"""Dates and timestamps through their encoder."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from fingan.encoding.base import NumericIntervals
from fingan.encoding.pieces import Pieces
from fingan.encoding.temporal import TemporalEncoder
from fingan.errors import BundleError, DataError
from fingan.rng import numpy_generator

ZONES = [None, "UTC", "Europe/Paris", "America/New_York", "+02:00"]


def rng(seed=0):
    return numpy_generator(seed, "test temporal")


def timestamps(ticks, unit="s", zone=None, share=0.0):
    ticks = np.asarray(ticks, dtype=np.int64)
    mask = rng(99).random(ticks.size) < share
    return pa.array(ticks, mask=mask).cast(pa.timestamp(unit, zone))


def names(encoder):
    return [field.name.partition(":")[2] for field in encoder.fields]


@given(st.lists(st.none() | st.integers(-(10**6), 10**6), min_size=1, max_size=60), st.integers(0, 9))
def test_any_dates(round_trip, days, seed):
    for kind in (pa.date32(), pa.date64()):
        array = (
            pa.array([None if d is None else int(d) for d in days], pa.int32()).cast(pa.date32()).cast(kind)
        )
        assert round_trip(TemporalEncoder.fit("d", "date", array), array, seed).equals(array)


@given(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=60),
    st.sampled_from(["s", "ms", "us", "ns"]),
)
def test_any_naive_timestamps(round_trip, ticks, unit):
    array = pa.array(ticks, pa.int64()).cast(pa.timestamp(unit))
    assert round_trip(TemporalEncoder.fit("t", "timestamp", array), array).equals(array)


@given(st.lists(st.none() | st.integers(-(2**31), 2**32), min_size=1, max_size=60), st.sampled_from(ZONES))
def test_any_zoned_timestamps(round_trip, seconds, zone):
    array = pa.array(seconds, pa.int64()).cast(pa.timestamp("s", zone))
    assert round_trip(TemporalEncoder.fit("t", "timestamp", array), array).equals(array)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("us", 10**6), ("ns", 10**9)])
def test_large_columns(round_trip, unit, scale, zone, share):
    array = timestamps(rng().integers(10**9 * scale, 17 * 10**8 * scale, 20_000), unit, zone, share)
    encoder = TemporalEncoder.fit("t", "timestamp", array)
    assert names(encoder)[:3] == ["week", "weekday", "time"]
    assert round_trip(encoder, array).equals(array)


@pytest.mark.parametrize("zone", [None, "Europe/Paris"])
def test_the_years_1677_to_2262(round_trip, zone):
    ticks = np.append(rng().integers(-(2**63), 2**63 - 1, 5000), [-(2**63), 2**63 - 1])
    array = timestamps(ticks, "ns", zone)
    encoder = TemporalEncoder.fit("t", "timestamp", array)
    assert round_trip(encoder, array).equals(array)
    edge = [np.zeros(4) if f.kind == "numeric" else np.zeros(4, dtype=int) for f in encoder.fields]
    top = [np.ones(4) if f.kind == "numeric" else np.full(4, f.width - 1) for f in encoder.fields]
    for fields in (edge, top):
        made = encoder.decode(fields, np.zeros(4)).cast(pa.int64()).to_numpy()
        assert ((made >= ticks.min()) & (made <= ticks.max())).all()


def test_the_end_of_summer_time_has_a_field_only_where_seen(round_trip):
    start = int(datetime.datetime(2024, 10, 26, 22, tzinfo=datetime.UTC).timestamp())
    through = timestamps(np.arange(start, start + 4 * 3600, 60), "s", "Europe/Paris")
    encoder = TemporalEncoder.fit("t", "timestamp", through)
    assert "fold" in names(encoder)
    assert round_trip(encoder, through).equals(through)
    before = timestamps(np.arange(start, start + 2 * 3600, 60), "s", "Europe/Paris")
    assert "fold" not in names(TemporalEncoder.fit("t", "timestamp", before))


def test_made_timestamps_exist_on_the_zone_s_clock():
    begin = int(datetime.datetime(2024, 3, 25, tzinfo=datetime.UTC).timestamp())
    array = timestamps(begin + rng().integers(0, 14 * 86_400, 20_000), "s", "Europe/Paris")
    encoder = TemporalEncoder.fit("t", "timestamp", array)
    n = 50_000
    fields = [
        rng(i).random(n) if f.kind == "numeric" else rng(i).integers(0, f.width, n)
        for i, f in enumerate(encoder.fields)
    ]
    made = encoder.decode(fields, np.zeros(n))
    local = pc.local_timestamp(made).cast(pa.int64()).to_numpy()
    gap = int(datetime.datetime(2024, 3, 31, 2, tzinfo=datetime.UTC).timestamp())
    assert not ((local >= gap) & (local < gap + 3600)).any()
    bounds, seen = pc.min_max(made).as_py(), pc.min_max(array).as_py()
    assert bounds["min"] >= seen["min"]
    assert bounds["max"] <= seen["max"]


def test_working_days_stay_working_days():
    days = np.arange(10_000)
    array = pa.array(days[(days + 3) % 7 < 5].astype(np.int32)).cast(pa.date32())
    encoder = TemporalEncoder.fit("d", "date", array)
    assert names(encoder) == ["week", "weekday"]
    assert encoder.fields[1].width == 5
    made = encoder.decode([rng().random(5000), rng().integers(0, 5, 5000)], np.zeros(5000))
    assert pc.max(pc.day_of_week(made)).as_py() == 4


def test_a_day_each_week_or_month_is_one_field(round_trip):
    months = [datetime.date(2000 + m // 12, m % 12 + 1, 1) for m in range(240)]
    array = pa.array(months, pa.date32())
    encoder = TemporalEncoder.fit("d", "date", array)
    assert names(encoder) == ["day"]
    assert round_trip(encoder, array).equals(array)
    made = encoder.decode([rng().random(1000)], np.zeros(1000))
    assert set(made.to_pylist()) <= set(months)


def test_times_within_a_day_are_one_field(round_trip):
    array = timestamps(rng().integers(0, 86_400, 3000), "s", share=0.05)
    encoder = TemporalEncoder.fit("t", "timestamp", array)
    assert names(encoder) == ["day", "time"]
    assert round_trip(encoder, array).equals(array)
    assert names(TemporalEncoder.fit("t", "timestamp", array.drop_null())) == ["time"]


@pytest.mark.parametrize(
    ("ticks", "width"), [([5] * 4, 1), ([5, None], 2), ([None] * 3, 1), ([7], 1), (list(range(20)), 20)]
)
def test_few_distinct_values_are_codes(round_trip, ticks, width):
    array = pa.array(ticks, pa.int64()).cast(pa.timestamp("us", "Europe/Paris"))
    encoder = TemporalEncoder.fit("t", "timestamp", array)
    (field,) = encoder.fields
    assert (field.name, field.kind, field.width) == ("t", "category", width)
    assert round_trip(encoder, array).equals(array)


@pytest.mark.statistical
def test_u_is_uniform_in_every_part_also_where_missing(drawn):
    array = timestamps(rng().integers(0, 10**8, 50_000), "s", share=0.3)
    encoder = TemporalEncoder.fit("t", "timestamp", array)
    week, weekday, time = drawn(encoder.intervals(array))
    assert kstest(week, "uniform").pvalue > 1e-3
    assert kstest(time, "uniform").pvalue > 1e-3
    missing = array.is_null().to_numpy(zero_copy_only=False)
    share = np.bincount(weekday[missing], minlength=7) / missing.sum()
    np.testing.assert_allclose(share, encoder.fields[1].frequencies, atol=0.02)
    assert (week[missing] < encoder.ticks.missing_share).all()
    assert kstest(time[missing], "uniform").pvalue > 1e-3


def test_ticks_are_the_distribution_of_the_whole_value():
    array = timestamps(np.arange(100) * 3600, "s", "Europe/Paris")
    encoder = TemporalEncoder.fit("t", "timestamp", array)
    assert isinstance(encoder.ticks, Pieces)
    assert (encoder.ticks.minimum, encoder.ticks.maximum, encoder.ticks.step) == (0, 99 * 3600, 3600)
    assert TemporalEncoder.fit("t", "timestamp", pa.nulls(3, pa.timestamp("s"))).ticks is None


def test_values_outside_name_column_value_and_range():
    array = pa.array([datetime.date(2020, 1, 1) + datetime.timedelta(d) for d in range(100)])
    encoder = TemporalEncoder.fit("booked", "date", array)
    late = pa.array([datetime.date(2024, 5, 6)])
    with pytest.raises(
        DataError, match=r"column 'booked': '2024-05-06' lies outside .*2020-01-01, 2020-04-09\]"
    ):
        encoder.encode(late)
    values = encoder.encode(late, clamp=True)
    fields = [v.lower + v.width / 2 if hasattr(v, "lower") else v.codes for v in values]
    assert encoder.decode(fields, np.zeros(1)).to_pylist() == [datetime.date(2020, 4, 9)]
    with pytest.raises(DataError, match="column 'booked': a missing value"):
        encoder.encode(pa.nulls(1, pa.date32()))


def test_numeric_parts_are_intervals():
    array = timestamps(np.arange(5000) * 977)
    encoder = TemporalEncoder.fit("t", "timestamp", array)
    week, _, time = encoder.intervals(array)
    assert isinstance(week, NumericIntervals)
    assert (time.width > 0).all()


def test_torn_state_is_refused():
    document, arrays = TemporalEncoder.fit("t", "timestamp", timestamps(np.arange(100))).state()
    document["parts"]["ticks"]["form"] = "levels"
    arrays["ticks.levels"] = arrays["ticks.low"]
    with pytest.raises(BundleError, match="column 't'"):
        TemporalEncoder.from_state(document, arrays)


@pytest.mark.parametrize(
    ("name", "column"),
    [("card_transactions_simulated", "TX_DATETIME"), ("sp500_index_ohlcv", "Date")],
)
def test_real_tables(round_trip, shared_data, name, column):
    array = pq.read_table(shared_data / f"{name}.parquet")[column].combine_chunks()
    kind = "date" if pa.types.is_date(array.type) else "timestamp"
    assert round_trip(TemporalEncoder.fit(column, kind, array), array).equals(array)
