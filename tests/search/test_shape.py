"""The shape of a table: rows, columns, and the share of columns without an order."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from fingan.data.kinds import ColumnKind
from fingan.data.schema import ColumnSpec, TableSchema
from fingan.search.shape import shape_of

TYPES = {
    "number": "float64",
    "integer": "int32",
    "decimal": "decimal128(18, 2)",
    "boolean": "bool",
    "category": "string",
    "date": "date32[day]",
    "timestamp": "timestamp[us, tz=UTC]",
    "identifier": "int64",
}


def schema(*kinds: str) -> TableSchema:
    columns = [ColumnSpec(name=f"c{place}", kind=kind, type=TYPES[kind]) for place, kind in enumerate(kinds)]
    return TableSchema(columns=tuple(columns))


def test_every_kind_of_column_is_tried_here():
    assert set(TYPES) == set(get_args(ColumnKind))


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        ("number", 0.0),
        ("integer", 0.0),
        ("decimal", 0.0),
        ("date", 0.0),
        ("timestamp", 0.0),
        ("boolean", 1.0),
        ("category", 1.0),
        ("identifier", 1.0),
    ],
)
def test_numbers_of_all_types_and_dates_have_an_order(kind, share):
    assert shape_of(schema(kind), 7) == {"rows": 7, "columns": 1, "categories": share}


def test_the_share_is_that_of_all_columns():
    shape = shape_of(schema("number", "integer", "category"), 1000)
    assert shape == {"rows": 1000, "columns": 3, "categories": 0.333}
    assert json.loads(json.dumps(shape)) == shape


def test_a_category_of_whole_numbers_is_a_category():
    spec = ColumnSpec(name="code", kind="category", type="int64")
    assert shape_of(TableSchema(columns=(spec,)), 1)["categories"] == 1.0
