"""What every section of an evaluation reads: aligned frames, real halves, the task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from fingan.config import Constraint
from fingan.data import TableSchema, conform
from fingan.errors import DataError
from fingan.evaluation.frame import Frame, concat, frames
from fingan.evaluation.metric import Direction, Interval, Metric
from fingan.evaluation.utility import Task, plan_task
from fingan.rng import numpy_generator
from fingan.types import Json

ROWS_AT_LEAST = 30


@dataclass(frozen=True)
class HalfModel:
    """A second model, trained on one half of the training rows, for the DCR share.

    Attributes:
        train_half: the rows it was trained on.
        other_half: the rows it never saw, about as many.
        synthetic: its rows.
    """

    train_half: pa.Table
    other_half: pa.Table
    synthetic: pa.Table


@dataclass(frozen=True)
class Inputs:
    """One comparison, read once.

    Attributes:
        schema: kinds of the columns.
        tables: train, synthetic and (or None) hold-out, conformed to the schema.
        train: training rows.
        synthetic: synthetic rows.
        holdout: real rows that the model never saw, or None.
        halves: two disjoint real samples of one size, out of train and hold-out: the floor.
        half: frames of a half model (train half, other half, synthetic), or None.
        task: what the target asks for, or None without a target of several values.
        no_task: why there is none; empty where there is.
        constraints: rules that every row must keep.
        seed: everything random is a function of it.
    """

    schema: TableSchema
    tables: tuple[pa.Table, pa.Table, pa.Table | None]
    train: Frame
    synthetic: Frame
    holdout: Frame | None
    halves: tuple[Frame, Frame]
    half: tuple[Frame, Frame, Frame] | None
    task: Task | None
    no_task: str
    constraints: tuple[Constraint, ...]
    seed: int

    @property
    def counts(self) -> dict[str, int]:
        """Rows of the two compared tables."""
        return {"real": self.train.rows, "synthetic": self.synthetic.rows}

    @property
    def floor_counts(self) -> dict[str, int]:
        """Rows of the comparison behind a reference."""
        return {"halves": self.halves[0].rows}


@dataclass
class Section:
    """What a section measured, what it left out and why, and what its charts draw."""

    metrics: list[Metric] = field(default_factory=list)
    omitted: dict[str, str] = field(default_factory=dict)
    charts: Json = field(default_factory=dict)

    def add(
        self,
        name: str,
        value: float,
        direction: Direction,
        n: dict[str, int],
        reference: float | None,
        interval: Interval | None,
        /,
        **details: object,
    ) -> None:
        """Record a figure."""
        self.metrics.append(Metric(name, value, direction, n, reference, interval, dict(details)))


def prepare(
    train: pa.Table,
    synthetic: pa.Table,
    schema: TableSchema,
    holdout: pa.Table | None,
    target: str | None,
    positive: str | None,
    half: HalfModel | None,
    constraints: Sequence[Constraint],
    seed: int,
) -> Inputs:
    """Check and read the tables; see `evaluate` for the arguments.

    Raises:
        DataError: a table has fewer than 30 rows.
        SchemaMismatch: a table does not hold the schema's columns.
        ConfigError: the target is no column, or `positive` none of its values.
    """
    given = {"training table": train, "synthetic table": synthetic, "hold-out table": holdout}
    for role, table in given.items():
        if table is not None and table.num_rows < ROWS_AT_LEAST:
            raise DataError(
                f"the {role} has {table.num_rows} rows; an evaluation needs at least {ROWS_AT_LEAST}: "
                "give more rows" + (" or leave the hold-out away" if role.startswith("hold") else "")
            )
    if target is not None:
        schema.column(target)
    parts = [train, synthetic]
    parts += [] if holdout is None else [holdout]
    parts += [] if half is None else [half.train_half, half.other_half, half.synthetic]
    tables = [conform(table, _lenient(schema), drop_extra=True) for table in parts]
    read = frames(schema, tables)
    halves_at = 2 if holdout is None else 3
    held = None if holdout is None else read[2]
    if target is not None and target not in read[0].names:
        raise DataError(f"target {target!r} is an identifier in the schema; change its kind")
    task, no_task = _task(read[0], target, positive)
    return Inputs(
        schema=schema,
        tables=(tables[0], tables[1], None if holdout is None else tables[2]),
        train=read[0],
        synthetic=read[1],
        holdout=held,
        halves=_real_halves(read[0], held, seed),
        half=None if half is None else (read[halves_at], read[halves_at + 1], read[halves_at + 2]),
        task=task,
        no_task=no_task,
        constraints=tuple(constraints),
        seed=seed,
    )


def _task(train: Frame, target: str | None, positive: str | None) -> tuple[Task | None, str]:
    """Return the task, or why there is none."""
    if target is None:
        return None, "no target was named"
    try:
        return plan_task(train, target, positive), ""
    except DataError as error:
        # All that needs no label is measured all the same.
        return None, str(error)


def _lenient(schema: TableSchema) -> TableSchema:
    """Let nulls and values out of range pass: they are counted as invalid rows, not refused."""
    columns = tuple(spec.model_copy(update={"nullable": True}) for spec in schema.columns)
    return schema.model_copy(update={"columns": columns, "strict": False})


def _real_halves(train: Frame, holdout: Frame | None, seed: int) -> tuple[Frame, Frame]:
    """Cut all real rows into two random halves of min(n_train, half of them) rows each."""
    real = train if holdout is None else concat(train, holdout)
    size = min(train.rows, real.rows // 2)
    order = numpy_generator(seed, "evaluation.halves").permutation(real.rows)
    return real.take(np.sort(order[:size])), real.take(np.sort(order[size : 2 * size]))
