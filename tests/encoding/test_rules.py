"""Constraints that do not fit are refused with a sentence that helps."""

from __future__ import annotations

import pyarrow as pa
import pytest

from fingan.data import infer_schema
from fingan.encoding.rules import check_rules
from fingan.errors import ConfigError, DataError
from tests.encoding.tables import rules

TABLE = pa.table(
    {
        "low": pa.array([1, 5, 3, None] * 10),
        "high": pa.array([2, 4, 3, 1] * 10),
        "share": [0.5, 1.5, 0.0, 0.25] * 10,
        "name": ["a", "b", "c", "d"] * 10,
        "key": [f"id-{n:05d}" for n in range(40)],
    }
)


def check(*texts, table=TABLE, kinds=None):
    schema = infer_schema(table)
    columns = [c.model_copy(update={"kind": (kinds or {}).get(c.name, c.kind)}) for c in schema.columns]
    check_rules(table, schema.model_copy(update={"columns": tuple(columns)}), rules(*texts))


def test_rules_that_hold_pass():
    check("0 <= share <= 1.5", "unique(key)", "fixed(low, high)", "share >= 0")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("low <= high", [r"10 of 40 .* low <= high", r"row 2 ", r"'low': 5, 'high': 4"]),
        ("low < high", [r"20 of 40", r"row 2 "]),
        ("0 <= share <= 1", [r"10 of 40 .* 0 <= share <= 1", r"row 2 ", r"'share': 1.5"]),
        ("low >= 2", [r"10 of 40", r"row 1 ", r"'low': 1"]),
    ],
)
def test_rows_that_break_a_rule(text, words):
    for word in words:
        with pytest.raises(DataError, match=word):
            check(text)


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        (["0.68", "0.69", "0.70"], pa.decimal128(6, 2), "0.68 <= x <= 0.70"),
        (["0.1", "0.7"], pa.float32(), "0.1 <= x <= 0.7"),
        (["9007199254740993"], pa.int64(), "9007199254740993 <= x <= 9007199254740993"),
    ],
    ids=str,
)
def test_values_at_the_bound_of_a_range_keep_it(values, kind, text):
    check(text, table=pa.table({"x": pa.array(values).cast(kind)}))


def test_integers_beyond_doubles_are_compared_exactly():
    with pytest.raises(DataError, match=r"1 of 2 .* x <= 9007199254740992, the first is row 2 "):
        check("x <= 9007199254740992", table=pa.table({"x": [2**53, 2**53 + 1]}))


def test_repeated_identifiers_break_unique():
    keys = [f"id-{n:05d}" for n in range(39)] + ["id-00003"]
    table = TABLE.set_column(4, "key", pa.array(keys))
    with pytest.raises(DataError, match=r"2 of 40 .* unique\(key\).* row 4 "):
        check("unique(key)", table=table, kinds={"key": "identifier"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("low <= hig", r"unknown column 'hig'. Did you mean 'high'"),
        ("low <= name", r"'name' is of kind 'category'"),
        ("low <= share", r"types int64 and double"),
        ("name >= 1", r"'name' is of kind 'category'"),
        ("unique(low)", r"identifier columns only, 'low' is of kind 'integer'"),
        ("fixed(key, name)", r"'key' is an identifier"),
    ],
)
def test_rules_that_do_not_fit(text, words):
    with pytest.raises(ConfigError, match=words):
        check(text)
