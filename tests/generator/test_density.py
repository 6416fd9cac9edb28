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
from fingan.generator.density import DensityRatio, fit_trees
from fingan.generator.inputs import TreeInputs
from fingan.generator.labels import LabelRatio, fit_labels
from fingan.generator.raking import fit_raking
from fingan.generator.trees import margins


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
    raking = fit_raking(real, [False, False], None, real, np.zeros((1500, 4)), 1)
    return DensityRatio(inputs, learned(), None, raking)


def test_log_odds_are_the_log_ratio_of_the_densities():
    points = normals(2000, 9, 0.5)
    truth = (norm.logpdf(points) - norm.logpdf(points, 1.0)).sum(axis=1)
    found = margins(learned(), points)
    assert np.corrcoef(truth, found)[0, 1] > 0.9
    # Twice as many generated rows as real ones must not move the ratio.
    assert abs(np.mean(found - truth)) < 0.15


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_trees_do_not_depend_on_threads(threads):
    points = normals(500, 9)
    assert np.array_equal(margins(learned(threads), points), margins(learned(), points))


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


@pytest.mark.parametrize(("name", "value"), [("id", 7), ("id", 0), ("tree_info", 10**6), ("tree_info", -1)])
def test_trees_of_no_class_or_with_one_number_are_refused(ratio, name, value):
    document, arrays = ratio.state()
    changed = copy.deepcopy(document)
    model = changed["trees"]["learner"]["gradient_booster"]["model"]
    if name == "id":
        model["trees"][1]["id"] = value
    else:
        model[name][1] = value
    with pytest.raises(BundleError, match="belong to no class"):
        DensityRatio.from_state(changed, arrays)


def chain(depth: int) -> dict[str, list[float]]:
    """A tree whose every second node leads on."""
    nodes = np.arange(2 * depth + 1)
    inner = (nodes % 2 == 0) & (nodes < 2 * depth)
    left, right = (np.where(inner, nodes + step, -1).tolist() for step in (1, 2))
    rest = ("split_indices", "split_conditions", "default_left", "split_type")
    return {"left_children": left, "right_children": right, **{name: [0] * nodes.size for name in rest}}


def test_a_tree_of_any_depth_or_with_two_ways_to_a_node_is_refused(ratio):
    """XGBoost goes down a tree by recursion, and once for each way."""
    document, arrays = ratio.state()
    tree = document["trees"]["learner"]["gradient_booster"]["model"]["trees"][0]
    DensityRatio.from_state(document, arrays)
    tree |= chain(6)
    DensityRatio.from_state(document, arrays)
    for forged in (chain(1000), chain(6) | {"left_children": chain(6)["right_children"]}):
        tree |= forged
        with pytest.raises(BundleError, match="lead nowhere"):
            DensityRatio.from_state(document, arrays)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("gradient_booster", "name"), "dart"),
        (("gradient_booster", "name"), "gblinear"),
        (("objective", "name"), "reg:squarederror"),
        (("learner_model_param", "num_class"), "2"),
        (("learner_model_param", "num_class"), "-1"),
    ],
)
def test_a_model_of_another_kind_is_refused(ratio, place, value):
    document, arrays = ratio.state()
    changed = copy.deepcopy(document)
    changed["trees"]["learner"][place[0]][place[1]] = value
    with pytest.raises(BundleError, match="model of another kind"):
        DensityRatio.from_state(changed, arrays)


@pytest.mark.parametrize("value", ["", "[]", "nan", "[1E400]", "[5E-1,5E-1]", "much"])
def test_a_base_score_that_is_none_is_refused(ratio, value):
    document, arrays = ratio.state()
    changed = copy.deepcopy(document)
    changed["trees"]["learner"]["learner_model_param"]["base_score"] = value
    with pytest.raises((BundleError, ValueError)):
        DensityRatio.from_state(changed, arrays)


def test_what_a_model_says_of_its_memory_is_not_believed(ratio):
    document, arrays = ratio.state()
    changed = copy.deepcopy(document)
    booster = changed["trees"]["learner"]["gradient_booster"]
    model = booster["model"]
    booster["gbtree"] = {"name": "gbtree", "model": {}}
    model["iteration_indptr"][0] = -(2**31)
    model["gbtree_model_param"]["num_trees"] = "1000000"
    tree = model["trees"][0]
    tree["parents"][1], tree["categories_nodes"] = 2**31 - 1, [0]
    tree["tree_param"] |= {"size_leaf_vector": "1000000", "num_nodes": "1000000"}
    rows = pa.record_batch({"a": normals(100, 5)[:, 0], "b": normals(100, 5)[:, 1]})
    assert np.array_equal(DensityRatio.from_state(changed, arrays)(rows), ratio(rows))


def labelled(rows: int, seed: int, slope: float, classes: int = 2) -> np.ndarray:
    """Noise, the label's cause, and a label that follows it with the given slope."""
    rng = np.random.default_rng(seed)
    cause = rng.normal(size=(rows, 2))
    logits = slope * cause[:, 1:] * np.arange(classes)
    label = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    return np.column_stack([cause[:, 0], label, cause[:, 1]]).astype(np.float32)


def label_ratio(classes: int = 2) -> LabelRatio:
    sides = [
        (labelled(20_000, i, slope, classes), labelled(4000, 9 + i, slope, classes))
        for i, slope in ((0, 2.0), (1, 0.0))
    ]
    found = fit_labels(1, classes, sides[0], sides[1], 0, 1)
    assert found is not None
    return found


@pytest.mark.parametrize("classes", [2, 3])
def test_the_label_ratio_compares_conditional_distributions(classes):
    rows = labelled(3000, 5, 1.0, classes)
    logits = 2.0 * rows[:, 2:] * np.arange(classes)
    truth = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)) + np.log(classes)
    found = label_ratio(classes)(rows)
    assert np.corrcoef(found, truth[np.arange(3000), rows[:, 1].astype(int)])[0, 1] > 0.97
    # Rare and missing labels have no ratio.
    rows[:2, 1] = classes, np.nan
    assert label_ratio(classes)(rows)[:2].tolist() == [0.0, 0.0]


def test_a_ratio_of_three_labels_survives_its_state():
    labels, rows = label_ratio(3), labelled(50, 7, 1.0, 3)
    document = json.loads(json.dumps(labels.state()))
    assert np.array_equal(LabelRatio.from_state(document, 3)(rows), labels(rows))
    for classes in (2, 4):
        with pytest.raises(BundleError, match="model of another kind"):
            LabelRatio.from_state(document | {"classes": classes}, 3)


def test_a_label_without_one_of_its_classes_has_no_ratio():
    whole, one = labelled(500, 0, 1.0), labelled(500, 1, 1.0)
    one[:, 1] = 0
    assert fit_labels(1, 2, (whole, whole), (one, whole), 0, 1) is None


def test_a_ratio_of_labels_survives_its_state_and_is_checked(ratio):
    labels = label_ratio()
    document, _ = ratio.state()
    with_labels = json.loads(json.dumps(document | {"labels": labels.state()}))
    again = LabelRatio.from_state(with_labels["labels"], 3)
    assert np.array_equal(again(labelled(50, 7, 1.0)), labels(labelled(50, 7, 1.0)))
    for name, value in (("place", 3), ("place", -1), ("classes", 1), ("classes", 11)):
        with pytest.raises(BundleError, match="label that the table does not have"):
            LabelRatio.from_state(with_labels["labels"] | {name: value}, 3)
    with pytest.raises(BundleError, match="model of another kind"):
        LabelRatio.from_state(with_labels["labels"] | {"classes": 3}, 3)
    with_labels["labels"]["real"]["learner"]["gradient_booster"]["model"]["trees"][0]["split_indices"][0] = 2
    with pytest.raises(BundleError, match="does not have"):
        LabelRatio.from_state(with_labels["labels"], 3)


def test_classes_that_are_not_compared_leave_the_others_their_ratio():
    """The third class has no rows here: a network of its own makes them."""
    sides = [
        tuple(
            part[part[:, 1] < 2] for part in (labelled(20_000, i, slope, 3), labelled(4000, 9 + i, slope, 3))
        )
        for i, slope in ((0, 2.0), (1, 0.0))
    ]
    assert fit_labels(1, 3, sides[0], sides[1], 0, 1) is None
    found = fit_labels(1, 3, sides[0], sides[1], 0, 1, apart=[2])
    rows = labelled(3000, 5, 1.0, 2)
    truth = -np.log1p(np.exp(-2.0 * np.where(rows[:, 1] == 1, 1.0, -1.0) * rows[:, 2]))
    assert np.corrcoef(found(rows), truth)[0, 1] > 0.97
    assert fit_labels(1, 2, sides[0], sides[1], 0, 1, apart=[1]) is None
