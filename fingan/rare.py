"""Which classes of the label get a network of their own, and how long it trains.

Those that are rare and lie apart: trees tell their rows from the others without the label. A class
whose rows are like the others has less to gain from a network that sees it alone than to lose from
one that does not see what all rows share.

See `fingan.generator.rare` for what becomes of such networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.config import Config
from fingan.data.schema import TableSchema
from fingan.evaluation.detection import detect
from fingan.evaluation.frame import frames
from fingan.generator.inputs import MOST_CLASSES
from fingan.rng import key, numpy_generator
from fingan.types import Int64

RARE = 0.1
"""A class is rare that has at most so many rows for each one of the commonest class."""

FEWEST_ROWS, MOST_ROWS = 100, 50_000
"""Below so many rows a class has nothing that a network could learn; above, they are drawn."""

MOST_RARE = 4
"""So many classes get a network of their own, the largest ones."""

APART = 0.9
"""AUC at which a class can be told from as many other rows, at least."""

JUDGED_ROWS = 5_000
"""Rows of each side that are looked at for that."""

TIME = 0.25
"""Share of a run's time that the networks of rare classes have together."""

PASSES = 4.0
"""Passes over a rare class's rows at most, as a multiple of `training.epochs`."""


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
    own, others = (frame.without(target) for frame in frames(schema, sides))
    return bool(own.columns) and detect(own, others, seed).auc >= APART


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
    changes: dict[str, object] = {
        "batch_size": min(training.batch_size, 1 << (rows.bit_length() - 1)),
        "epochs": None if training.epochs is None else PASSES * training.epochs,
    }
    if training.time_budget is not None:
        changes["time_budget"] = max(share * seconds, 1e-3)
    if training.steps is not None:
        changes["steps"] = max(1, round(share * steps))
    own = _training(config, **changes)
    return own.model_copy(update={"seed": key(config.seed, "rare class", number) >> 1})


def _training(config: Config, **changes: object) -> Config:
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})
