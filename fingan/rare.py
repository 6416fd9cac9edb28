"""Which classes of the label get a network of their own, and how long it trains.

Those that are rare and lie apart: trees tell their rows from the others without the label, and
without columns that say the same as the label. A class
whose rows are like the others has less to gain from a network that sees it alone than to lose from
one that does not see what all rows share.

See `fingan.generator.rare` for what becomes of such networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.config import Config
from fingan.data.schema import TableSchema
from fingan.evaluation.frame import Column, frames
from fingan.evaluation.scoring import roc_auc
from fingan.generator.inputs import MOST_CLASSES
from fingan.rng import key, numpy_generator
from fingan.types import Float64, Int64

RARE = 0.1
"""A class is rare that has at most so many rows for each one of the commonest class."""

FEWEST_ROWS, MOST_ROWS = 100, 50_000
"""Below so many rows a class has nothing that a network could learn; above, they are drawn."""

MOST_RARE = 4
"""So many classes get a network of their own, the largest ones."""

APART = 0.9
"""AUC at which a class can be told from as many other rows, at least."""

RESTATES = 0.99
"""AUC at which a single column says what the label says: a reason that only frauds have, an amount recovered.

Numbers count by whether they are there, and by which of the common ones they are: a class whose amounts
merely lie elsewhere is what is looked for.
"""

HEAVY = 0.05
"""A number with such a share of the rows is common."""

JUDGED_ROWS = 5_000
"""Rows of each side that are looked at for that."""

TIME = 0.25
"""Share of a run's time that the networks of rare classes have together."""

PASSES = 4.0
"""Passes over a rare class's rows at most, as a multiple of `training.epochs`."""

FEWEST_PASSES = 5.0
"""Below so many a network has learned little more than its columns one by one."""


def rare_classes(table: pa.Table, rows: Int64, schema: TableSchema, config: Config) -> tuple[pa.Table, ...]:
    """Return the rows of each class of `data.target` that is rare and lies apart, the largest class first.

    Args:
        table: conformed rows.
        rows: numbers of those to train on.
        schema: of the table.
        config: of the run.
    """
    target = config.data.target
    if target is None:
        return ()
    labels = table[target].take(pa.array(rows)).combine_chunks()
    counted = pc.value_counts(labels.drop_null())
    if not 2 <= len(counted) <= MOST_CLASSES:
        return ()
    # By value, so that nothing depends on the order of the rows.
    counted = counted.sort(by="values")
    values, counts = counted.field("values"), counted.field("counts").to_numpy()
    rare = np.flatnonzero((counts >= FEWEST_ROWS) & (counts <= RARE * counts.max()))
    largest = rare[np.argsort(-counts[rare], kind="stable")][:MOST_RARE]
    found = []
    for number, value in enumerate(values.take(pa.array(largest))):
        own = pc.fill_null(pc.equal(labels, value), False).to_numpy(zero_copy_only=False)
        rng = numpy_generator(config.seed, "rare class", number)
        inside, others = rng.permutation(rows[own])[:MOST_ROWS], rng.permutation(rows[~own])[:JUDGED_ROWS]
        sides = [table.take(pa.array(part[:JUDGED_ROWS])) for part in (inside, others)]
        if _apart(sides, schema, target, config.seed):
            found.append(table.take(pa.array(np.sort(inside))))
    return tuple(found)


def _apart(sides: Sequence[pa.Table], schema: TableSchema, target: str, seed: int) -> bool:
    """Return whether trees tell rows of a class from others without seeing the label."""
    own, others = frames(schema, sides)
    told = [pair[0].name for pair in zip(own.columns, others.columns, strict=True) if restates(*pair)]
    for name in {target, *told}:
        own, others = own.without(name), others.without(name)
    # Not at the top: processes that only train or sample need no classifier.
    from fingan.evaluation.detection import detect

    return bool(own.columns) and detect(own, others, seed).auc >= APART


def restates(own: Column, others: Column) -> bool:
    """Return whether a column alone tells a class nearly for certain, as the label does.

    Half of the rows say how often each of its values is the class's; by the other half that is judged.

    Args:
        own, others: the column among rows of the class, and among others, both in any order.
    """
    codes = _codes(own, others)
    most = max(int(side.max()) for side in codes) + 1
    seen, known = (np.bincount(side[::2], minlength=most) + 0.5 for side in codes)
    judged = [side[1::2] for side in codes]
    positive = np.repeat([True, False], [side.size for side in judged])
    return roc_auc(positive, (seen / known)[np.concatenate(judged)]) >= RESTATES


def _codes(own: Column, others: Column) -> list[Int64]:
    """Return both sides' values as codes: a category, a common number, any other number, none."""
    if own.codes is not None:
        return [own.code(), others.code()]
    sides = [own.number(), others.number()]
    heavy = np.unique(np.concatenate([_heavy(side) for side in sides]))
    found = []
    for side in sides:
        place = np.searchsorted(heavy, side)
        same = np.append(heavy, np.nan)[place] == side
        found.append(np.where(same, place, np.where(np.isnan(side), heavy.size + 1, heavy.size)))
    return found


def _heavy(values: Float64) -> Float64:
    """Return the numbers that hold a good part of the rows."""
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    heavy: Float64 = distinct[counts >= HEAVY * values.size]
    return heavy


def without_rare(config: Config, classes: int) -> Config:
    """Return the configuration of the table's own network: a time budget leaves time for the classes."""
    budget = config.training.time_budget
    if not classes or budget is None:
        return config
    return _training(config, time_budget=(1.0 - TIME) * budget)


def of_rare(config: Config, number: int, classes: int, rows: int, steps: int, seconds: float) -> Config:
    """Return the configuration of one class's network.

    Args:
        config: of the run.
        number: of the class.
        classes: that there are.
        rows: of the class.
        steps, seconds: that the table's own network took.
    """
    training = config.training
    share = TIME / (1.0 - TIME) / classes
    batch = min(training.batch_size, 1 << (rows.bit_length() - 1))
    epochs = None if training.epochs is None else PASSES * training.epochs
    own = _training(config, batch_size=batch, epochs=epochs)
    changes: dict[str, object] = {}
    if training.time_budget is not None:
        changes["time_budget"] = max(share * seconds, 1e-3)
    if training.steps is not None:
        # Steps count instead of passes elsewhere; few rows are not learnt by heart for it.
        most = math.inf if epochs is None else math.ceil(epochs * rows / own.rows_per_step)
        changes["steps"] = int(max(1, min(round(share * steps), most)))
    return _training(own, **changes).model_copy(update={"seed": key(config.seed, "rare class", number) >> 1})


def _training(config: Config, **changes: object) -> Config:
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})
