"""What the benchmarks measure of generated rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.ensemble import ExtraTreesClassifier

from benchmarks.datasets import Inner, Split
from fingan.data import TableSchema, conform, infer_schema
from fingan.evaluation import Report, evaluate
from fingan.evaluation.detection import detect
from fingan.evaluation.frame import Column, Frame, concat, frames
from fingan.evaluation.learners import Classifier, scaled
from fingan.evaluation.marginals import shape_errors
from fingan.evaluation.memorisation import closeness
from fingan.evaluation.pairs import pair_errors
from fingan.evaluation.utility import measure_utility, plan_task
from fingan.generator import Generator
from fingan.rng import numpy_generator
from fingan.types import Int64

PROTOCOL = 2
"""Part of the key of quality results. 1 measured coded integers as numbers."""

DIVERSITY_BINS = 20
LEAST_ENTROPY = 0.05
"""Nats: a column below it is nearly constant in the real table already."""


def permuted(table: pa.Table, seed: int) -> pa.Table:
    """Return the table with every column shuffled on its own: perfect marginals, no structure."""
    rng = numpy_generator(seed, "benchmark-permutation")
    columns = [table[name].take(pa.array(rng.permutation(table.num_rows))) for name in table.column_names]
    return pa.table(dict(zip(table.column_names, columns, strict=True)))


def figures(report: Report) -> dict[str, Any]:
    """Return the metrics' values, references and intervals."""
    return {
        m.name: {"value": m.value, "reference": m.reference, "interval": m.interval} for m in report.metrics
    }


def measured_schema(table: pa.Table, target: str, coded: Sequence[str] = ()) -> TableSchema:
    """Return the kinds by which the literature measures a table.

    Inferred, but the label and coded integers are categories: as numbers they would enter Trend by
    a correlation instead of a contingency table, and the figure would not compare.
    """
    schema = infer_schema(table, target)
    as_category = {"kind": "category", "minimum": None, "maximum": None}
    columns = (
        spec.model_copy(update=as_category) if spec.name in (target, *coded) else spec
        for spec in schema.columns
    )
    return schema.model_copy(update={"columns": tuple(columns)})


def measure(split: Split, synthetic: pa.Table, seed: int) -> dict[str, Any]:
    """Evaluate rows against a split by the full protocol, and by judges that refinement knows nothing of."""
    schema = measured_schema(split.train, split.target, split.coded)
    tables = [conform(table, schema) for table in (split.train, split.test, synthetic)]
    real, held, rows = tables
    report = evaluate(real, rows, schema, holdout=held, target=split.target, seed=seed)
    first, test, made = frames(schema, tables)
    return figures(report) | other_judges(first, test, made, seed)


def other_judges(real: Frame, held: Frame, rows: Frame, seed: int) -> dict[str, Any]:
    """Return detection AUCs by judges that refinement knows nothing of, real rows beside.

    Generated rows are chosen by boosted trees that saw the training rows, and the protocol's judge
    is boosted trees on the training rows.

    Returns:
        `detection_auc_forest`: by a random forest. `detection_auc_held`: by the protocol's trees,
        against held-out rows alone, of which there are fewer.
    """
    order = numpy_generator(seed, "benchmark-judges").permutation(real.rows)
    first, second = (real.take(np.sort(order[k::2])) for k in (0, 1))
    forest = partial(detect, seed=seed, learner=_forest)
    pairs = {
        "detection_auc_forest": (forest(real, rows), forest(first, second)),
        "detection_auc_held": (detect(held, rows, seed), detect(held, real, seed)),
    }
    return {
        name: {"value": found.auc, "reference": floor.auc, "interval": found.interval}
        for name, (found, floor) in pairs.items()
    }


def _forest() -> Classifier:
    return scaled(ExtraTreesClassifier(100, min_samples_leaf=3, n_jobs=1, random_state=0))


def half_share(
    own: pa.Table, other: pa.Table, synthetic: pa.Table, target: str, coded: Sequence[str] = ()
) -> dict[str, Any]:
    """Return `dcr_share`: how many rows of a model of `own` lie nearer to it than to `other`."""
    schema = measured_schema(pa.concat_tables([own, other]), target, coded)
    near, far, rows = frames(schema, [conform(t, schema) for t in (own, other, synthetic)])
    found = closeness(near, far, rows, 0)
    return {"value": found.share, "reference": 0.5, "interval": found.share_interval}


def inner_figures(part: Inner, synthetic: pa.Table, *, utility: bool = True) -> dict[str, float]:
    """Measure rows of a model of `part.train`: a few headline figures, without the floors of each.

    Returns:
        `shape_error`, `trend_error`, `strong_pair_trend_error` (%), `detection_auc`, `tstr_share`
        (%, with `utility`).
    """
    real, held, rows = _frames(part, synthetic)
    found = _fidelity(real, rows)
    if utility:
        share = measure_utility(real, rows, held, plan_task(real, part.target), 0).share
        found["tstr_share"] = 100 * share
    return found


def generated_figures(
    part: Inner, generator: Generator, seed: int, *, utility: bool = True
) -> tuple[dict[str, float], pa.Table]:
    """Measure a generator as configured, and by `network_detection_auc` its network's own rows.

    Returns:
        The figures, and the network's own rows.
    """
    size = part.train.num_rows
    network = generator.sample(size, seed=seed, candidates=1)
    figures = inner_figures(part, generator.sample(size, seed=seed), utility=utility)
    real, _, rows = _frames(part, network)
    own = detect(real, rows, 0).auc
    return {**figures, "network_detection_auc": own}, network


def inner_floor(part: Inner) -> dict[str, float]:
    """Return the same figures for two real halves of all rows of the part."""
    whole = concat(*_frames(part, part.held)[:2])
    order = numpy_generator(0, "benchmark-halves").permutation(whole.rows)
    size = whole.rows // 2
    first, second = (whole.take(np.sort(order[k * size : (k + 1) * size])) for k in (0, 1))
    found = _fidelity(first, second)
    return {**found, "network_detection_auc": found["detection_auc"], "tstr_share": 100.0}


def _fidelity(real: Frame, rows: Frame) -> dict[str, float]:
    pairs = pair_errors(real, rows)
    return {
        "shape_error": 100 * shape_errors(real, rows).mean,
        "trend_error": 100 * float(pairs.means()[0]),
        "strong_pair_trend_error": 100 * float(pairs.means(strong=True)[0]),
        "detection_auc": detect(real, rows, 0).auc,
    }


def diversity(part: Inner, synthetic: pa.Table) -> dict[str, float]:
    """Return how varied rows are, as shares of how varied as many real rows are; both 1 when perfect.

    Numbers are cut at 20 real quantiles first.

    Returns:
        `entropy`: of the column where it suffered most. `rows`: distinct whole rows.
    """
    real, _, rows = _frames(part, synthetic)
    size = min(real.rows, rows.rows)
    sides = [_coarse_codes(real, frame.take(np.arange(size))) for frame in (real, rows)]
    entropies = np.array([[_entropy(column) for column in side.T] for side in sides])
    varied = entropies[0] > LEAST_ENTROPY
    distinct = [len(np.unique(side, axis=0)) for side in sides]
    ratios = entropies[1, varied] / entropies[0, varied]
    return {"entropy": float(ratios.min()), "rows": distinct[1] / distinct[0]}


def _frames(part: Inner, synthetic: pa.Table) -> list[Frame]:
    schema = measured_schema(part.train, part.target, part.coded)
    return frames(schema, [conform(t, schema) for t in (part.train, part.held, synthetic)])


def _coarse_codes(real: Frame, frame: Frame) -> Int64:
    """Return the cell of every value [N, C]."""
    pairs = zip(real.columns, frame.columns, strict=True)
    return np.stack([_cells(reference, column) for reference, column in pairs], axis=1)


def _cells(reference: Column, column: Column) -> Int64:
    if not column.numeric:
        return column.code()
    known = reference.number()[~np.isnan(reference.number())]
    if not known.size:
        return np.zeros(column.number().size, dtype=np.int64)
    edges = np.unique(np.quantile(known, np.linspace(0, 1, DIVERSITY_BINS + 1)[1:-1]))
    return np.searchsorted(edges, column.number(), side="right").astype(np.int64)


def _entropy(codes: Int64) -> float:
    counts = np.unique(codes, return_counts=True)[1]
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())
