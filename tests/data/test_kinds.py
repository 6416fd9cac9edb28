"""Types, their text forms, and the kinds that fit them."""

from __future__ import annotations

import datetime
import decimal

import pyarrow as pa
import pytest

from fingan.data.kinds import KINDS, bound_text, family, kinds_for, parse_bound, parse_type, remedy
from fingan.errors import ConfigError, DataError

HELD = [
    pa.int8(),
    pa.int16(),
    pa.int32(),
    pa.int64(),
    pa.uint8(),
    pa.uint16(),
    pa.uint32(),
    pa.uint64(),
    pa.float32(),
    pa.float64(),
    pa.decimal128(12, 2),
    pa.decimal128(38, 0),
    pa.bool_(),
    pa.string(),
    pa.date32(),
    pa.timestamp("s"),
    pa.timestamp("ns"),
    pa.timestamp("us", "Europe/Paris"),
    pa.timestamp("ms", "+02:00"),
]


@pytest.mark.parametrize("type_", HELD, ids=str)
def test_every_type_reads_back_from_its_text(type_: pa.DataType) -> None:
    assert parse_type(str(type_)) == type_
    assert family(type_) is not None
    kinds = kinds_for(type_)
    assert "category" in kinds
    assert set(kinds) <= set(KINDS)


@pytest.mark.parametrize(("text", "type_"), [("float64", pa.float64()), ("boolean", pa.bool_())])
def test_other_spellings_are_read(text: str, type_: pa.DataType) -> None:
    assert parse_type(text) == type_


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("int46", "Did you mean 'int64'?"),
        ("zzzzzz", "Known: int8"),
        ("decimal128(50, 2)", "1 to 38 digits"),
        ("decimal128(4, 6)", "1 to 38 digits"),
        ("timestamp[us, tz=Mars/Olympus]", "unknown time zone 'Mars/Olympus'"),
    ],
)
def test_an_unknown_type_is_refused(text: str, part: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_type(text)
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("type_", "part"),
    [
        (pa.list_(pa.int8()), "flatten"),
        (pa.struct([("a", pa.int8())]), "flatten"),
        (pa.binary(), "UTF-8"),
        (pa.time32("s"), "seconds"),
        (pa.duration("s"), "seconds"),
        (pa.month_day_nano_interval(), "cast it"),
    ],
)
def test_a_type_that_is_not_held_comes_with_a_remedy(type_: pa.DataType, part: str) -> None:
    assert family(type_) is None
    assert part in remedy(type_)
    with pytest.raises(DataError, match="not supported"):
        kinds_for(type_)


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (2**63 - 1, pa.int64()),
        (-(2**63), pa.int64()),
        (0.1, pa.float64()),
        (0.1, pa.float32()),
        (5e-324, pa.float64()),
        (1.7976931348623157e308, pa.float64()),
        (decimal.Decimal("-12.30"), pa.decimal128(12, 2)),
        (datetime.date(1969, 12, 31), pa.date32()),
        (1234567890123456789, pa.timestamp("ns")),
        (1234567890123456, pa.timestamp("us", "Europe/Paris")),
    ],
)
def test_a_bound_survives_its_text(value: object, type_: pa.DataType) -> None:
    bound = pa.scalar(value, type_)
    text = bound_text(bound)
    assert text is not None
    assert parse_bound(text, type_).equals(bound)


def test_a_bound_without_a_text_is_left_out() -> None:
    assert bound_text(pa.scalar(None, pa.int64())) is None
    assert bound_text(pa.scalar(-(2**60), pa.timestamp("s"))) is None
    assert bound_text(pa.scalar("x")) is None


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("x", pa.string()),
        ("1.5", pa.int64()),
        ("inf", pa.float64()),
        ("nan", pa.float64()),
        ("1", pa.date32()),
    ],
)
def test_a_bound_that_is_no_value_of_the_type_is_refused(text: str, type_: pa.DataType) -> None:
    with pytest.raises(ConfigError):
        parse_bound(text, type_)
