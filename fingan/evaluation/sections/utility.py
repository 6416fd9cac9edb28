"""TSTR beside TRTR."""

from __future__ import annotations

import math

from fingan.errors import DataError
from fingan.evaluation.catalogue import CATALOGUE
from fingan.evaluation.frame import Frame
from fingan.evaluation.inputs import Inputs, Section
from fingan.evaluation.learners import BOOSTING
from fingan.evaluation.utility import Task, measure_utility

_FAMILIES = {"trees": "tstr_", "linear": "tstr_linear_"}


def measure(inputs: Inputs) -> Section:
    """Measure the section; without a target or a hold-out it is omitted with the reason."""
    section = Section()
    names = [name for name, info in CATALOGUE.items() if info.section == "utility"]
    if inputs.task is None:
        section.omitted.update(dict.fromkeys(names, inputs.no_task))
        return section
    if inputs.holdout is None:
        section.omitted.update(dict.fromkeys(names, "there is no hold-out to test on"))
        return section
    try:
        found = measure_utility(inputs.train, inputs.synthetic, inputs.holdout, inputs.task, inputs.seed)
    except DataError as error:
        section.omitted.update(dict.fromkeys(names, str(error)))
        return section
    rows = {**inputs.counts, "holdout": found.real["trees"].rows}
    for family, prefix in _FAMILIES.items():
        real, synthetic = found.real[family], found.synthetic[family]
        for score, value in synthetic.values.items():
            name = prefix + score
            section.add(
                name,
                value,
                CATALOGUE[name].direction,
                rows,
                real.values.get(score),
                synthetic.intervals[score],
                reference="trained on real rows (TRTR)",
                reference_interval=real.intervals.get(score),
                estimator=BOOSTING if family == "trees" else "L2 linear model",
                task=inputs.task.kind,
                positive=inputs.task.positive,
            )
        for score in (score for score in synthetic.intervals if score not in synthetic.values):
            section.omitted[prefix + score] = _undefined(inputs.task, inputs.holdout, score in real.values)
    if math.isfinite(found.share):
        low, high = found.share_interval
        section.add(
            "tstr_share",
            100 * found.share,
            "higher",
            rows,
            100.0,
            (100 * low, 100 * high),
            reference="trained on real rows (TRTR)",
            interval="paired bootstrap over the hold-out",
        )
    elif inputs.task.varies(inputs.holdout):
        section.omitted["tstr_share"] = "the model trained on real rows has no skill to compare with"
    else:
        section.omitted["tstr_share"] = _undefined(inputs.task, inputs.holdout, False)
    return section


def _undefined(task: Task, holdout: Frame, for_real: bool) -> str:
    """Return why a score is not defined, for the model trained on real rows neither or (`for_real`) it is."""
    if not task.varies(holdout):
        return f"the hold-out has a single value of {task.target!r}; give rows of others too"
    of = "the model" if for_real else "either model, that"
    return f"not defined for {of} trained on synthetic rows"
