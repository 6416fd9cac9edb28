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
from fingan.types import Float32, Float64, Json

if TYPE_CHECKING:
    import xgboost

PATIENCE = 20
_GROWTH = ("base_weights", "loss_changes", "sum_hessian")
_NODES = (*_GROWTH, "right_children", "split_indices", "split_conditions", "default_left", "split_type")

Rows = tuple[Float32, np.ndarray, np.ndarray]
"""Inputs [N, I], labels [N] and weights [N]."""


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


def from_document(document: Any, columns: int) -> xgboost.Booster:
    """Rebuild trees from `to_document`.

    Raises:
        BundleError: trees that lead nowhere.
    """
    import xgboost

    _check(document, columns)
    trees = xgboost.Booster()
    trees.load_model(bytearray(json.dumps(document).encode()))
    trees.set_param({"nthread": 1})
    return trees


def _trees(document: Any) -> list[Json]:
    found: list[Json] = document["learner"]["gradient_booster"]["model"]["trees"]
    return found


def _check(document: Any, columns: int) -> None:
    """Refuse trees whose nodes lead back, out of the tree, or to columns that are not there.

    XGBoost takes the numbers of trees, and of the class that each belongs to, as they are.
    """
    learner, trees = document["learner"], _trees(document)
    classes = max(1, int(learner["learner_model_param"]["num_class"]))
    named = [tree["id"] for tree in trees] == list(range(len(trees)))
    owners = learner["gradient_booster"]["model"]["tree_info"]
    if not named or len(owners) != len(trees) or not all(0 <= owner < classes for owner in owners):
        raise BundleError("its density ratio has trees that belong to no class")
    for tree in trees:
        node = np.arange(len(tree["left_children"]))
        sides = np.array([tree["left_children"], tree["right_children"]], dtype=np.int64)
        leaf = sides[0] == -1
        split = np.array(tree["split_indices"], dtype=np.int64)
        inside = (sides > node) & (sides < node.size)
        whole = all(len(tree[name]) == node.size for name in _NODES) and not any(tree["split_type"])
        if not whole or not (inside | leaf).all() or (sides[1][leaf] != -1).any():
            raise BundleError("its density ratio has a tree whose nodes lead nowhere")
        if ((split < 0) | (split >= columns)).any():
            raise BundleError("its density ratio asks for columns that the table does not have")
