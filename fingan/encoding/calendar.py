"""Ticks of a date or timestamp type as wall-clock days and ticks of the day, and back.

Days count from 1970-01-01, weeks begin on Monday. A zone's wall clock shows an hour twice
when summer time ends: `fold` (PEP 495) tells the second showing. It skips an hour when
summer time begins: such a wall time is moved to the end of the gap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.errors import DataError
from fingan.types import Bool, Int64

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY = 86_400
_MONDAY = 3
_UTC = ("UTC", "Etc/UTC", "GMT", "Z", "+00:00")


class Wall(NamedTuple):
    """Wall-clock parts of N instants: days since the epoch, ticks of the day, second showing."""

    day: Int64
    time: Int64
    fold: Bool


@dataclass(frozen=True)
class Calendar:
    """Reads and sets the wall clock of one Arrow type.

    Attributes:
        unit: ticks per second; 0 for dates, whose tick is a day.
        zone: name of the time zone, None for UTC and for naive types.
    """

    unit: int
    zone: str | None

    @classmethod
    def of(cls, column: str, kind: pa.DataType) -> Self:
        """Return the calendar of a type.

        Raises:
            DataError: not a date or timestamp, or a zone that is not in the database.
        """
        if pa.types.is_date32(kind):
            return cls(0, None)
        if pa.types.is_date64(kind):
            return cls(_PER_SECOND["ms"], None)
        if not pa.types.is_timestamp(kind):
            raise DataError(
                f"column {column!r} has type {kind}, not a date or timestamp; "
                "parse it first or make it kind 'category'"
            )
        zone = None if kind.tz in _UTC else kind.tz
        try:
            pc.local_timestamp(pa.array([0], pa.timestamp("s", zone)))
        except pa.ArrowInvalid:
            raise DataError(
                f"column {column!r}: time zone {zone!r} is not in the time zone database; "
                "cast the column to UTC or install the system's tzdata"
            ) from None
        return cls(_PER_SECOND[kind.unit], zone)

    @property
    def per_day(self) -> int:
        """Ticks of a day."""
        return max(self.unit, 1) * (_DAY if self.unit else 1)

    def split(self, ticks: Int64) -> Wall:
        """Return the wall-clock parts of ticks [N]."""
        if self.zone is None:
            day, time = np.divmod(ticks, self.per_day)
            return Wall(day, time, np.zeros(len(ticks), dtype=bool))
        second, rest = np.divmod(ticks, self.unit)
        instants = pa.array(second).cast(pa.timestamp("s", self.zone))
        local = pc.local_timestamp(instants)
        wall = local.cast(pa.int64()).to_numpy()
        fold = self._instants(wall, fold=False) != second
        day, second_of_day = np.divmod(wall, _DAY)
        return Wall(day, second_of_day * self.unit + rest, fold)

    def join(self, wall: Wall, low: int, high: int) -> Int64:
        """Return the ticks [N] of wall-clock parts, clipped to [low, high].

        The parts may lie outside the range of 64-bit ticks, so they are compared by
        major and minor part before they are put together.
        """
        major, minor, base = wall.day, wall.time, self.per_day
        if self.zone is not None:
            second, minor = np.divmod(wall.time, self.unit)
            major, base = self._resolve(wall.day * _DAY + second, wall.fold), self.unit
        (low_major, low_minor), (high_major, high_minor) = divmod(low, base), divmod(high, base)
        below = (major < low_major) | ((major == low_major) & (minor < low_minor))
        above = (major > high_major) | ((major == high_major) & (minor > high_minor))
        ticks = np.where(below | above, 0, major) * base + minor
        return np.where(below, low, np.where(above, high, ticks))

    def _resolve(self, wall: Int64, fold: Bool) -> Int64:
        """Return the UTC second [N] of wall seconds [N] and their folds [N]."""
        early = self._instants(wall, fold=False)
        return np.where(fold, self._instants(wall, fold=True), early) if fold.any() else early

    def _instants(self, wall: Int64, *, fold: bool) -> Int64:
        """Return the UTC second [N] at which the zone's clock shows each wall second."""
        shown = pa.array(wall).cast(pa.timestamp("s"))
        which = "latest" if fold else "earliest"
        instants = pc.assume_timezone(shown, self.zone, ambiguous=which, nonexistent="latest")
        seconds: Int64 = instants.cast(pa.int64()).to_numpy()
        return seconds


def split_week(day: Int64) -> tuple[Int64, Int64]:
    """Return the week [N] (0 holds 1970-01-01, from Monday) and weekday [N] (0 Monday … 6 Sunday)."""
    week, weekday = np.divmod(day + _MONDAY, 7)
    return week, weekday


def join_week(week: Int64, weekday: Int64) -> Int64:
    """Return the days since 1970-01-01 of weeks and weekdays."""
    return week * 7 + weekday - _MONDAY


def ticks_of(array: pa.Array) -> Int64:
    """Return [N] ticks of a date or timestamp array in its own unit, zero where null."""
    whole = (
        array.cast(pa.int32()).cast(pa.int64()) if pa.types.is_date32(array.type) else array.cast(pa.int64())
    )
    ticks: Int64 = whole.fill_null(0).to_numpy(zero_copy_only=False)
    return ticks
