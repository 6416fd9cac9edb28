"""Memorisation checks: distance to the closest record, and exact copies.

These find copying; they are not a measure of privacy (Yao et al., "The DCR
Delusion", ESORICS 2025): data that pass can still reveal who was in the table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fingan.evaluation.distance import PAIRS_AT_MOST, Geometry, Nearest, Points, nearest
from fingan.evaluation.frame import Frame
from fingan.evaluation.intervals import wilson
from fingan.evaluation.metric import Interval
from fingan.rng import numpy_generator
from fingan.types import Bool


@dataclass(frozen=True)
class Closeness:
    """Whether rows lie nearer to the training rows than to rows the model never saw.

    Attributes:
        share: rows nearer to train than to as many hold-out rows, ties half; .5 is ideal.
        share_interval: Wilson's, for the number of independent rows.
        leak: 0 none, 1 a copy machine.
        leak_interval: the same, mapped.
        rows: queries used.
        compared: rows on each side of the share.
        train: training rows behind the leak.
        holdout: hold-out rows behind the leak.
    """

    share: float
    share_interval: Interval
    leak: float
    leak_interval: Interval
    rows: int
    compared: int
    train: int
    holdout: int


def closeness(train: Frame, holdout: Frame, queries: Frame, seed: int) -> Closeness:
    """Compare each query's distance to its closest training and closest hold-out record.

    Share: against equally many rows of both sides, ties half. Leak: with all rows,
    (s − n_train/n) / (1 − n_train/n), s the share of queries whose nearest record
    is a training row; records tied for nearest share the query by their number,
    else a table with repeated rows would show a leak that is none.

    Args:
        train: rows the model was trained on.
        holdout: real rows it never saw.
        queries: synthetic rows; a subsample where the distances would exceed 10^9.
        seed: of the subsamples.
    """
    rng = numpy_generator(seed, "evaluation.closeness")
    most = max(1, PAIRS_AT_MOST // (train.rows + holdout.rows))
    if queries.rows > most:
        queries = queries.take(np.sort(rng.choice(queries.rows, most, replace=False)))
    geometry = Geometry.fit(train)
    points = geometry.points(queries)
    compared = min(train.rows, holdout.rows)
    near, near_rest = _split_nearest(points, geometry.points(train), compared, rng)
    far, far_rest = _split_nearest(points, geometry.points(holdout), compared, rng)
    share, share_interval = _won(near, far, near.distance == far.distance)
    taken, bounds = _taken(_merge(near, near_rest, compared), _merge(far, far_rest, compared))
    prior = train.rows / (train.rows + holdout.rows)
    low, leak, high = ((s - prior) / (1 - prior) for s in (bounds[0], taken, bounds[1]))
    return Closeness(
        share, share_interval, leak, (low, high), points.rows, compared, train.rows, holdout.rows
    )


def _split_nearest(
    queries: Points, points: Points, first: int, rng: np.random.Generator
) -> tuple[Nearest, Nearest | None]:
    """Return the nearest among `first` random points, and among the others (None without others)."""
    order = rng.permutation(points.rows)
    head = nearest(queries, points.take(order[:first]))
    return head, nearest(queries, points.take(order[first:])) if points.rows > first else None


def _merge(one: Nearest, other: Nearest | None, offset: int) -> Nearest:
    """Return the nearest of both parts of one table; the second part's rows start at `offset`."""
    if other is None:
        return one
    best = np.minimum(one.distance, other.distance)
    count = one.count * (one.distance == best) + other.count * (other.distance == best)
    index = np.where(one.distance == best, one.index, other.index + offset)
    return Nearest(best, count, index)


def _won(near: Nearest, far: Nearest, tied: Bool) -> tuple[float, Interval]:
    """Return the share of queries that `near` wins, ties half, with its interval."""
    wins = float((near.distance < far.distance).sum() + 0.5 * tied.sum())
    return _share(wins, near, far)


def _taken(near: Nearest, far: Nearest) -> tuple[float, Interval]:
    """Return the share of queries that `near` wins, ties by the number of tied records, with its interval."""
    best = np.minimum(near.distance, far.distance)
    first, second = (side.count * (side.distance == best) for side in (near, far))
    return _share(float((first / (first + second)).sum()), near, far)


def _share(wins: float, near: Nearest, far: Nearest) -> tuple[float, Interval]:
    """Wilson's interval with as many rows as there are independent ones.

    Queries with the same nearest record win or lose together: with c of them on
    each record the variance is Σc² / Σc times that of independent rows.
    """
    rows = near.distance.size
    owner = np.where(near.distance <= far.distance, near.index, -1 - far.index)
    crowd = np.unique(owner, return_counts=True)[1]
    effective = max(1, round(rows**2 / float((crowd**2).sum())))
    share = wins / rows
    return share, wilson(share * effective, effective)


def copied_share(known: np.ndarray, rows: np.ndarray) -> tuple[float, Interval]:
    """Return the share of `rows` that occur in `known` (both as of `row_codes`), with Wilson's interval."""
    hits = int(np.isin(rows, known).sum())
    return hits / rows.size, wilson(hits, rows.size)
