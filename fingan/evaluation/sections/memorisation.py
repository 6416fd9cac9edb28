"""Distance to the closest record, exact copies, membership inference."""

from __future__ import annotations

import numpy as np

from fingan.evaluation.frame import Frame, row_codes
from fingan.evaluation.inputs import ROWS_AT_LEAST, Inputs, Section
from fingan.evaluation.membership import FALSE_POSITIVES, HOLDOUT_AT_LEAST, attack_membership
from fingan.evaluation.memorisation import Closeness, closeness, copied_share
from fingan.rng import numpy_generator

_NO_HOLDOUT = "there is no hold-out to compare with"


def measure(inputs: Inputs) -> Section:
    """Measure the section; what needs a hold-out is omitted with the reason where there is none."""
    section = Section()
    _closeness(inputs, section)
    _copies(inputs, section)
    _membership(inputs, section)
    return section


def _closeness(inputs: Inputs, section: Section) -> None:
    fresh = _fresh_real(inputs)
    found = None
    if inputs.holdout is None:
        section.omitted["dcr_leak"] = _NO_HOLDOUT
    else:
        found = closeness(inputs.train, inputs.holdout, inputs.synthetic, inputs.seed)
        section.add(
            "dcr_leak",
            found.leak,
            "lower",
            {"synthetic": found.rows, "train": found.train, "holdout": found.holdout},
            0.0,
            found.leak_interval,
            reference="by theory",
            fresh_real=None if fresh is None else [fresh.leak, *fresh.leak_interval],
        )
    protocol = "hold-out"
    if inputs.half is not None:
        train_half, other_half, synthetic = inputs.half
        found = closeness(train_half, other_half, synthetic, inputs.seed)
        protocol = "half model"
    if found is None:
        section.omitted["dcr_share"] = "there is neither a hold-out nor a model of one half to compare with"
        return
    section.add(
        "dcr_share",
        found.share,
        "lower",
        {"synthetic": found.rows, "train": found.compared, "holdout": found.compared},
        0.5,
        found.share_interval,
        protocol=protocol,
        reference="by theory",
        fresh_real=None if fresh is None else [fresh.share, *fresh.share_interval],
    )


def _fresh_real(inputs: Inputs) -> Closeness | None:
    """Judge one half of the hold-out as if it were synthetic, against train and the other half.

    Too noisy on a small hold-out to be the reference, which theory gives exactly; it stands in the details.
    """
    if inputs.holdout is None or inputs.holdout.rows < 2 * ROWS_AT_LEAST:
        return None
    order = numpy_generator(inputs.seed, "evaluation.fresh").permutation(inputs.holdout.rows)
    half = inputs.holdout.rows // 2
    fresh, unseen = (inputs.holdout.take(np.sort(part)) for part in (order[:half], order[half:]))
    return closeness(inputs.train, unseen, fresh, inputs.seed)


def _copies(inputs: Inputs, section: Section) -> None:
    tables = [table for table in inputs.tables if table is not None]
    keys = row_codes(tables, inputs.train.names)
    share, (low, high) = copied_share(keys[0], keys[1])
    counts = dict(inputs.counts)
    if inputs.holdout is not None:
        reference = copied_share(keys[0], keys[2])[0]
        counts["holdout"] = inputs.holdout.rows
        against = "share of hold-out rows that equal a training row"
    else:
        half = len(keys[0]) // 2
        order = numpy_generator(inputs.seed, "evaluation.copies").permutation(len(keys[0]))
        reference = copied_share(keys[0][order[:half]], keys[0][order[half:]])[0]
        against = "share of one half of the training rows that equal a row of the other"
    section.add(
        "exact_copies",
        100 * share,
        "lower",
        counts,
        100 * reference,
        (100 * low, 100 * high),
        reference=against,
    )


def _membership(inputs: Inputs, section: Section) -> None:
    names = ("membership_auc", "membership_tpr")
    holdout: Frame | None = inputs.holdout
    if holdout is None or holdout.rows < HOLDOUT_AT_LEAST:
        reason = _NO_HOLDOUT if holdout is None else f"the hold-out has fewer than {HOLDOUT_AT_LEAST} rows"
        section.omitted.update(dict.fromkeys(names, reason))
        return
    found = attack_membership(inputs.train, holdout, inputs.synthetic, inputs.seed)
    rows = {"members": found.attacked, "others": found.attacked, "reference": found.reference}
    details = {"chosen": list(found.chosen), "attacks": found.attacks, "reference": "chance"}
    section.add("membership_auc", found.auc, "lower", rows, 0.5, found.auc_interval, **details)
    section.add("membership_tpr", found.tpr, "lower", rows, FALSE_POSITIVES, found.tpr_interval, **details)
