"""Rows that could not be real, and the rate of every target class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.config import Constraint, FixedCombinations, LessEqual, Range, Unique
from fingan.data.exact import outside_range
from fingan.data.schema import TableSchema
from fingan.errors import ConfigError, nearest
from fingan.evaluation.frame import Column, Frame, row_codes
from fingan.evaluation.intervals import Z
from fingan.evaluation.metric import Interval
from fingan.types import Bool, Float64, Int64

MAX_DECIMALS = 6


@dataclass(frozen=True)
class Validity:
    """Valid rows, and what broke the others.

    Attributes:
        valid: which rows are valid, bool [N].
        faults: rows broken by each reason, `column: reason` → count.
    """

    valid: Bool
    faults: dict[str, int]

    @property
    def share(self) -> float:
        """Share of valid rows."""
        return float(self.valid.mean())


def lattice(values: Float64) -> tuple[int, int] | None:
    """Return (decimals, step) such that every value is a multiple of step / 10^decimals, or None.

    The smallest number of decimals, up to 6, that reproduces every value exactly,
    and the greatest common divisor of the scaled values.
    """
    known = np.unique(values[~np.isnan(values)])
    if not known.size or np.abs(known).max() > 2**53:
        return None
    for decimals in range(MAX_DECIMALS + 1):
        if np.array_equal(np.round(known, decimals), known):
            scaled = np.rint(known * 10.0**decimals)
            if np.abs(scaled).max() > 2**53:
                return None
            return decimals, max(1, int(np.gcd.reduce(scaled.astype(np.int64))))
    return None


def check_rows(
    train: Frame,
    synthetic: Frame,
    schema: TableSchema,
    table: pa.Table,
    train_table: pa.Table,
    constraints: Sequence[Constraint] = (),
) -> Validity:
    """Judge every row against the training table's categories, ranges and lattices, and the rules.

    Args:
        train: the training table, as a frame.
        synthetic: the rows to judge, as a frame.
        schema: which columns may be null.
        table: the rows to judge.
        train_table: the training table, for fixed combinations.
        constraints: the rules that every row must keep.
    """
    valid = np.ones(synthetic.rows, dtype=np.bool_)
    faults: dict[str, int] = {}

    def note(name: str, reason: str, broken: np.ndarray) -> None:
        if broken.any():
            faults[f"{name}: {reason}"] = int(broken.sum())
            valid[broken] = False

    for real, column in zip(train.columns, synthetic.columns, strict=True):
        if not schema.column(real.name).nullable:
            note(real.name, "unexpected null", column.missing())
        if real.numeric:
            outside, off = _number_faults(real.number(), column.number())
            note(real.name, "outside the training range", outside)
            note(real.name, "off the column's lattice", off)
        else:
            note(real.name, "unseen category", _unseen(real, column))
    for rule in constraints:
        note(", ".join(rule.columns), f"breaks {rule}", _broken(rule, table, train_table))
    return Validity(valid, faults)


def _unseen(real: Column, column: Column) -> Bool:
    known = np.bincount(real.code(), minlength=len(real.levels)) > 0
    return np.asarray(~known[column.code()] & ~column.missing())


def _number_faults(real: Float64, values: Float64) -> tuple[Bool, Bool]:
    present = ~np.isnan(values)
    known = real[~np.isnan(real)]
    if not known.size:
        return present, np.zeros_like(present)
    outside = present & ((values < known.min()) | (values > known.max()))
    grid = lattice(real)
    if grid is None:
        return outside, np.zeros_like(present)
    filled = np.where(present, values, 0.0)
    decimals, step = grid
    scaled = np.rint(filled * 10.0**decimals)
    return outside, present & ((np.round(filled, decimals) != filled) | (np.mod(scaled, step) != 0))


def _broken(rule: Constraint, table: pa.Table, train: pa.Table) -> Bool:
    for name in rule.columns:
        if name not in table.column_names:
            raise ConfigError(f"unknown column {name!r} in {rule}.{nearest(name, table.column_names)}")
    if isinstance(rule, LessEqual):
        compare = pc.less if rule.strict else pc.less_equal
        return _fails(compare(table.column(rule.low), table.column(rule.high)))
    if isinstance(rule, Range):
        return outside_range(table.column(rule.column), rule.minimum, rule.maximum)
    if isinstance(rule, Unique):
        (key,) = row_codes([table], [rule.column])
        broken = pc.is_valid(table.column(rule.column)).to_numpy()
        broken[np.unique(key, return_index=True)[1]] = False
        return np.asarray(broken)
    return _unseen_combinations(rule, table, train)


def _fails(kept: pa.ChunkedArray) -> Bool:
    """Turn a comparison into `it is present and it is false`."""
    return np.asarray(pc.invert(pc.fill_null(kept, True)).to_numpy(), dtype=np.bool_)


def _unseen_combinations(rule: FixedCombinations, table: pa.Table, train: pa.Table) -> Bool:
    seen, rows = row_codes([train, table], rule.columns)
    return np.asarray(~np.isin(rows, seen), dtype=np.bool_)


@dataclass(frozen=True)
class ClassRates:
    """Relative error of the worst class's rate, in per cent.

    Attributes:
        error: of the class furthest off.
        interval: of that class's error (Katz's log ratio).
        classes: by class: real rate, synthetic rate, relative error in per cent.
    """

    error: float
    interval: Interval
    classes: dict[str, dict[str, float]]


def class_rates(real: Int64, synthetic: Int64, labels: Sequence[str]) -> ClassRates:
    """Compare the rate of every class that the real table has.

    Args:
        real: class of each real row [N], positions in `labels`.
        synthetic: class of each synthetic row [M].
        labels: names of the classes.
    """
    first = np.bincount(real, minlength=len(labels))
    second = np.bincount(synthetic, minlength=len(labels))
    classes: dict[str, dict[str, float]] = {}
    for i in np.flatnonzero(first).tolist():
        rate, other = first[i] / real.size, second[i] / synthetic.size
        error = 100 * abs(other / rate - 1)
        classes[labels[i]] = {"real": float(rate), "synthetic": float(other), "error": float(error)}
    worst = max(classes, key=lambda name: classes[name]["error"])
    where = list(labels).index(worst)
    interval = _ratio_interval(int(first[where]), real.size, int(second[where]), synthetic.size)
    return ClassRates(classes[worst]["error"], interval, classes)


def _ratio_interval(real: int, n_real: int, synthetic: int, n_synthetic: int) -> Interval:
    """Return the interval of 100·|rate ratio − 1| (Katz et al., 1978, with half a count added)."""
    ratio = (synthetic + 0.5) / (n_synthetic + 0.5) / ((real + 0.5) / (n_real + 0.5))
    spread = 1 / (synthetic + 0.5) - 1 / (n_synthetic + 0.5) + 1 / (real + 0.5) - 1 / (n_real + 0.5)
    half = Z * math.sqrt(max(spread, 0.0))
    low, high = ratio * math.exp(-half) - 1, ratio * math.exp(half) - 1
    nearest_zero = 0.0 if low <= 0 <= high else min(abs(low), abs(high))
    return 100 * nearest_zero, 100 * max(abs(low), abs(high))
