"""How much likelier a decoded row is among the real rows than among the generated ones.

A classifier's log odds estimate the ratio of the densities (Sugiyama, Suzuki & Kanamori,
"Density ratio estimation in machine learning", 2012, section 4). Boosted trees see what the
discriminator is blind to: sharp edges, ridges between two columns, single values.

Letters: N real rows, M generated rows, B rows, I columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from fingan.generator.inputs import TreeInputs
from fingan.generator.labels import LabelRatio
from fingan.generator.raking import Raking
from fingan.generator.trees import from_document, grow, margins, objective, to_document
from fingan.types import Float32, Float64, Json

if TYPE_CHECKING:
    import xgboost

ROUNDS = 500
_SETTINGS = {**objective(2), "max_depth": 6, "eta": 0.25, "min_child_weight": 5.0}
_LABELS = "labels"


@dataclass(frozen=True)
class DensityRatio:
    """Log ratio of the density of real rows to that of generated ones, up to a constant.

    Safe to use from several threads.

    Attributes:
        inputs: what the trees see of a row.
        trees: classifier of whole rows.
        labels: ratio of the label's conditional distributions; None for none.
        raking: corrections that keep the shares of columns and of pairs of them.
    """

    inputs: TreeInputs
    trees: xgboost.Booster
    labels: LabelRatio | None
    raking: Raking

    def __call__(self, rows: pa.RecordBatch) -> Float64:
        """Return the log ratio [B] of decoded rows; NaN for those that are not compared."""
        matrix = self.inputs.matrix(rows)
        ratio = unraked(self.trees, self.labels, matrix) + self.raking(matrix)
        return np.where(self.inputs.stand_apart(matrix), np.nan, ratio)

    def state(self) -> tuple[Json, dict[str, np.ndarray]]:
        """Return the JSON document and the arrays that `from_state` takes."""
        document: Json = {"inputs": self.inputs.state(), "trees": to_document(self.trees)}
        if self.labels is not None:
            document[_LABELS] = self.labels.state()
        return document | {"group": self.raking.group}, self.raking.arrays()

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> DensityRatio:
        """Rebuild from `state`.

        Raises:
            BundleError: trees that lead nowhere, or pairs of columns that are not there.
        """
        inputs = TreeInputs.from_state(document["inputs"])
        width = len(inputs.columns)
        labels = LabelRatio.from_state(document[_LABELS], width) if _LABELS in document else None
        raking = Raking.from_arrays(arrays, width, document["group"])
        return cls(inputs, from_document(document["trees"], width, 2), labels, raking)


def unraked(trees: xgboost.Booster, labels: LabelRatio | None, matrix: Float32, threads: int = 1) -> Float64:
    """Return what whole rows and their labels say of rows [B, I], before raking."""
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            parts = pool.map(lambda part: unraked(trees, labels, part), np.array_split(matrix, threads))
            return np.concatenate(list(parts))
    ratio = margins(trees, matrix)
    return ratio if labels is None else ratio + labels(matrix)


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

    def sides(first: Float32, second: Float32) -> tuple[Float32, np.ndarray, np.ndarray]:
        sizes = [len(first), len(second)]
        weights = np.repeat([len(second) / len(first), 1.0], sizes)
        return np.concatenate([first, second]), np.repeat([1.0, 0.0], sizes), weights

    trees, loss = grow(_SETTINGS, sides(real, generated), sides(*held), ROUNDS, seed, threads)
    return trees if loss < np.log(2.0) else None
