"""The rules of `data.constraints`: text forms, mapping forms, refusals, round trips."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from fingan.config import Constraint, FixedCombinations, LessEqual, Range, Unique

ADAPTER: TypeAdapter[Constraint] = TypeAdapter(Constraint)
names = st.text(min_size=1, max_size=12).filter(lambda n: "`" not in n)
bounds = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**40), 10**40)


def parse(value: object) -> Constraint:
    return ADAPTER.validate_python(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a <= b", LessEqual(low="a", high="b")),
        ("a<=b", LessEqual(low="a", high="b")),
        ("  a  <  b ", LessEqual(low="a", high="b", strict=True)),
        ("a >= b", LessEqual(low="b", high="a")),
        ("a > b", LessEqual(low="b", high="a", strict=True)),
        ("`paid so far` <= `to pay`", LessEqual(low="paid so far", high="to pay")),
        ("`2019` <= `2020`", LessEqual(low="2019", high="2020")),
        ("capital-loss <= capital-gain", LessEqual(low="capital-loss", high="capital-gain")),
        ("0 <= a <= 10", Range(column="a", minimum=0, maximum=10)),
        ("-1.5e3 <= `a b` <= .5", Range(column="a b", minimum=-1500, maximum=0.5)),
        ("a >= 0", Range(column="a", minimum=0)),
        ("0 <= a", Range(column="a", minimum=0)),
        ("a <= 10", Range(column="a", maximum=10)),
        ("10 >= a", Range(column="a", maximum=10)),
        ("unique(id)", Unique(column="id")),
        ("unique( `loan id` )", Unique(column="loan id")),
        ("fixed(make, model)", FixedCombinations(columns=("make", "model"))),
        ("fixed(`a b`,c , d)", FixedCombinations(columns=("a b", "c", "d"))),
    ],
)
def test_text_forms(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ({"less_equal": ["a", "b"]}, LessEqual(low="a", high="b")),
        ({"less": ["a", "b"]}, LessEqual(low="a", high="b", strict=True)),
        ({"range": {"column": "a", "min": 0, "max": 10}}, Range(column="a", minimum=0, maximum=10)),
        ({"range": {"column": "a", "maximum": 10}}, Range(column="a", maximum=10)),
        ({"fixed": ["a", "b"]}, FixedCombinations(columns=("a", "b"))),
        ({"unique": "a`b"}, Unique(column="a`b")),
        ({"rule": "less_equal", "low": "a", "high": "b"}, LessEqual(low="a", high="b")),
    ],
)
def test_mapping_forms(mapping, expected):
    assert parse(mapping) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "cannot read the constraint ''"),
        ("a", "backquotes around names that hold blanks"),
        ("a = b", "cannot read the constraint 'a = b'"),
        ("paid so far <= b", "cannot read the constraint"),
        ("a <= b <= c", "cannot read the constraint"),
        ("a < 10", "a range is closed: write <= instead of <"),
        ("0 < a", "a range is closed"),
        ("0 <= 5", "no column between 0 and 5"),
        ("a <= a", "'a' is compared with itself"),
        ("10 <= a <= 0", "range of 'a' is empty: 10.0 > 0.0"),
        ("fixed(a)", "at least 2 items"),
        ("fixed(a, a)", "names a column twice"),
        ("unique(a, b)", "unique takes one column"),
        ({"range": {"column": "a"}}, "needs a minimum or a maximum"),
        ({"range": {"column": "a", "min": float("inf")}}, "finite number"),
        ({"range": {"column": "a", "min": 10**400}}, "valid number"),
        ({"range": {"column": "a", "min": 0, "step": 2}}, "Extra inputs"),
        ({"less_equal": ["a"]}, "known: less_equal, less, range, fixed, unique"),
        ({"equal": ["a", "b"]}, "unknown constraint"),
        ({"less": ["a", "b"], "strict": True}, "unknown constraint"),
        ({}, "unknown constraint"),
        ({"rule": "equal"}, "does not match any of the expected tags"),
        (3, "constraint|discriminator|dictionary"),
    ],
)
def test_refusals_say_what_is_wrong(value, message):
    with pytest.raises(ValidationError, match=message):
        parse(value)


def test_a_rule_names_its_columns():
    assert parse("a <= b").columns == ("a", "b")
    assert parse("a <= 1").columns == ("a",)
    assert parse("fixed(a, b)").columns == ("a", "b")
    assert parse("unique(a)").columns == ("a",)


def test_a_rule_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        parse("unique(a)").column = "b"


def test_text_of_a_range_is_short_where_it_can_be():
    assert str(Range(column="a", minimum=0, maximum=1234567.0)) == "0 <= a <= 1234567"
    assert str(Range(column="a b", maximum=0.1)) == "`a b` <= 0.1"


def test_whole_bounds_that_no_float_holds_stay_exact():
    big = 2**53 + 1
    rule = parse(f"a <= {big}")
    assert rule.maximum == big
    assert str(rule) == f"a <= {big}"
    for mode in ("json", "python"):
        assert parse(rule.model_dump(mode=mode)) == rule
    assert Range.model_validate_json(rule.model_dump_json()) == rule
    assert isinstance(parse("a <= 10").maximum, float)


@given(names, names, st.booleans())
def test_text_of_less_equal_reads_back(low, high, strict):
    if low.strip() == high.strip() or not low.strip() or not high.strip():
        return
    rule = LessEqual(low=low, high=high, strict=strict)
    assert parse(str(rule)) == rule


@given(names, st.none() | bounds, st.none() | bounds)
def test_text_of_a_range_reads_back(column, minimum, maximum):
    if (minimum is None and maximum is None) or (None not in (minimum, maximum) and minimum > maximum):
        return
    rule = Range(column=column, minimum=minimum, maximum=maximum)
    assert parse(str(rule)) == rule


@given(st.lists(names, min_size=2, max_size=4, unique=True))
def test_text_of_combinations_and_unique_reads_back(columns):
    fixed, unique = FixedCombinations(columns=tuple(columns)), Unique(column=columns[0])
    assert parse(str(fixed)) == fixed
    assert parse(str(unique)) == unique


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_and_never_breaks(text):
    try:
        rule = parse(text)
    except ValidationError:
        return
    assert parse(str(rule)) == rule
