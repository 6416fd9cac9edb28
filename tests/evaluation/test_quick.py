"""The live validation score."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
import pytest

from fingan.data import infer_schema
from fingan.errors import DataError
from fingan.evaluation import quick, validation_score
from tests.evaluation.tables import mixed, permuted


def score(real: pa.Table, fake: pa.Table) -> float:
    return validation_score(real, fake, infer_schema(real), 0)[0]


def test_worse_tables_score_higher():
    real, fresh = mixed(1500), mixed(1500, seed=1)
    shifted = fresh.set_column(1, "amount", pa.array(fresh["amount"].to_numpy() * 1.3))
    assert score(real, fresh) < score(real, shifted) < score(real, permuted(real)) + 1
    assert score(real, fresh) < 0.3
    assert score(real, permuted(real)) > 0.5


def test_parts_and_repeatability():
    real, fresh = mixed(400, missing=0.2), mixed(300, seed=1)
    total, parts = validation_score(real, fresh, infer_schema(real), 3)
    assert set(parts) == {"pair_error", "detection_auc"}
    assert total == pytest.approx(parts["pair_error"] + max(0, 2 * parts["detection_auc"] - 1))
    assert validation_score(real, fresh, infer_schema(real), 3) == (total, parts)


def test_a_missing_share_is_seen():
    real = mixed(800, missing=0.3)
    assert score(real, mixed(800, seed=1)) > score(real, mixed(800, seed=1, missing=0.3)) + 0.1


def test_pair_error_by_hand_and_of_a_single_column():
    real = pa.table({"a": ["u", "u", "v", "v"], "b": ["p", "q", "p", "q"]})
    fake = pa.table({"a": ["u", "u", "v", "v"], "b": ["p", "p", "q", "q"]})
    schema = infer_schema(real)
    assert validation_score(real, fake, schema, 0)[1]["pair_error"] == pytest.approx(0.5)
    single = schema.select(["a"])
    found = validation_score(real.select(["a"]), pa.table({"a": ["u"] * 4}), single, 0)[1]
    assert found["pair_error"] == pytest.approx(0.5)


@pytest.mark.parametrize("values", [0, 1, 5])
def test_columns_with_hardly_a_value(values: int):
    seldom = pa.array([1.5 * n if n < values else None for n in range(600)], pa.float64())
    empty = pa.nulls(600, pa.date32())
    real, fresh = (
        mixed(600, seed=s).append_column("seldom", seldom).append_column("empty", empty) for s in (0, 1)
    )
    assert score(real, fresh) < 0.4
    only = pa.table({"seldom": seldom, "empty": empty})
    assert validation_score(only, only, infer_schema(only), 0)[0] == pytest.approx(0.0, abs=0.01)


def test_wide_tables_are_bounded(monkeypatch):
    monkeypatch.setattr(quick, "_CELLS", 30)
    assert 0 <= score(mixed(300), mixed(300, seed=1)) < 1


def test_too_few_rows():
    table = pa.table({"x": [1.0, 2.0, 3.0]})
    with pytest.raises(DataError, match="4 rows"):
        score(table, table)


def test_it_is_fast_enough_to_run_beside_training():
    rng = np.random.default_rng(0)
    table = pa.table({f"x{k}": rng.normal(size=8000).round(3) for k in range(20)})
    start = time.process_time()
    score(table, table)
    # 1.5 s is the budget at 5,000 rows; twice that leaves room for a busy machine.
    assert time.process_time() - start < 3
