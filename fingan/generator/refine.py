"""Refinement: fitting the ratio of densities by which generated rows are chosen.

Letters: N real rows, K candidates for each row that is kept, I columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from fingan.data.schema import TableSchema
from fingan.data.split import split_rows
from fingan.generator.density import DensityRatio, fit_trees, unraked
from fingan.generator.inputs import MOST_CLASSES, TreeInputs
from fingan.generator.labels import fit_labels
from fingan.generator.raking import fit_raking
from fingan.generator.resampling import GROUP
from fingan.types import Float32

REAL_ROWS = 60_000
GENERATED_PER_REAL = 8
MOST_GENERATED = 300_000
KEPT_PER_REAL = 8
FEWEST_KEPT, MOST_KEPT = 16_384, 131_072
"""Kept rows whose shares raking looks at: so many for each real row, within these bounds.

A sample is as far off the real shares as so many rows stray, besides its own number.
"""

MOST_KEPT_OF_RARE = 262_144
RAREST_MADE = 1_500
MADE_PER_REAL = 16
"""So many candidates of the rarest class are looked at, or so many for each real row of it.

Fewer would put its share as far off as their own number strays.
"""

MOST_VALUES = 20_000_000
"""Values held at a time of any of these tables: bounds the memory of wide ones."""

FEWEST_REAL = 500
"""Below so many rows a ratio of densities is mostly noise."""

_HELD_PER_REAL = 10
_HELD_SHARE = 0.1

Draw = Callable[[int, int], pa.Table]
"""Generates `rows` rows, unrefined, beginning at row number `offset`."""


def fit_density(
    draw: Draw,
    schema: TableSchema,
    real: pa.Table,
    held: pa.Table | None,
    target: str | None,
    candidates: int,
    seed: int,
    threads: int,
    rare: Sequence[pa.Scalar] = (),
) -> DensityRatio | None:
    """Fit the ratio of densities by which candidates are chosen; None where it would not help.

    Args:
        draw: generates rows.
        schema: kinds of the columns.
        real: training rows.
        held: real rows that `real` does not have, to stop at; None takes a part of `real`.
        target: label column, whose classes keep shares of their own; None for none.
        candidates: how many candidates a row will be chosen from.
        seed: of splits and subsamples.
        threads: to use.
        rare: classes of the label that have networks of their own. Their rows are not compared: the real
            ones are too few to tell good ones by.
    """
    if real.num_rows < FEWEST_REAL:
        return None
    if held is None:
        kept, left = split_rows(real.num_rows, _HELD_SHARE, seed, None)
        real, held = real.take(pa.array(kept)), real.take(pa.array(left))
    inputs = TreeInputs.fit(schema, real, target, rare)
    width = len(inputs.columns)
    if not width:
        return None
    known, judged = (_compared(inputs, rows) for rows in (real, held))
    most = max(1, MOST_VALUES // width)
    made = min(GENERATED_PER_REAL * len(known), MOST_GENERATED, most)
    new = min(_HELD_PER_REAL * len(judged), most)
    learned, fresh = (_compared(inputs, draw(*part)) for part in ((0, made), (made, new)))
    trees = fit_trees(known, learned, (judged, fresh), seed, threads)
    if trees is None:
        return None
    place = _label(inputs, target)
    labels = None
    if place is not None:
        classes = len(inputs.levels[inputs.columns[place]])
        sides = (known, judged), (learned, fresh)
        labels = fit_labels(place, classes, *sides, seed, threads, inputs.apart)
    real_rows = np.concatenate([known, judged])
    groups = max(1, min(raked_rows(real_rows, place, candidates), most // candidates) // GROUP)
    pool = inputs.matrix(draw(made + new, groups * GROUP * candidates))
    weights = np.where(inputs.stand_apart(pool), np.nan, unraked(trees, labels, pool, threads))
    categorical = [name in inputs.levels for name in inputs.columns]
    weights = weights.reshape(groups, GROUP * candidates)
    raking = fit_raking(real_rows, categorical, place, pool, weights, GROUP)
    return DensityRatio(inputs, trees, labels, raking)


def _compared(inputs: TreeInputs, rows: pa.Table) -> Float32:
    """Return the rows [B, I] that are compared."""
    matrix = inputs.matrix(rows)
    return matrix[~inputs.stand_apart(matrix)]


def raked_rows(real: Float32, label: int | None, candidates: int) -> int:
    """Return how many kept rows raking looks at: more where a class of the label is rare.

    Args:
        real: rows [N, I].
        label: column of the label's classes; None for none.
        candidates: generated for each kept row.
    """
    usual = int(np.clip(KEPT_PER_REAL * len(real), FEWEST_KEPT, MOST_KEPT))
    if label is None:
        return usual
    _, counts = np.unique(real[~np.isnan(real[:, label]), label], return_counts=True)
    if not counts.size:
        return usual
    rarest = counts.min()
    wanted = min(RAREST_MADE, MADE_PER_REAL * rarest) * len(real) / (rarest * candidates)
    return int(np.clip(wanted, usual, MOST_KEPT_OF_RARE))


def _label(inputs: TreeInputs, target: str | None) -> int | None:
    """Return the column of a label of a few classes; None for none, or where there is no other column."""
    if target is None or len(inputs.columns) < 2:
        return None
    if not 2 <= len(inputs.levels.get(target, ())) <= MOST_CLASSES:
        return None
    return inputs.columns.index(target)
