"""Wall clocks: zones, summer time, the limits of 64-bit ticks."""

from __future__ import annotations

import datetime
import zoneinfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.encoding.calendar import Calendar, Wall, join_week, split_week, ticks_of
from fingan.errors import DataError

LIMITS = (-(2**63), 2**63 - 1)
UTC = datetime.UTC


@given(
    st.lists(st.integers(-(2**62), 2**62), min_size=1, max_size=30),
    st.sampled_from(["s", "ms", "us", "ns"]),
)
def test_naive_ticks_are_exact_to_the_limits(ticks, unit):
    calendar = Calendar.of("t", pa.timestamp(unit))
    ticks = np.array([*ticks, *LIMITS])
    wall = calendar.split(ticks)
    assert ((wall.time >= 0) & (wall.time < calendar.per_day)).all()
    np.testing.assert_array_equal(calendar.join(wall, *LIMITS), ticks)


@given(st.lists(st.integers(-(2**31), 2**32), min_size=1, max_size=30))
@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "Asia/Kolkata", "+02:00"])
def test_zoned_ticks_are_exact(zone, seconds):
    for unit, scale in (("s", 1), ("ms", 1000), ("ns", 10**9)):
        calendar = Calendar.of("t", pa.timestamp(unit, zone))
        ticks = np.array(seconds) * scale + scale // 3
        np.testing.assert_array_equal(calendar.join(calendar.split(ticks), *LIMITS), ticks)


def test_zoned_nanoseconds_at_the_limits():
    calendar = Calendar.of("t", pa.timestamp("ns", "Europe/Paris"))
    ticks = np.array([LIMITS[0], LIMITS[0] + 1, LIMITS[1] - 1, LIMITS[1]])
    np.testing.assert_array_equal(calendar.join(calendar.split(ticks), *LIMITS), ticks)


def test_the_wall_clock_is_the_zone_s():
    zone = zoneinfo.ZoneInfo("Europe/Paris")
    moment = datetime.datetime(2024, 7, 1, 9, 30, tzinfo=zone)
    wall = Calendar.of("t", pa.timestamp("s", "Europe/Paris")).split(np.array([int(moment.timestamp())]))
    assert wall.day.tolist() == [(datetime.date(2024, 7, 1) - datetime.date(1970, 1, 1)).days]
    assert wall.time.tolist() == [9 * 3600 + 30 * 60]


def test_the_repeated_hour_is_told_by_fold():
    calendar = Calendar.of("t", pa.timestamp("s", "Europe/Paris"))
    first = int(datetime.datetime(2024, 10, 27, 0, 30, tzinfo=UTC).timestamp())
    wall = calendar.split(np.array([first, first + 3600]))
    assert wall.time.tolist() == [9000, 9000]
    assert wall.fold.tolist() == [False, True]
    np.testing.assert_array_equal(calendar.join(wall, *LIMITS), [first, first + 3600])


def test_the_skipped_hour_moves_to_the_end_of_the_gap():
    calendar = Calendar.of("t", pa.timestamp("s", "Europe/Paris"))
    day = (datetime.date(2024, 3, 31) - datetime.date(1970, 1, 1)).days
    wall = Wall(np.array([day]), np.array([9000]), np.array([False]))
    expected = int(datetime.datetime(2024, 3, 31, 1, 0, tzinfo=UTC).timestamp())
    assert calendar.join(wall, *LIMITS).tolist() == [expected]


def test_parts_outside_the_range_are_clipped():
    for kind in (pa.timestamp("ns"), pa.timestamp("ns", "America/New_York")):
        calendar = Calendar.of("t", kind)
        day, time = np.array([-110_000, 110_000]), np.array([5, calendar.per_day - 1])
        wall = Wall(day, time, np.zeros(2, dtype=bool))
        assert calendar.join(wall, *LIMITS).tolist() == list(LIMITS)
        assert calendar.join(wall, -7, 9).tolist() == [-7, 9]


def test_weeks_begin_on_monday():
    days = np.array([(datetime.date(2024, 1, d) - datetime.date(1970, 1, 1)).days for d in (1, 7, 8)])
    week, weekday = split_week(days)
    assert weekday.tolist() == [0, 6, 0]
    assert (week - week[0]).tolist() == [0, 0, 1]
    np.testing.assert_array_equal(join_week(week, weekday), days)
    assert split_week(np.array([0]))[0].tolist() == [0]


def test_dates_count_days():
    for kind, scale in ((pa.date32(), 1), (pa.date64(), 86_400_000)):
        array = pa.array([datetime.date(1969, 12, 31), None], kind)
        ticks = ticks_of(array)
        assert ticks.tolist() == [-scale, 0]
        assert Calendar.of("d", kind).split(ticks).day.tolist() == [-1, 0]


def test_what_has_no_calendar_is_refused():
    with pytest.raises(DataError, match=r"column 't' has type string, not a date or timestamp; parse"):
        Calendar.of("t", pa.string())
    with pytest.raises(DataError, match=r"column 't': time zone 'Mars/Base' is not in .*cast.* UTC"):
        Calendar.of("t", pa.timestamp("s", "Mars/Base"))
