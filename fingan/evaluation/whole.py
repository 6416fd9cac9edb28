"""The whole evaluation of a synthetic table, in one call."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import pyarrow as pa

from fingan.config import Constraint
from fingan.data import TableSchema
from fingan.errors import ConfigError, nearest
from fingan.evaluation.inputs import HalfModel, Inputs, Section, prepare
from fingan.evaluation.learners import BOOSTING
from fingan.evaluation.report import Report
from fingan.evaluation.sections import detection, fidelity, manifold, memorisation, utility

SECTIONS: dict[str, Callable[[Inputs], Section]] = {
    "fidelity": fidelity.measure,
    "detection": detection.measure,
    "utility": utility.measure,
    "manifold": manifold.measure,
    "memorisation": memorisation.measure,
}


def evaluate(
    train: pa.Table,
    synthetic: pa.Table,
    schema: TableSchema,
    *,
    holdout: pa.Table | None = None,
    target: str | None = None,
    positive: str | None = None,
    half: HalfModel | None = None,
    constraints: Sequence[Constraint] = (),
    sections: Collection[str] | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Measure a synthetic table against the real one; every figure comes with its real-against-real floor.

    Args:
        train: the rows the generator was trained on, at least 30.
        synthetic: its rows, at least 30; as many as `train` to compare with the literature.
        schema: kinds of the columns; identifiers are left out of every metric.
        holdout: real rows it never saw: utility and most memorisation checks need them.
        target: the column that utility predicts and whose class rates must hold.
        positive: the positive class of a binary target; the rarer one unless named.
        half: a second model trained on one half of the rows, for the sharper DCR share.
        constraints: rules that every row must keep.
        sections: some of fidelity, detection, utility, manifold, memorisation; all when None.
        seed: everything random is a function of it.
        progress: called with the name of each section as it starts.

    Raises:
        DataError: a table has fewer than 30 rows.
        SchemaMismatch: a table does not hold the schema's columns.
        ConfigError: an unknown section, target or positive class.
    """
    chosen = list(SECTIONS) if sections is None else list(sections)
    for name in chosen:
        if name not in SECTIONS:
            raise ConfigError(
                f"unknown section {name!r}; known: {', '.join(SECTIONS)}.{nearest(name, SECTIONS)}"
            )
    inputs = prepare(train, synthetic, schema, holdout, target, positive, half, constraints, seed)
    report = Report(about=_about(inputs, target))
    for name, measure in SECTIONS.items():
        if name in chosen:
            if progress is not None:
                progress(name)
            found = measure(inputs)
            report.metrics.extend(found.metrics)
            report.omitted.update(found.omitted)
            report.charts.update(found.charts)
    return report


def _about(inputs: Inputs, target: str | None) -> dict[str, object]:
    skipped = [spec.name for spec in inputs.schema.columns if spec.kind == "identifier"]
    return {
        "rows": {
            "train": inputs.train.rows,
            "synthetic": inputs.synthetic.rows,
            "holdout": None if inputs.holdout is None else inputs.holdout.rows,
            "halves": inputs.halves[0].rows,
        },
        "columns": len(inputs.train.columns),
        "identifiers": skipped,
        "target": target,
        "positive": None if inputs.task is None else inputs.task.positive,
        "task": None if inputs.task is None else inputs.task.kind,
        "boosting": BOOSTING,
        "half_model": inputs.half is not None,
        "seed": inputs.seed,
    }
