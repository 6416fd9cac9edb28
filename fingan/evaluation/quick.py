"""A fast validation score for training: lower is better, never quoted.

The sum of two parts, both 0 for indistinguishable tables up to sampling noise:
how wrong the pairwise contingency tables are, and how well small boosted trees
tell the rows apart (2·AUC − 1). Selection by a GAN's loss does not work; this does.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from fingan.data.schema import TableSchema
from fingan.errors import DataError
from fingan.evaluation.frame import Column, Frame, frames
from fingan.evaluation.scoring import roc_auc
from fingan.rng import numpy_generator
from fingan.types import Float32, Float64, Int64

ROWS_AT_MOST = 5_000
_BINS = 10
_LEVELS = 20
_CELLS = 1_200  # widest one-hot matrix; beyond it, columns are drawn


def validation_score(
    real: pa.Table, synthetic: pa.Table, schema: TableSchema, seed: int
) -> tuple[float, dict[str, float]]:
    """Return the score and its parts `pair_error` and `detection_auc`.

    At most 5,000 rows of each table are used, on one thread, in about a second.

    Args:
        real: held-out real rows.
        synthetic: generated rows; many of them, where the real ones are few.
        schema: kinds of the columns.
        seed: of the subsamples and folds.

    Raises:
        DataError: a table has fewer than 4 rows.
    """
    if min(real.num_rows, synthetic.num_rows) < 4:
        raise DataError(
            f"a validation score needs 4 rows on each side, got {real.num_rows} real and "
            f"{synthetic.num_rows} synthetic; give more rows or set data.validation higher"
        )
    rng = numpy_generator(seed, "evaluation.quick")
    pair = [_at_most(table, rng) for table in (real, synthetic)]
    first, second = frames(schema, pair)
    parts = {"pair_error": _pair_error(first, second, rng), "detection_auc": _detection(first, second, rng)}
    return parts["pair_error"] + 2 * max(parts["detection_auc"], 0.5) - 1, parts


def _at_most(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    if table.num_rows <= ROWS_AT_MOST:
        return table
    return table.take(np.sort(rng.choice(table.num_rows, ROWS_AT_MOST, replace=False)))


def _pair_error(real: Frame, synthetic: Frame, rng: np.random.Generator) -> float:
    """Return the mean total variation of all pairwise contingency tables: one product holds them all."""
    blocks = [_one_hot(r, s) for r, s in zip(real.columns, synthetic.columns, strict=True)]
    widths = np.array([first.shape[1] for first, _ in blocks])
    order = rng.permutation(widths.size)
    chosen = np.sort(order[np.cumsum(widths[order]) <= _CELLS])
    first, second = (np.concatenate([blocks[i][k] for i in chosen], axis=1) for k in (0, 1))
    gap = np.abs(first.T @ first / real.rows - second.T @ second / synthetic.rows)
    owner = np.repeat(np.arange(chosen.size), widths[chosen])
    starts = np.searchsorted(owner, np.arange(chosen.size))
    table = 0.5 * np.add.reduceat(np.add.reduceat(gap, starts, axis=0), starts, axis=1)
    if chosen.size == 1:
        return float(table[0, 0])
    return float(table[np.triu_indices(chosen.size, 1)].mean())


def _one_hot(real: Column, synthetic: Column) -> tuple[Float32, Float32]:
    """Cut numbers at the real deciles and keep the 20 commonest categories; float32 [N, K] each."""
    if real.numeric:
        known = real.number()[~np.isnan(real.number())]
        cuts = (
            np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)[1:-1])) if known.size else np.empty(0)
        )
        codes = [_bins(c.number(), cuts) for c in (real, synthetic)]
        width = cuts.size + 2
    else:
        ranks = _ranks(real)
        codes = [np.minimum(ranks[c.code()], _LEVELS) for c in (real, synthetic)]
        width = min(len(real.levels), _LEVELS) + 1
    eye = np.eye(width, dtype=np.float32)
    return eye[codes[0]], eye[codes[1]]


def _bins(values: Float64, cuts: Float64) -> Int64:
    return np.where(np.isnan(values), 0, np.searchsorted(cuts, values, side="right") + 1).astype(np.int64)


def _ranks(real: Column) -> Int64:
    """Return the rank of each level by its frequency in the real column."""
    counts = np.bincount(real.code(), minlength=len(real.levels))
    ranks = np.empty(len(real.levels), dtype=np.int64)
    ranks[np.argsort(-counts, kind="stable")] = np.arange(len(real.levels))
    return ranks


def _detection(real: Frame, synthetic: Frame, rng: np.random.Generator) -> float:
    """Return the AUC of small boosted trees, cross-fitted in two halves."""
    # Not at the top: of all processes of a training, only one validates.
    from sklearn.ensemble import HistGradientBoostingClassifier

    sides = []
    for frame in (real, synthetic):
        columns = [
            c.number() if c.numeric else np.minimum(_ranks(r)[c.code()], 254).astype(np.float64)
            for r, c in zip(real.columns, frame.columns, strict=True)
        ]
        sides.append(np.stack(columns, axis=1))
    features = np.concatenate(sides)
    fake = np.repeat([False, True], [real.rows, synthetic.rows])
    half = np.concatenate([rng.permutation(frame.rows) % 2 for frame in (real, synthetic)])
    scores = []
    with threadpool_limits(1, user_api="openmp"):
        for side in (0, 1):
            model = HistGradientBoostingClassifier(
                max_iter=60, learning_rate=0.15, early_stopping=False, random_state=0
            )
            # Trees of scikit-learn refuse a column without any value, as seldom filled ones are in a half.
            filled = ~np.isnan(features[half != side]).all(axis=0)
            if not filled.any():
                scores.append(0.5)
                continue
            model.fit(features[half != side][:, filled], fake[half != side])
            judged = model.decision_function(features[half == side][:, filled])
            scores.append(roc_auc(fake[half == side], judged))
    return float(np.mean(scores))
