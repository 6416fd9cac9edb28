"""Quotas: buckets that fill evenly, debts for large requests, and seconds that are true."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fingan.service.identity import Caller
from fingan.service.problems import Refused
from fingan.service.quota import Quotas

ANNA, BERT = Caller("anna"), Caller("bert")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quotas(clock: Clock) -> Quotas:
    """60 rows a minute, so one a second."""
    return Quotas(60, clock)


def refused(quotas: Quotas, caller: Caller, rows: int) -> int:
    """Return the seconds that a caller is told to wait."""
    with pytest.raises(Refused) as caught:
        quotas.take(caller, rows)
    assert (caught.value.status, caught.value.code) == (429, "quota_exceeded")
    assert caught.value.retry_after is not None
    assert f"{caught.value.retry_after} s" in caught.value.detail
    return caught.value.retry_after


def test_a_bucket_fills_evenly(quotas: Quotas, clock: Clock) -> None:
    quotas.take(ANNA, 60)
    assert refused(quotas, ANNA, 1) == 1
    for _ in range(5):
        clock.now += 10.0
        quotas.take(ANNA, 10)
        assert refused(quotas, ANNA, 10) == 10


def test_a_bucket_holds_a_minute_and_no_more(quotas: Quotas, clock: Clock) -> None:
    quotas.take(ANNA, 1)
    clock.now += 86_400.0
    quotas.take(ANNA, 60)
    assert refused(quotas, ANNA, 60) == 60


def test_a_refusal_takes_nothing(quotas: Quotas, clock: Clock) -> None:
    quotas.take(ANNA, 50)
    assert {refused(quotas, ANNA, 20) for _ in range(100)} == {10}
    clock.now += 10.0
    quotas.take(ANNA, 20)


def test_more_than_a_bucket_is_granted_when_it_is_full_and_leaves_a_debt(
    quotas: Quotas, clock: Clock
) -> None:
    quotas.take(ANNA, 600)
    assert refused(quotas, ANNA, 1) == 541
    assert refused(quotas, ANNA, 600) == refused(quotas, ANNA, 60) == 600
    clock.now += 600.0
    quotas.take(ANNA, 600)


def test_callers_have_buckets_of_their_own(quotas: Quotas) -> None:
    quotas.take(ANNA, 60)
    quotas.take(BERT, 60)
    assert refused(quotas, ANNA, 1) == refused(quotas, BERT, 1) == 1


def test_a_callers_own_quota_counts_more(clock: Clock) -> None:
    rich, poor = Caller("rich", rows_per_minute=6000), Caller("poor", rows_per_minute=6)
    quotas = Quotas(60, clock)
    quotas.take(rich, 6000)
    quotas.take(poor, 6)
    assert (refused(quotas, rich, 100), refused(quotas, poor, 1)) == (1, 10)
    assert refused(quotas, rich, 6000) == refused(quotas, poor, 6) == 60


def test_a_quota_that_is_lowered_meanwhile_holds_at_once(clock: Clock) -> None:
    quotas = Quotas(None, clock)
    quotas.take(Caller("anna", rows_per_minute=6000), 1)
    quotas.take(Caller("anna", rows_per_minute=60), 60)
    assert refused(quotas, Caller("anna", rows_per_minute=60), 60) == 60


def test_without_a_quota_nothing_is_counted(clock: Clock) -> None:
    quotas = Quotas(None, clock)
    for _ in range(3):
        quotas.take(ANNA, 10**15)
    quotas.take(Caller("own", rows_per_minute=60), 60)
    assert refused(quotas, Caller("own", rows_per_minute=60), 1) == 1


def test_what_is_given_back_can_be_taken_again(quotas: Quotas, clock: Clock) -> None:
    quotas.take(ANNA, 600)
    quotas.give_back(ANNA, 600)
    quotas.take(ANNA, 60)
    quotas.give_back(ANNA, 60)
    clock.now += 30.0
    quotas.take(ANNA, 60)
    assert refused(quotas, ANNA, 60) == 60, "more than a minute was kept"
    quotas.give_back(Caller("who has taken nothing"), 10)


def test_callers_who_are_gone_are_forgotten_and_debtors_are_not(quotas: Quotas, clock: Clock) -> None:
    quotas.take(Caller("debtor"), 600)
    for minute in range(5):
        for number in range(100):
            quotas.take(Caller(f"provider {minute} {number}"), 60)
        assert len(quotas._buckets) == 101
        clock.now += 60.0
    assert refused(quotas, Caller("debtor"), 1) == 241
    assert list(quotas._buckets) == ["debtor"]
    clock.now += 300.0
    quotas.take(ANNA, 60)
    assert list(quotas._buckets) == ["anna"]


def test_who_is_forgotten_meanwhile_gets_no_more_by_giving_back(quotas: Quotas, clock: Clock) -> None:
    quotas.take(ANNA, 60)
    clock.now += 60.0
    quotas.take(BERT, 1)
    assert "anna" not in quotas._buckets
    quotas.give_back(ANNA, 60)
    quotas.take(ANNA, 60)
    assert refused(quotas, ANNA, 60) == 60


def waiting(quotas: Quotas, rows: int) -> int | None:
    """Take rows; return the seconds to wait where they are refused."""
    try:
        quotas.take(ANNA, rows)
    except Refused as error:
        return error.retry_after
    return None


@example(rate=1, taken=[(0.0, 2), (32.0, 1)], start=0.0)
@given(
    rate=st.integers(1, 10**9),
    taken=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 10**10)), min_size=1, max_size=5),
    start=st.floats(0, 10**8),
)
def test_after_the_seconds_that_were_told_the_same_request_is_granted(
    rate: int, taken: list[tuple[float, int]], start: float
) -> None:
    clock = Clock(start)
    quotas = Quotas(rate, clock)
    for passed, rows in taken:
        clock.now += passed
        seconds = waiting(quotas, rows)
        if seconds is not None:
            assert seconds >= 1
            clock.now += seconds
            assert waiting(quotas, rows) is None


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 200)), max_size=60))
def test_nobody_gets_more_than_a_bucket_and_a_minutes_rows_a_minute(asked: list[tuple[float, int]]) -> None:
    clock = Clock()
    quotas, begun, granted = Quotas(60, clock), clock.now, 0
    for passed, rows in asked:
        clock.now += passed
        if waiting(quotas, rows) is not None:
            continue
        # The last one may be larger than the bucket; what follows pays for it.
        assert granted <= 60 + (clock.now - begun) + 0.1
        granted += rows
