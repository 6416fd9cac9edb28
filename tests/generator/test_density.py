"""The ratio of densities: learned, kept in a bundle, refused when it is damaged."""

from __future__ import annotations

import copy
import json

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import norm

from fingan.data import infer_schema
from fingan.errors import BundleError
from fingan.generator.density import DensityRatio, fit_trees, log_odds
from fingan.generator.inputs import TreeInputs
from fingan.generator.raking import fit_raking


def normals(rows: int, seed: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, (rows, 2)).astype(np.float32)


def learned(threads: int = 1, seed: int = 0):
    held = normals(3000, 3), normals(3000, 4, 1.0)
    return fit_trees(normals(6000, 1), normals(12_000, 2, 1.0), held, seed, threads)


@pytest.fixture(scope="module")
def ratio() -> DensityRatio:
    real = normals(6000, 1)
    table = pa.table({"a": real[:, 0], "b": real[:, 1]})
    inputs = TreeInputs.fit(infer_schema(table), table)
    raking = fit_raking(real, [False, False], None, real, np.zeros((1500, 4)))
    return DensityRatio(inputs, learned(), raking)


def test_log_odds_are_the_log_ratio_of_the_densities():
    points = normals(2000, 9, 0.5)
    truth = (norm.logpdf(points) - norm.logpdf(points, 1.0)).sum(axis=1)
    found = log_odds(learned(), points)
    assert np.corrcoef(truth, found)[0, 1] > 0.9
    # Twice as many generated rows as real ones must not move the ratio.
    assert abs(np.mean(found - truth)) < 0.15


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_trees_do_not_depend_on_threads(threads):
    points = normals(500, 9)
    assert np.array_equal(log_odds(learned(threads), points), log_odds(learned(), points))


def test_rows_that_cannot_be_told_apart_give_no_ratio():
    held = normals(2000, 3), normals(2000, 4)
    assert fit_trees(normals(3000, 1), normals(6000, 2), held, 0, 1) is None


def test_a_ratio_survives_its_state(ratio):
    rows = pa.record_batch({"a": normals(100, 5)[:, 0], "b": normals(100, 5)[:, 1]})
    document, arrays = ratio.state()
    again = DensityRatio.from_state(json.loads(json.dumps(document)), arrays)
    assert np.array_equal(again(rows), ratio(rows))


def damage(document, name, node, value):
    changed = copy.deepcopy(document)
    tree = changed["trees"]["learner"]["gradient_booster"]["model"]["trees"][0]
    tree[name][node] = value
    return changed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("left_children", 0),
        ("left_children", 10_000),
        ("left_children", -7),
        ("right_children", 0),
        ("split_indices", 2),
        ("split_indices", -1),
        ("split_type", 1),
    ],
)
def test_trees_that_lead_nowhere_are_refused(ratio, name, value):
    document, arrays = ratio.state()
    with pytest.raises(BundleError, match=r"lead nowhere|does not have"):
        DensityRatio.from_state(damage(document, name, 0, value), arrays)


@pytest.mark.parametrize("name", ["split_indices", "default_left", "split_conditions"])
def test_a_tree_with_a_short_list_is_refused(ratio, name):
    document, arrays = ratio.state()
    changed = copy.deepcopy(document)
    changed["trees"]["learner"]["gradient_booster"]["model"]["trees"][0][name].pop()
    with pytest.raises(BundleError, match="lead nowhere"):
        DensityRatio.from_state(changed, arrays)
