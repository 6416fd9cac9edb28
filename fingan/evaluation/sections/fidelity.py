"""Shape, Trend, atoms, missing patterns, validity and class rates."""

from __future__ import annotations

import numpy as np

from fingan.evaluation.inputs import Inputs, Section
from fingan.evaluation.intervals import jackknife, wilson
from fingan.evaluation.marginals import ColumnErrors, atom_errors, shape_errors
from fingan.evaluation.pairs import PairErrors, missing_pattern_errors, pair_errors
from fingan.evaluation.summaries import column_summaries, pair_summary
from fingan.evaluation.validity import check_rows, class_rates


def measure(inputs: Inputs) -> Section:
    """Measure the section; charts hold the columns' distributions and the pair errors."""
    section = Section()
    shape, floor = _shape(inputs, section)
    _atoms(inputs, section)
    _trend(inputs, section)
    _missing_patterns(inputs, section)
    _validity(inputs, section)
    _class_rates(inputs, section)
    section.charts["columns"] = column_summaries(inputs.train, inputs.synthetic, shape.errors, floor.errors)
    return section


def _shape(inputs: Inputs, section: Section) -> tuple[ColumnErrors, ColumnErrors]:
    found = shape_errors(inputs.train, inputs.synthetic, inputs.seed)
    floor = shape_errors(*inputs.halves)
    _add_columns(inputs, section, "shape_error", found, floor)
    return found, floor


def _atoms(inputs: Inputs, section: Section) -> None:
    found = atom_errors(inputs.train, inputs.synthetic, inputs.seed)
    floor = atom_errors(*inputs.halves)
    if found is None:
        section.omitted["atom_error"] = "no number has a value that makes up 1 % of the rows"
        return
    _add_columns(inputs, section, "atom_error", found, floor)


def _add_columns(
    inputs: Inputs, section: Section, name: str, found: ColumnErrors, floor: ColumnErrors | None
) -> None:
    section.add(
        name,
        100 * found.mean,
        "lower",
        {**inputs.counts, **inputs.floor_counts},
        None if floor is None else 100 * floor.mean,
        _percent(jackknife(found.mean, found.replicates, high=1.0)),
        columns={n: 100 * float(e) for n, e in zip(found.names, found.errors, strict=True)},
        interval="jackknife over 10 groups of rows",
    )


def _percent(interval: tuple[float, float]) -> tuple[float, float]:
    return 100 * interval[0], 100 * interval[1]


def _trend(inputs: Inputs, section: Section) -> None:
    names = ("trend_error", "strong_pair_trend_error", "trend_error_own_bins")
    if len(inputs.train.columns) < 2:
        section.omitted.update(dict.fromkeys(names, "the table has a single column"))
        return
    shared = pair_errors(inputs.train, inputs.synthetic, "shared", inputs.seed)
    floor = pair_errors(*inputs.halves)
    _add_pairs(inputs, section, "trend_error", shared, floor.means()[0])
    own = pair_errors(inputs.train, inputs.synthetic, "own", inputs.seed)
    _add_pairs(
        inputs, section, "trend_error_own_bins", own, pair_errors(*inputs.halves, bins="own").means()[0]
    )
    if shared.strong.any():
        reference = float(floor.errors[0][shared.strong].mean())
        _add_pairs(inputs, section, "strong_pair_trend_error", shared, reference, strong=True)
    else:
        section.omitted["strong_pair_trend_error"] = (
            "no pair of real columns has a correlation above .5 or an association above .3"
        )
    section.charts["pairs"] = pair_summary(shared, floor)


def _add_pairs(
    inputs: Inputs, section: Section, name: str, found: PairErrors, reference: float, strong: bool = False
) -> None:
    means = found.means(strong)
    size = len(found.names)
    section.add(
        name,
        100 * float(means[0]),
        "lower",
        {**inputs.counts, **inputs.floor_counts},
        100 * float(reference),
        _percent(jackknife(float(means[0]), means[1:], high=1.0)),
        pairs=int(found.strong.sum()) if strong else size * (size - 1) // 2,
        interval="jackknife over 10 groups of rows",
    )


def _missing_patterns(inputs: Inputs, section: Section) -> None:
    found = missing_pattern_errors(inputs.train, inputs.synthetic, inputs.seed)
    floor = missing_pattern_errors(*inputs.halves)
    if found is None:
        single = len(inputs.train.columns) < 2
        section.omitted["missing_pattern_error"] = (
            "the table has a single column" if single else "no cell is missing"
        )
        return
    section.add(
        "missing_pattern_error",
        100 * float(found[0]),
        "lower",
        {**inputs.counts, **inputs.floor_counts},
        # Real rows without a gap agree about gaps.
        0.0 if floor is None else 100 * float(floor[0]),
        _percent(jackknife(float(found[0]), found[1:], high=1.0)),
        interval="jackknife over 10 groups of rows",
    )


def _validity(inputs: Inputs, section: Section) -> None:
    train_table, table, holdout_table = inputs.tables
    found = check_rows(inputs.train, inputs.synthetic, inputs.schema, table, train_table, inputs.constraints)
    if inputs.holdout is None or holdout_table is None:
        base, fresh = inputs.halves
        reference = check_rows(base, fresh, inputs.schema, train_table, train_table)
        against = "one real half against the other"
    else:
        reference = check_rows(
            inputs.train, inputs.holdout, inputs.schema, holdout_table, train_table, inputs.constraints
        )
        against = "hold-out against train: fresh real rows may hold values that training rows do not"
    section.add(
        "validity",
        100 * found.share,
        "higher",
        inputs.counts,
        100 * reference.share,
        _percent(wilson(float(found.valid.sum()), found.valid.size)),
        faults=found.faults,
        reference=against,
        rules=[str(rule) for rule in inputs.constraints],
    )


def _class_rates(inputs: Inputs, section: Section) -> None:
    task = inputs.task
    if task is None or task.kind == "regression":
        section.omitted["class_rate_error"] = "no target with classes" if task else inputs.no_task
        return
    sides = []
    for frame in (inputs.train, inputs.synthetic, *inputs.halves):
        outcome = task.outcome(frame)
        known = outcome[~np.isnan(outcome)].astype(np.int64)
        sides.append(known)
    if not all(side.size for side in sides):
        section.omitted["class_rate_error"] = f"no row of a table has a known {task.target!r}"
        return
    found = class_rates(sides[0], sides[1], task.classes)
    section.add(
        "class_rate_error",
        found.error,
        "lower",
        {**inputs.counts, **inputs.floor_counts},
        class_rates(sides[2], sides[3], task.classes).error,
        found.interval,
        classes=found.classes,
    )
