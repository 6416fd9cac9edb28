"""Boosted trees: growing, scoring, and keeping them in a bundle.

Letters: N rows, B rows, I columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fingan.errors import BundleError
from fingan.rng import key
from fingan.types import Float32, Float64, Int64, Json

if TYPE_CHECKING:
    import xgboost

PATIENCE = 20
_GROWTH = ("base_weights", "loss_changes", "sum_hessian")
_PLACES = ("left_children", "right_children", "split_indices")
_VALUES = ("split_conditions", "default_left")
_CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
_ROOT = (1 << 31) - 1
_DEEPEST = 32
_NOWHERE = "its density ratio has a tree whose nodes lead nowhere"

Rows = tuple[Float32, np.ndarray, np.ndarray]
"""Inputs [N, I], labels [N] and weights [N]."""


def objective(classes: int) -> Json:
    """Return the settings of trees that tell so many classes apart."""
    if classes == 2:
        return {"objective": "binary:logistic"}
    return {"objective": "multi:softprob", "num_class": classes}


def grow(
    settings: Mapping[str, object], learned: Rows, held: Rows, rounds: int, seed: int, threads: int
) -> tuple[xgboost.Booster, float]:
    """Grow trees until new rows gain nothing for 20 rounds.

    Args:
        settings: objective and shape of the trees.
        learned: rows to learn from.
        held: rows that tell when to stop.
        rounds: trees at most, for each class.
        seed: of the subsamples.
        threads: to use; the trees do not depend on it.

    Returns:
        The best of them, which score on one thread, and their loss on the held rows.
    """
    import xgboost

    def matrix(rows: Rows) -> xgboost.DMatrix:
        return xgboost.DMatrix(rows[0], rows[1], weight=rows[2])

    common = {"tree_method": "hist", "subsample": 0.8, "nthread": threads}
    trees = xgboost.train(
        {**common, "seed": key(seed, "trees") % (1 << 31), **settings},
        matrix(learned),
        rounds,
        evals=[(matrix(held), "held")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    best: xgboost.Booster = trees[: trees.best_iteration + 1]
    best.set_param({"nthread": 1})
    return best, float(trees.best_score)


def margins(trees: xgboost.Booster, inputs: Float32) -> Float64:
    """Return the trees' log odds [B], or one logit per class [B, C]."""
    return np.asarray(trees.inplace_predict(inputs, predict_type="margin"), dtype=np.float64)


def to_document(trees: xgboost.Booster) -> Json:
    """Return trees as JSON, without what they were grown by: scoring does not need it."""
    document: Json = json.loads(trees.save_raw("json"))
    for tree in _trees(document):
        tree |= {name: [0.0] * len(tree["left_children"]) for name in _GROWTH}
    return document


def from_document(document: Any, columns: int, classes: int) -> xgboost.Booster:
    """Rebuild trees from `to_document`.

    XGBoost believes what a model says of its sizes and of places in memory. So it gets one that is
    written anew, from nothing but what is checked here.

    Args:
        document: the trees.
        columns: how many they may ask for.
        classes: how many they tell apart.

    Raises:
        BundleError: a model of another kind, or trees that lead nowhere.
    """
    import xgboost

    trees = xgboost.Booster()
    trees.load_model(bytearray(json.dumps(_rewritten(document, columns, classes)).encode()))
    trees.set_param({"nthread": 1})
    return trees


def _trees(document: Any) -> list[Json]:
    found: list[Json] = document["learner"]["gradient_booster"]["model"]["trees"]
    return found


def _rewritten(document: Any, columns: int, classes: int) -> Json:
    """Return a model with the same trees, all of it checked or new."""
    learner, trees = document["learner"], _trees(document)
    # XGBoost has one tree a round, and counts no class, where two are told apart.
    counted, a_round = (0, 1) if classes == 2 else (classes, classes)
    known = learner["learner_model_param"]
    kind = learner["gradient_booster"]["name"], learner["objective"]["name"], known["num_class"]
    if kind != ("gbtree", objective(classes)["objective"], str(counted)):
        raise BundleError(f"its density ratio has a model of another kind: {kind!r}")
    owners = [number % a_round for number in range(len(trees))]
    named = [tree["id"] for tree in trees] == list(range(len(trees)))
    if not named or learner["gradient_booster"]["model"]["tree_info"] != owners or len(trees) % a_round:
        raise BundleError("its density ratio has trees that belong to no class")
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
        "iteration_indptr": list(range(0, len(trees) + 1, a_round)),
        "tree_info": owners,
        "trees": [_tree(number, tree, columns) for number, tree in enumerate(trees)],
    }
    parameters = {"base_score": _base_score(known["base_score"], a_round), "num_class": str(counted)}
    return {
        "learner": {
            "attributes": {},
            "feature_names": [],
            "feature_types": [],
            "gradient_booster": {"name": "gbtree", "model": model},
            "learner_model_param": {**parameters, "num_feature": str(columns), "num_target": "1"},
            "objective": {
                "name": kind[1],
                "reg_loss_param": {"scale_pos_weight": "1"},
                "softmax_multiclass_param": {"num_class": str(counted)},
            },
        },
        "version": [int(number) for number in document["version"]],
    }


def _base_score(text: str, scores: int) -> str:
    """Return the text of what scores begin at, if it says one finite number, or one for each score."""
    numbers = [float(number) for number in text.strip("[]").split(",")]
    if len(numbers) not in (1, scores) or not np.isfinite(numbers).all():
        raise BundleError(f"its density ratio begins at {text!r}, which is no score")
    return text


def _tree(number: int, tree: Json, columns: int) -> Json:
    """Return a tree, checked."""
    left, right, split = (np.array(tree[name], dtype=np.int64) for name in _PLACES)
    threshold, missing_left = (np.array(tree[name], dtype=np.float64) for name in _VALUES)
    size = left.size
    parents = _parents(left, right)
    if any(len(tree[name]) != size for name in (*_PLACES, *_VALUES)) or any(tree["split_type"]):
        raise BundleError(_NOWHERE)
    if ((split < 0) | (split >= columns)).any():
        raise BundleError("its density ratio asks for columns that the table does not have")
    sizes = {"num_nodes": str(size), "num_feature": str(columns), "num_deleted": "0", "size_leaf_vector": "1"}
    nodes: dict[str, np.ndarray] = {
        "left_children": left,
        "right_children": right,
        "parents": parents,
        "split_indices": split,
        "split_conditions": threshold,
        "default_left": (missing_left != 0).astype(np.int64),
    }
    return {
        "id": number,
        "tree_param": sizes,
        **{name: values.tolist() for name, values in nodes.items()},
        **{name: [0.0] * size for name in _GROWTH},
        "split_type": [0] * size,
        **{name: [] for name in _CATEGORIES},
    }


def _parents(left: Int64, right: Int64) -> Int64:
    """Return the parent of each node, if each has one way from the root, and not a long one."""
    inner = np.flatnonzero(left != -1)
    children = np.concatenate([left[inner], right[inner]])
    leaves_end = left.size > 0 and left.shape == right.shape and (right[left == -1] == -1).all()
    if not leaves_end or not np.array_equal(np.sort(children), np.arange(1, left.size)):
        raise BundleError(_NOWHERE)
    parents = np.zeros_like(left)
    parents[children] = np.tile(inner, 2)
    above = parents
    for _ in range(_DEEPEST):
        above = parents[above]
    if above.any():
        raise BundleError(_NOWHERE)
    parents[0] = _ROOT
    return parents
