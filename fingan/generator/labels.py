"""How much likelier a row's label is, given its other columns, among real rows than among generated ones.

One column among many, the label moves a classifier of whole rows little, although what hangs
on it is what most synthetic rows are for. So its conditional distribution is compared by
itself: the logarithm of p(y | x) / q(y | x), of two classifiers of the label, one learned from
real rows and one from generated ones. It is added in full to what whole rows say: that holds
little of it.

Letters: N rows, B rows, I columns, C classes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import log_softmax

from fingan.errors import BundleError
from fingan.generator.inputs import MOST_CLASSES
from fingan.generator.trees import from_document, grow, margins, objective, to_document
from fingan.types import Bool, Float32, Float64, Json

if TYPE_CHECKING:
    import xgboost

_REAL = {"max_depth": 4, "eta": 0.05, "min_child_weight": 20.0}
_GENERATED = {"max_depth": 5, "eta": 0.1, "min_child_weight": 20.0}
_ROUNDS = 400


@dataclass(frozen=True)
class LabelRatio:
    """Log ratio of the label's conditional distributions.

    Attributes:
        place: column of the label, which holds ranks; others than 0 … C − 1 have no ratio.
        classes: number C of its classes.
        real, generated: the two classifiers.
    """

    place: int
    classes: int
    real: xgboost.Booster
    generated: xgboost.Booster

    def __call__(self, inputs: Float32) -> Float64:
        """Return the log ratio [B] of rows [B, I]."""
        known = _known(inputs[:, self.place], self.classes)
        label = np.where(known, inputs[:, self.place], 0).astype(np.int64)
        rest = _rest(inputs, self.place)
        ratio = _log_shares(self.real, rest) - _log_shares(self.generated, rest)
        found: Float64 = np.where(known, ratio[np.arange(len(label)), label], 0.0)
        return found

    def state(self) -> Json:
        """Return what `from_state` takes."""
        sides = {"real": to_document(self.real), "generated": to_document(self.generated)}
        return {"place": self.place, "classes": self.classes, **sides}

    @classmethod
    def from_state(cls, document: Json, columns: int) -> LabelRatio:
        """Rebuild from `state`, for a table of so many columns.

        Raises:
            BundleError: trees that lead nowhere or tell other classes apart, or a label that the table
                does not have.
        """
        place, classes = int(document["place"]), int(document["classes"])
        if not 0 <= place < columns or not 2 <= classes <= MOST_CLASSES:
            raise BundleError("its density ratio has a label that the table does not have")
        sides = [from_document(document[side], columns - 1, classes) for side in ("real", "generated")]
        return cls(place, classes, *sides)


def fit_labels(
    place: int,
    classes: int,
    real: tuple[Float32, Float32],
    generated: tuple[Float32, Float32],
    seed: int,
    threads: int,
    apart: Collection[int] = (),
) -> LabelRatio | None:
    """Learn both classifiers; None where a side lacks a class, or where there is nothing to compare.

    Args:
        place: column of the label.
        classes: number of its classes.
        real, generated: rows [N, I] to learn from, and rows that tell when to stop.
        seed: of the subsamples.
        threads: to use.
        apart: classes whose rows are not compared, and not among these.
    """
    compared = set(range(classes)).difference(apart)
    if len(compared) < 2:
        return None
    sides = []
    for (rows, held), settings in ((real, _REAL), (generated, _GENERATED)):
        learned, judged = (part[_known(part[:, place], classes)] for part in (rows, held))
        if not compared.issubset(learned[:, place].tolist()) or not len(judged):
            return None
        parts = [(_rest(part, place), part[:, place], np.ones(len(part))) for part in (learned, judged)]
        trees, _ = grow({**settings, **objective(classes)}, parts[0], parts[1], _ROUNDS, seed, threads)
        sides.append(trees)
    return LabelRatio(place, classes, sides[0], sides[1])


def _known(label: Float32, classes: int) -> Bool:
    known: Bool = label < classes  # never true of NaN
    return known


def _rest(inputs: Float32, place: int) -> Float32:
    return np.delete(inputs, place, axis=1)


def _log_shares(trees: xgboost.Booster, rest: Float32) -> Float64:
    """Return log probabilities [B, C]."""
    logits = margins(trees, rest)
    if logits.ndim == 1:
        logits = np.stack([np.zeros_like(logits), logits], axis=1)
    found: Float64 = log_softmax(logits, axis=1)
    return found
