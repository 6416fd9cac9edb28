"""Arrow tables as aligned columns."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fingan.data import ColumnSpec, TableSchema, infer_schema
from fingan.errors import DataError
from fingan.evaluation.frame import concat, frames
from tests.evaluation.tables import mixed, read


def test_every_kind_is_read_and_identifiers_are_not():
    frame, _ = read(mixed(40, missing=0.3), mixed(30, seed=1))
    kinds = {c.name: c.kind for c in frame.columns}
    assert "row_id" not in kinds
    numeric = {c.name for c in frame.columns if c.numeric}
    assert numeric == {"amount", "score", "code", "opened", "seen", "fee"}
    assert frame.column("opened").number().max() < 20_000
    assert frame.column("amount").missing().any()
    assert frame.column("grade").missing().any()
    assert not frame.column("code").missing().any()


def test_categories_share_one_dictionary():
    first, second = read(pa.table({"c": ["a", "b"], "x": [1, 2]}), pa.table({"c": ["z", "b"], "x": [1, 2]}))
    assert first.columns[0].levels == second.columns[0].levels == ("a", "b", "z")
    assert first.columns[0].code()[1] == second.columns[0].code()[1]


def test_concat_and_take():
    first, second = read(mixed(20), mixed(10, seed=1))
    both = concat(first, second)
    assert both.rows == 30
    assert np.array_equal(both.take(np.arange(20, 30)).columns[0].number(), second.columns[0].number())
    assert "amount" not in both.without("amount").names


def test_text_has_no_numbers_and_numbers_no_categories():
    (frame,) = read(pa.table({"c": ["a", "b"], "x": [1.5, 2.5]}))
    with pytest.raises(DataError, match="'c'"):
        frame.column("c").number()
    with pytest.raises(DataError, match="'x'"):
        frame.column("x").code()


def test_a_table_of_identifiers_only_is_refused():
    schema = TableSchema(columns=(ColumnSpec(name="id", kind="identifier", type="string"),))
    with pytest.raises(DataError, match="identifiers"):
        frames(schema, [pa.table({"id": ["a"]})])


def test_empty_chunks_and_dictionaries():
    table = pa.table({"c": pa.chunked_array([pa.array([], pa.string()), pa.array(["a", "b", "a"])])})
    (frame,) = frames(infer_schema(table), [table])
    assert frame.columns[0].code().tolist() == [0, 1, 0]
