"""Quotas: rows a minute for every caller, by a token bucket.

The buckets belong to one front: with several fronts a caller may draw its quota from each.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from fingan.service.identity import Caller
from fingan.service.problems import Refused

_MINUTE = 60.0
_SLACK = 0.001
"""Seconds; more than rounding can amount to, so that who waits as long as told is not told to wait again."""


@dataclass
class _Bucket:
    """Holds `level` rows at the time `filled`, and gets `rate` rows a minute."""

    rate: int
    level: float
    filled: float

    def at(self, now: float) -> float:
        """Return how many rows it holds by now."""
        return min(float(self.rate), self.level + (now - self.filled) * self.rate / _MINUTE)


class Quotas:
    """Rows that callers may still ask for.

    A bucket holds one minute's rows and fills evenly. A request for more than a bucket holds is
    granted when the bucket is full, and leaves it in debt: large answers are possible, and slow
    down what follows. A bucket that is full again is dropped: there are as many as callers whose
    debts are open, and not as many as names that a provider gave out.

    Args:
        rows_per_minute: of callers who have no quota of their own; None for no limit.
        clock: seconds, never going back.
    """

    def __init__(self, rows_per_minute: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._default, self._clock = rows_per_minute, clock
        self._buckets: dict[str, _Bucket] = {}
        self._swept = clock()

    def take(self, caller: Caller, rows: int) -> None:
        """Take rows from a caller's bucket.

        Raises:
            Refused: 429 with the seconds after which the same request is granted.
        """
        rate = caller.rows_per_minute or self._default
        if rate is None:
            return
        now = self._clock()
        self._sweep(now)
        bucket = self._buckets.setdefault(caller.name, _Bucket(rate, float(rate), now))
        # The quota may have changed meanwhile.
        bucket.rate = rate
        bucket.level, bucket.filled = bucket.at(now), now
        missing = (min(rows, rate) - bucket.level) * _MINUTE / rate
        if missing > _SLACK:
            seconds = math.ceil(missing)
            raise Refused(
                429,
                "quota_exceeded",
                f"your quota is {rate:,} rows a minute; ask again in {seconds} s, or for fewer rows",
                retry_after=seconds,
            )
        bucket.level -= rows

    def give_back(self, caller: Caller, rows: int) -> None:
        """Return rows that were not delivered."""
        bucket = self._buckets.get(caller.name)
        if bucket is not None:
            bucket.level += rows

    def _sweep(self, now: float) -> None:
        """Drop the buckets that are full; a minute fills one without a debt."""
        if now - self._swept >= _MINUTE:
            self._swept = now
            held = self._buckets.items()
            self._buckets = {name: bucket for name, bucket in held if bucket.at(now) < bucket.rate}
