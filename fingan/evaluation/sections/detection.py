"""Detection by boosted trees (fine, coarse, one-hot) and by logistic regression."""

from __future__ import annotations

from collections.abc import Callable

from fingan.evaluation.detection import Detection, coarse, detect, detect_logistic, has_coded_categories
from fingan.evaluation.frame import Frame
from fingan.evaluation.inputs import Inputs, Section

_Detector = Callable[[Frame, Frame], Detection]
TELLS = 12


def measure(inputs: Inputs) -> Section:
    """Run every detector on synthetic rows, and on two real halves for its floor."""
    section = Section()
    seed, train = inputs.seed, inputs.train
    detectors: dict[str, _Detector] = {
        "detection_auc": lambda real, other: detect(real, other, seed),
        "detection_auc_coarse": lambda real, other: detect(coarse(real, train), coarse(other, train), seed),
        "detection_auc_one_hot": lambda real, other: detect(real, other, seed, "one_hot"),
        "detection_auc_logistic": lambda real, other: detect_logistic(real, other, seed),
    }
    if not has_coded_categories(train):
        del detectors["detection_auc_one_hot"]
        section.omitted["detection_auc_one_hot"] = (
            "no category is coded by numbers: the same as detection_auc"
        )
    for name, run in detectors.items():
        found, floor = run(train, inputs.synthetic), run(*inputs.halves)
        section.add(
            name,
            found.auc,
            "lower",
            {"real": found.rows, "synthetic": found.rows, **inputs.floor_counts},
            floor.auc,
            found.interval,
            score=found.score,
            floor_score=floor.score,
            folds=list(found.folds),
            estimator=found.estimator,
            interval="DeLong in each of 3 folds",
            tells=dict(list(found.tells.items())[:TELLS]),
        )
    return section
