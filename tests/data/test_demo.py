"""The shipped tables."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pytest

from fingan.data import (
    GERMAN_CREDIT,
    LENDING,
    DemoTable,
    data_name,
    demo_table_path,
    infer_schema,
    read_table,
)


@pytest.mark.parametrize(
    ("demo", "rows", "columns", "positives"), [(LENDING, 9857, 23, 517), (GERMAN_CREDIT, 1000, 21, 300)]
)
def test_the_shipped_tables_are_the_published_ones(
    demo: DemoTable, rows: int, columns: int, positives: int
) -> None:
    table = read_table(demo_table_path(demo))
    assert (table.num_rows, table.num_columns) == (rows, columns)
    assert pc.sum(pc.equal(table.column(demo.target), demo.positive)).as_py() == positives
    schema = infer_schema(table, demo.target)
    assert not any(c.nullable for c in schema.columns)
    assert {c.kind for c in schema.columns} <= {"integer", "number", "category"}


def test_the_default_is_the_lending_table() -> None:
    name, target, positive = LENDING
    assert (name, target, positive) == ("modeldata_lending_club", "Class", "bad")
    assert data_name(demo_table_path()) == "lending_club"
    readme = (demo_table_path().parent / "README.md").read_text()
    for path in demo_table_path().parent.glob("*.parquet"):
        assert path.name in readme
    assert readme.count("MIT") >= 2
    assert "CC BY 4.0" in readme


def test_the_shipped_tables_are_copies(shared_data: Path) -> None:
    assert read_table(demo_table_path()) == read_table(shared_data / "modeldata_lending_club.parquet")
    assert read_table(demo_table_path(GERMAN_CREDIT)) == read_table(shared_data / "german_credit.parquet")
