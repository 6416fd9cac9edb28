"""How much likelier a decoded row is among the real rows than among the generated ones.

A classifier's log odds estimate the ratio of the densities (Sugiyama, Suzuki & Kanamori,
"Density ratio estimation in machine learning", 2012, section 4). Boosted trees see what the
discriminator is blind to: sharp edges, ridges between two columns, single values.

Letters: N real rows, M generated rows, B rows, I columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fingan.errors import BundleError
from fingan.generator.inputs import TreeInputs
from fingan.generator.raking import Raking
from fingan.rng import key
from fingan.types import Float32, Float64, Json

if TYPE_CHECKING:
    import xgboost

ROUNDS = 500
PATIENCE = 20
_SETTINGS = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 6,
    "eta": 0.25,
    "subsample": 0.8,
    "min_child_weight": 5.0,
}
_TREES = "trees"
_GROWTH = ("base_weights", "loss_changes", "sum_hessian")
_NODES = (*_GROWTH, "right_children", "split_indices", "split_conditions", "default_left", "split_type")


@dataclass(frozen=True)
class DensityRatio:
    """Log ratio of the density of real rows to that of generated ones, up to a constant.

    Attributes:
        inputs: what the trees see of a row.
        trees: the classifier, on one thread; safe to use from several.
        raking: corrections that keep the columns' shares.
    """

    inputs: TreeInputs
    trees: xgboost.Booster
    raking: Raking

    def __call__(self, rows: pa.RecordBatch) -> Float64:
        """Return the log ratio [B] of decoded rows."""
        matrix = self.inputs.matrix(rows)
        return log_odds(self.trees, matrix) + self.raking(matrix)

    def state(self) -> tuple[Json, dict[str, np.ndarray]]:
        """Return the JSON document and the arrays that `from_state` takes."""
        trees = json.loads(self.trees.save_raw("json"))
        for tree in _trees(trees):
            # What they were grown by says more of the training rows than scoring needs.
            tree |= {name: [0.0] * len(tree["left_children"]) for name in _GROWTH}
        document = {"inputs": self.inputs.state(), "group": self.raking.group, _TREES: trees}
        return document, self.raking.arrays()

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> DensityRatio:
        """Rebuild from `state`.

        Raises:
            BundleError: trees that lead nowhere.
        """
        import xgboost

        inputs = TreeInputs.from_state(document["inputs"])
        _check(document[_TREES], len(inputs.columns))
        trees = xgboost.Booster()
        trees.load_model(bytearray(json.dumps(document[_TREES]).encode()))
        trees.set_param({"nthread": 1})
        return cls(inputs, trees, Raking.from_arrays(arrays, len(inputs.columns), document["group"]))


def log_odds(trees: xgboost.Booster, matrix: Float32) -> Float64:
    """Return the trees' log odds [B] of rows [B, I]."""
    return np.asarray(trees.inplace_predict(matrix, predict_type="margin"), dtype=np.float64).reshape(-1)


def fit_trees(
    real: Float32, generated: Float32, held: tuple[Float32, Float32], seed: int, threads: int
) -> xgboost.Booster | None:
    """Learn to tell real rows from generated ones; None where that does not work on new rows.

    Both sides weigh the same in sum, whatever their numbers.

    Args:
        real, generated: rows [N, I] and [M, I] to learn from.
        held: rows of both kinds that tell when to stop.
        seed: of the subsamples.
        threads: to use.
    """
    import xgboost

    def sides(first: Float32, second: Float32) -> xgboost.DMatrix:
        labels = np.repeat([1.0, 0.0], [len(first), len(second)])
        weights = np.repeat([len(second) / len(first), 1.0], [len(first), len(second)])
        return xgboost.DMatrix(np.concatenate([first, second]), labels, weight=weights)

    settings = _SETTINGS | {"seed": key(seed, "density") % (1 << 31), "nthread": threads}
    trees = xgboost.train(
        settings,
        sides(real, generated),
        ROUNDS,
        evals=[(sides(*held), "held")],
        early_stopping_rounds=PATIENCE,
        verbose_eval=False,
    )
    if trees.best_score >= np.log(2.0):
        return None
    best: xgboost.Booster = trees[: trees.best_iteration + 1]
    best.set_param({"nthread": 1})
    return best


def _trees(document: Any) -> list[Json]:
    found: list[Json] = document["learner"]["gradient_booster"]["model"]["trees"]
    return found


def _check(document: Any, columns: int) -> None:
    """Refuse trees whose nodes lead back, out of the tree, or to columns that are not there."""
    for tree in _trees(document):
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
