"""Pairs of columns with a thin joint support."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from fingan.encoding.relations import code_column
from fingan.encoding.ties import tied_columns
from fingan.rng import numpy_generator
from tests.encoding.tables import anything, fitted


def tied(table):
    return tied_columns({n: code_column(table[n]) for n in table.column_names}, table.column_names)


def graded(rows=4000):
    """Return a grade and a rate of which neither determines the other."""
    r = numpy_generator(0, "graded")
    grade = r.integers(0, 20, rows)
    return pa.table(
        {"grade": grade, "rate": grade + r.integers(0, 2, rows), "other": r.integers(0, 20, rows)}
    )


def test_a_thin_support_is_found_and_kept():
    table = graded()
    assert tied(table) == [("grade", "rate")]
    encoder, table = fitted(table)
    assert encoder.unit_of("grade") == encoder.unit_of("rate") != encoder.unit_of("other")
    made = anything(encoder, 3000)
    steps = np.subtract(made["rate"].to_numpy(), made["grade"].to_numpy())
    assert set(steps) == {0, 1}


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 2000), st.integers(2, 60))
def test_independent_columns_are_not_tied(seed, rows, levels):
    r = numpy_generator(seed, "independent")
    assert tied(pa.table({n: r.integers(0, levels, rows) for n in "abc"})) == []


def test_too_few_columns():
    assert tied(pa.table({"a": np.arange(100) % 5})) == []


def test_missing_cells_do_not_undo_a_tie():
    table = graded()
    r = numpy_generator(1, "graded")
    cut = {n: pa.array(table[n].to_numpy(), mask=r.random(len(table)) < 0.2) for n in table.column_names}
    table = pa.table(cut)
    assert tied(table) == [("grade", "rate")]
    encoder, table = fitted(table)
    made = anything(encoder, 3000)
    whole = made.filter(made["grade"].is_valid()).drop_null()
    steps = np.subtract(whole["rate"].to_numpy(), whole["grade"].to_numpy())
    assert set(steps) == {0, 1}
    assert made["grade"].null_count > 0
