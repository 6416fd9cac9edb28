"""The splits: disjoint, repeatable, and no way from an inner part to the test rows."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks import datasets
from benchmarks.datasets import DATASETS, inner, load_inner
from benchmarks.measures import measured_schema
from tests.benchmarks import toys

BENCHMARKS = Path(datasets.__file__).parent
CHOOSERS = ("ablation", "stability", "training_speed")


def numbered(split):
    """Give every row of a split a number of its own."""
    rows = split.train.num_rows
    train = split.train.append_column("row", pa.array(range(rows)))
    test = split.test.append_column("row", pa.array(range(rows, rows + split.test.num_rows)))
    return dataclasses.replace(split, train=train, test=test)


def test_an_inner_part_is_made_of_each_training_row_once():
    split = numbered(toys.split())
    part = inner(split)
    own = part.train["row"].to_pylist() + part.held["row"].to_pylist()
    assert sorted(own) == split.train["row"].to_pylist()
    assert part.held.num_rows == 60


def test_an_inner_part_holds_no_test_rows_and_no_way_to_them():
    names = {field.name for field in dataclasses.fields(inner(toys.split()))}
    assert names == {"name", "train", "held", "target", "coded"}


def test_the_inner_part_is_the_same_in_every_run():
    first, second = inner(toys.split()), inner(toys.split())
    assert first.held.equals(second.held)


@pytest.mark.parametrize("module", CHOOSERS)
def test_what_chooses_never_touches_a_split_with_test_rows(module):
    tree = ast.parse((BENCHMARKS / f"{module}.py").read_text(encoding="utf-8"))
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    attributes = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert "load_inner" in names
    assert not {"DATASETS", "Split", "inner"} & (names | imported)
    assert "test" not in attributes


def test_the_published_splits_have_their_sizes(shared_data):
    sizes = {
        name: (DATASETS[name]().train.num_rows, DATASETS[name]().test.num_rows)
        for name in ("adult", "default")
    }
    assert sizes == {"adult": (32_561, 16_281), "default": (27_000, 3_000)}
    part = load_inner("default")
    assert (part.train.num_rows, part.held.num_rows) == (24_300, 2_700)


def test_credit_default_is_measured_with_the_kinds_of_the_literature(shared_data):
    part = load_inner("default")
    kinds = [spec.kind for spec in measured_schema(part.train, part.target, part.coded).columns]
    assert (kinds.count("integer"), kinds.count("category")) == (14, 10)


def test_the_reason_of_a_fraud_is_no_feature(shared_data):
    assert "TX_FRAUD_SCENARIO" not in DATASETS["card_transactions_simulated"]().train.column_names
