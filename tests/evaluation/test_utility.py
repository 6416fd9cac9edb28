"""TSTR and TRTR on tasks of every kind."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fingan.errors import ConfigError, DataError
from fingan.evaluation.utility import measure_utility, plan_task
from tests.evaluation.tables import mixed, permuted, read


def labelled(rows: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    noise = rng.normal(size=rows)
    return pa.table(
        {
            "x": x[:, 0],
            "y": x[:, 1],
            "c": np.where(x[:, 2] > 0, "up", "down"),
            "bad": (x[:, 0] + x[:, 1] + 0.5 * noise > 1.5).astype(np.int64),
            "kind": np.array(["lo", "mid", "hi"])[np.digitize(x[:, 0] + 0.3 * noise, [-0.5, 0.5])],
            "price": np.round(3 * x[:, 0] + noise, 3),
        }
    )


TABLES = [labelled(800, 0), labelled(800, 1), labelled(600, 2)]


@pytest.mark.parametrize(
    ("target", "kind", "scores"),
    [
        ("bad", "binary", {"auc", "pr_auc", "f1", "brier", "calibration_slope"}),
        ("kind", "multiclass", {"auc", "pr_auc", "f1", "brier"}),
        ("price", "regression", {"r2", "rmse"}),
    ],
)
def test_a_fresh_sample_is_as_useful_and_permuted_columns_are_not(target, kind, scores):
    train, fresh, holdout, broken = read(*TABLES, permuted(TABLES[0]))
    task = plan_task(train, target)
    assert task.kind == kind
    good = measure_utility(train, fresh, holdout, task, 0)
    bad = measure_utility(train, broken, holdout, task, 0)
    assert set(good.synthetic["trees"].values) == scores
    assert good.share == pytest.approx(1, abs=0.06)
    assert good.share_interval[0] <= good.share <= good.share_interval[1]
    assert bad.share < 0.8
    for score, (low, high) in good.real["linear"].intervals.items():
        assert low - 0.02 <= good.real["linear"].values[score] <= high + 0.02


def test_the_rarer_class_is_positive_unless_named():
    (train,) = read(TABLES[0])
    assert plan_task(train, "bad").classes == ("0", "1")
    assert plan_task(train, "bad", positive="0").classes == ("1", "0")
    with pytest.raises(ConfigError, match="'maybe'"):
        plan_task(train, "bad", positive="maybe")


def test_integers_with_many_values_are_a_regression_and_few_are_classes():
    rng = np.random.default_rng(0)
    (frame,) = read(pa.table({"few": rng.integers(0, 4, 300) * 3, "many": rng.integers(0, 90, 300)}))
    assert plan_task(frame, "few").kind == "multiclass"
    assert plan_task(frame, "many").kind == "regression"


def test_a_single_value_is_no_target():
    (frame,) = read(pa.table({"x": [1.0, 2.0], "t": ["a", "a"]}))
    with pytest.raises(DataError, match="single value"):
        plan_task(frame, "t")


def test_synthetic_rows_of_one_class_are_worth_a_constant():
    flat = TABLES[1].set_column(3, "bad", pa.array(np.zeros(800, np.int64)))
    train, fake, holdout = read(TABLES[0], flat, TABLES[2])
    found = measure_utility(train, fake, holdout, plan_task(train, "bad"), 0)
    assert found.synthetic["trees"].values["auc"] == 0.5
    assert found.synthetic["trees"].values["f1"] == 0
    assert "calibration_slope" not in found.synthetic["trees"].values
    assert found.real["trees"].values["auc"] > 0.9


def test_rows_with_a_missing_target_are_left_out():
    holes = TABLES[0].set_column(
        5, "price", pa.array(TABLES[0]["price"].to_numpy(), mask=np.arange(800) % 3 == 0)
    )
    train, fresh, holdout, empty = read(holes, TABLES[1], TABLES[2], holes)
    task = plan_task(train, "price")
    assert measure_utility(train, fresh, holdout, task, 0).share == pytest.approx(1, abs=0.1)
    nothing = empty.take(np.flatnonzero(np.isnan(empty.column("price").number())))
    assert measure_utility(train, nothing, holdout, task, 0).synthetic["trees"].values["r2"] <= 0
    with pytest.raises(DataError, match="no known value"):
        measure_utility(train, fresh, nothing, task, 0)


def test_missing_labels_and_features_of_a_classification():
    tables = [mixed(400, seed=s, missing=0.2) for s in range(3)]
    train, fresh, holdout = read(*tables)
    task = plan_task(train, "grade")
    assert "(missing)" not in task.classes
    found = measure_utility(train, fresh, holdout, task, 0)
    assert found.real["trees"].values["auc"] > 0.7
    assert found.real["trees"].rows < 400


def test_a_target_alone_has_nothing_to_predict_from():
    (frame,) = read(pa.table({"t": ["a", "b"] * 20}))
    with pytest.raises(DataError, match="only column"):
        measure_utility(frame, frame, frame, plan_task(frame, "t"), 0)


def test_resamples_without_a_class_say_nothing_of_the_share():
    """With one positive row a third of them have none, in which both models would be worth the same."""
    flat = TABLES[1].set_column(3, "bad", pa.array(np.zeros(800, np.int64)))
    bad = TABLES[2]["bad"].to_numpy()
    rows = np.append(np.flatnonzero(bad == 0)[:60], np.flatnonzero(bad == 1)[0])
    train, fake, holdout = read(TABLES[0], flat, TABLES[2].take(pa.array(rows)))
    found = measure_utility(train, fake, holdout, plan_task(train, "bad"), 0)
    assert found.share < 0.7
    assert found.share_interval[1] < 0.7
