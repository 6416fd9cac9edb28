"""Features of the learners, and what they learn."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fingan.evaluation import detection, learners
from fingan.evaluation.frame import concat
from fingan.evaluation.learners import LEVELS_AT_MOST, MOST, Design
from tests.evaluation.tables import read


def test_text_is_one_hot_and_coded_categories_stay_numbers_unless_asked():
    table = pa.table({"t": ["a", "b", "a"], "group_id": [5, 5, 7], "x": [1.0, 2.0, 4.0]})
    (frame,) = read(table)
    assert [c.kind for c in frame.columns] == ["category", "category", "number"]
    mixed_design = Design.fit(frame, frame)
    assert mixed_design.names() == ["t", "t", "group_id", "x"]
    assert mixed_design.transform(frame).tolist() == [[1, 0, 5, 1], [0, 1, 5, 2], [1, 0, 7, 4]]
    one_hot = Design.fit(frame, frame, "one_hot")
    assert one_hot.names() == ["t", "t", "group_id", "group_id", "x"]
    assert detection.has_coded_categories(frame)


def test_missing_numbers_take_the_real_mean_and_a_flag():
    real, other = read(pa.table({"x": pa.array([1.0, 3.0, None])}), pa.table({"x": pa.array([None, 9.0])}))
    design = Design.fit(real, concat(real, other))
    assert design.transform(other).tolist() == [[2, 1], [9, 0]]
    assert design.names() == ["x", "x"]


def test_numbers_that_trees_could_not_take_are_cut():
    (frame,) = read(pa.table({"x": [1.797e308, -1e39, 2.0]}))
    features = Design.fit(frame, frame).transform(frame)
    assert features[:, 0].tolist() == [MOST, -MOST, 2.0]
    with np.errstate(over="raise"):
        assert np.isfinite((1e3 * features).astype(np.float32)).all()


def test_wide_categories_are_bounded():
    levels = [f"m{i}" for i in range(5000)]
    (frame,) = read(pa.table({"m": levels * 2, "x": np.arange(10_000.0)}))
    design = Design.fit(frame, frame)
    features = design.transform(frame)
    assert features.shape == (10_000, LEVELS_AT_MOST + 3)
    assert features[:, :LEVELS_AT_MOST].sum() >= LEVELS_AT_MOST
    rest = features[:, LEVELS_AT_MOST] == 1
    assert (features[rest, :LEVELS_AT_MOST] == 0).all()


def test_an_all_missing_column_is_filled():
    real, _ = read(pa.table({"x": pa.nulls(3, pa.float64())}), pa.table({"x": [1.0]}))
    assert Design.fit(real, real).transform(real).tolist() == [[0, 1]] * 3


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("make", [learners.utility_trees, learners.utility_linear])
def test_learners_learn(task, make):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 3))
    outcome = features[:, 0]
    if task != "regression":
        outcome = np.digitize(outcome, [0.0] if task == "binary" else [-0.5, 0.5])
    model = make(task)
    learners.fit_quietly(model, features, outcome)
    guess = np.asarray(model.predict(features))
    assert np.corrcoef(guess, outcome)[0, 1] > 0.7
