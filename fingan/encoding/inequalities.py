"""`a <= b` in every row: a value that breaks the rule is drawn again where the rule allows it.

Rows that keep the rules are untouched. In the others the column that may move keeps its rank
within the part of its distribution that is allowed. That distribution is a grid of values
decoded from the column's own encoder, so that a rule adds no training value to a bundle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from fingan.config import LessEqual
from fingan.encoding import exchange
from fingan.encoding.base import AnyArray, ColumnEncoder, FieldSpec, Values, missing_of, one_chunk
from fingan.encoding.calendar import ticks_of
from fingan.encoding.lattice import Lattice, common_step
from fingan.encoding.levels import NumericLevels
from fingan.encoding.number import NumberEncoder
from fingan.encoding.pieces import Pieces
from fingan.encoding.temporal import TemporalEncoder
from fingan.errors import ConditionError, ConfigError
from fingan.rng import numpy_generator
from fingan.types import Bool

_GRID = 4096


def sort_keys(column: str, array: AnyArray) -> tuple[Values, Bool]:
    """Return numbers [N] that order as the values do (int64 or float64), and missing flags [N]."""
    whole = one_chunk(array)
    kind = whole.type
    if pa.types.is_floating(kind):
        return exchange.floats_from(column, whole)
    if pa.types.is_temporal(kind):
        return ticks_of(whole), missing_of(whole)
    read = exchange.unscaled_from if pa.types.is_decimal(kind) else exchange.integers_from
    return read(column, whole), missing_of(whole)


@dataclass(frozen=True, eq=False)
class Support:
    """A column's distribution, for drawing parts of it.

    Attributes:
        keys: ascending sort keys of about `_GRID` values of even weight, with both extremes.
        type: Arrow type of the column.
        nullable: whether null occurs.
        lattice: where the column's values lie, None where they lie anywhere.
    """

    keys: Values
    type: pa.DataType
    nullable: bool
    lattice: Lattice | None = None

    @classmethod
    def of(cls, encoder: ColumnEncoder) -> Support:
        """Decode a grid over the marginal of each field of an encoder."""
        generator = numpy_generator(0, f"support {encoder.column}")
        uniforms = [
            (generator.permutation(_GRID) + 0.5) / _GRID if number else (np.arange(_GRID) + 0.5) / _GRID
            for number in range(len(encoder.fields))
        ]
        fields = [_marginal(spec, u) for spec, u in zip(encoder.fields, uniforms, strict=True)]
        decoded = encoder.decode(fields, uniforms[0])
        keys, missing = sort_keys(encoder.column, decoded)
        extremes, nullable = _extremes(encoder)
        keys = np.sort(np.concatenate([keys[~missing], extremes]))
        return cls(keys, decoded.type, nullable, _lattice(encoder))

    def rank(self, keys: Values) -> Values:
        """Return the share of the column below each key [B], in [0, 1]."""
        return np.searchsorted(self.keys, keys, side="left") / max(self.keys.size, 1)

    def draw(self, rank: Values, floor: Values, ceiling: Values) -> tuple[Values, Bool]:
        """Return keys [B] at `rank` within [floor, ceiling], and where there is one.

        Between two of `keys` the least value of the column's lattice is taken, or the floor
        itself where the ceiling is below that.
        """
        first = np.searchsorted(self.keys, floor, side="left")
        count = np.searchsorted(self.keys, ceiling, side="right") - first
        pick = first + np.floor(rank * count).astype(np.int64)
        pick = np.clip(pick, first, np.maximum(first + count - 1, first))
        inside = count > 0
        top = max(self.keys.size - 1, 0)
        drawn = np.where(inside, self.keys[np.minimum(pick, top)], floor) if self.keys.size else floor
        squeezed = (floor <= ceiling) & (first > 0) & (first <= top)
        if self.lattice is not None and (rows := np.flatnonzero(squeezed & ~inside)).size:
            raised = self.lattice.at_least(floor[rows])
            drawn[rows] = np.where(raised <= ceiling[rows], raised, floor[rows])
        return drawn, inside | squeezed

    def after(self, keys: Values) -> Values:
        """Return the next greater key of the type [B]."""
        return self._step(keys, np.inf)

    def before(self, keys: Values) -> Values:
        """Return the next smaller key of the type [B]."""
        return self._step(keys, -np.inf)

    @property
    def lowest(self) -> Values:
        """A key, as array of one, below which there is none."""
        return np.array([np.iinfo(np.int64).min if self.keys.dtype == np.int64 else -np.inf])

    @property
    def highest(self) -> Values:
        """A key, as array of one, above which there is none."""
        return np.array([np.iinfo(np.int64).max if self.keys.dtype == np.int64 else np.inf])

    def _step(self, keys: Values, towards: float) -> Values:
        if keys.dtype == np.int64:
            up = towards > 0
            end = self.highest[0] if up else self.lowest[0]
            return np.where(keys == end, end, keys + (1 if up else -1))
        narrow = np.dtype(self.type.to_pandas_dtype())
        stepped: Values = np.nextafter(keys.astype(narrow), np.array(towards, dtype=narrow))
        return stepped.astype(np.float64)


def _marginal(spec: FieldSpec, u: Values) -> Values:
    """Return a field's values at uniforms [B] of its marginal."""
    if spec.kind == "numeric":
        return u
    codes = np.searchsorted(np.cumsum(spec.frequencies), u, side="right")
    return np.minimum(codes, spec.width - 1).astype(np.int64)


def _extremes(encoder: ColumnEncoder) -> tuple[Values, bool]:
    """Return the keys of the column's smallest and largest value, and whether null occurs."""
    if isinstance(encoder, TemporalEncoder):
        ticks = encoder.ticks
        ends = [] if ticks is None else [ticks.minimum, ticks.maximum]
        return np.array(ends, dtype=np.int64), ticks is None or ticks.missing > 0
    if not isinstance(encoder, NumberEncoder):
        raise ConfigError(f"column {encoder.column!r} has no order; only numbers and dates can be compared")
    form = encoder.form
    known = form.values if isinstance(form, NumericLevels) else np.append(form.low[:1], form.high[-1:])
    values = encoder.arrow(known, np.zeros(known.size, dtype=np.bool_))
    return sort_keys(encoder.column, values)[0], form.missing > 0


def _lattice(encoder: ColumnEncoder) -> Lattice | None:
    """Return the lattice of an encoder's values."""
    if isinstance(encoder, TemporalEncoder):
        ticks = encoder.ticks
        if ticks is None or ticks.step is None:
            return None
        return Lattice(int(ticks.minimum), ticks.step, 0, np.dtype(np.int64))
    if not isinstance(encoder, NumberEncoder) or encoder.decimals is None:
        return None
    form = encoder.form
    floats = pa.types.is_floating(encoder.type)
    dtype = np.dtype(encoder.type.to_pandas_dtype() if floats else np.int64)
    if isinstance(form, Pieces):
        return None if form.step is None else Lattice(int(form.minimum), form.step, encoder.decimals, dtype)
    if not form.values.size:
        return None
    return Lattice(int(form.values[0]), common_step(form.values), encoder.decimals, dtype)


def order_rules(rules: Sequence[LessEqual]) -> list[LessEqual]:
    """Sort rules so that each column is settled before it bounds another one.

    Raises:
        ConfigError: the rules form a cycle.
    """
    pending, ordered = list(dict.fromkeys(rules)), []
    while pending:
        bounded = {rule.high for rule in pending}
        ready = [rule for rule in pending if rule.low not in bounded]
        if not ready:
            raise ConfigError(f"the constraints form a cycle: {', '.join(map(str, pending))}; remove one")
        ordered += ready
        pending = [rule for rule in pending if rule not in ready]
    return ordered


def broken(rule: LessEqual, low: tuple[Values, Bool], high: tuple[Values, Bool]) -> Bool:
    """Return where both values are present and the rule does not hold [B].

    Args:
        rule: the rule.
        low, high: sort keys and missing flags of its columns, as `sort_keys` gives them.
    """
    wrong = low[0] >= high[0] if rule.strict else low[0] > high[0]
    out: Bool = wrong & ~low[1] & ~high[1]
    return out


@dataclass
class _Column:
    """One column of B rows during a repair."""

    support: Support
    keys: Values
    missing: Bool
    given: Bool
    floor: Values = field(init=False)
    ceiling: Values = field(init=False)
    changed: bool = False

    def __post_init__(self) -> None:
        # What given values below and above leave possible.
        self.floor = np.where(self.given, self.keys, self.support.lowest)
        self.ceiling = np.where(self.given, self.keys, self.support.highest)

    def part(self) -> None:
        """Be null, where null occurs, between given values that leave nothing possible."""
        rows = ~self.given & ~self.missing & (self.floor > self.ceiling)
        if self.support.nullable and rows.any():
            self.missing |= rows
            self.changed = True

    def move(self, rule: LessEqual, rows: np.ndarray, floor: Values, ceiling: Values) -> None:
        """Draw `rows` anew within [floor, ceiling]; null where nothing fits and null occurs."""
        if self.given[rows].any():
            raise ConditionError(
                f"the given values break the constraint {rule}; change them or give fewer columns"
            )
        rank = self.support.rank(self.keys[rows])
        drawn, found = self.support.draw(rank, floor, ceiling)
        if not (found.all() or self.support.nullable):
            raise ConditionError(
                f"no value keeps the constraint {rule} beside the given values; "
                "change them or give fewer columns"
            )
        self.keys[rows] = drawn
        self.missing[rows] = ~found
        self.changed = True


@dataclass(frozen=True)
class Repair:
    """Makes rules hold in decoded rows.

    Attributes:
        rules: in the order of `order_rules`.
        supports: the distributions of the columns that they compare.
    """

    rules: tuple[LessEqual, ...]
    supports: Mapping[str, Support]

    def apply(self, rows: dict[str, pa.Array], given: Mapping[str, Bool]) -> None:
        """Make every rule hold in `rows`, in place; given values [B] do not move.

        Columns below a given one are moved down from it, all others up from the column
        below. In training a value that nothing can follow is only followed by null, and so
        it is here; null also parts given values that are not in order.

        Args:
            rows: decoded columns of B rows.
            given: where each column's value was given.

        Raises:
            ConditionError: the given values leave no way to keep a rule.
        """
        columns = {name: self._column(name, rows[name], given) for name in self.supports}
        for rule in self.rules:
            self._pass_up(rule, columns)
        for rule in reversed(self.rules):
            self._lower(rule, columns)
        for rule in self.rules:
            self._lift(rule, columns)
        for rule in self.rules:
            low, high = columns[rule.low], columns[rule.high]
            if broken(rule, (low.keys, low.missing), (high.keys, high.missing)).any():
                raise ConditionError(f"the given values leave no way to keep the constraint {rule}")
        for name, column in columns.items():
            if column.changed:
                rows[name] = exchange.to_arrow(column.keys, column.missing, column.support.type)

    def check(self, constants: Mapping[str, pa.Scalar]) -> None:
        """Refuse given values with which no row can keep the rules.

        Raises:
            ConditionError: such values.
        """
        rows: dict[str, pa.Array] = {}
        for name, support in self.supports.items():
            if name in constants:
                rows[name] = pa.repeat(constants[name], 1)
            else:
                absent = support.nullable or not support.keys.size
                key = np.zeros(1, dtype=support.keys.dtype) if absent else support.keys[-1:]
                rows[name] = exchange.to_arrow(key, np.array([absent]), support.type)
        self.apply(rows, {name: np.ones(1, dtype=np.bool_) for name in constants})

    def _column(self, name: str, array: pa.Array, given: Mapping[str, Bool]) -> _Column:
        keys, missing = sort_keys(name, array)
        known = given.get(name, np.zeros(len(keys), dtype=np.bool_))
        # Copies: what Arrow hands out is read-only, and masks are shared.
        return _Column(self.supports[name], keys.copy(), missing.copy(), known)

    @staticmethod
    def _pass_up(rule: LessEqual, columns: Mapping[str, _Column]) -> None:
        """Pass the floor of the low column up."""
        low, high = columns[rule.low], columns[rule.high]
        bound = ~low.missing & (low.floor > low.support.lowest)
        if bound.any():
            floor = high.support.after(low.floor) if rule.strict else low.floor
            high.floor = np.where(bound, np.maximum(high.floor, floor), high.floor)

    @staticmethod
    def _lower(rule: LessEqual, columns: Mapping[str, _Column]) -> None:
        """Pass the ceiling of the high column down, and move the low column below it."""
        low, high = columns[rule.low], columns[rule.high]
        high.part()
        bound = ~high.missing & (high.ceiling < high.support.highest)
        if not bound.any():
            return
        ceiling = high.support.before(high.ceiling) if rule.strict else high.ceiling
        low.ceiling = np.where(bound, np.minimum(low.ceiling, ceiling), low.ceiling)
        rows = np.flatnonzero(bound & ~low.missing & (low.keys > low.ceiling))
        if rows.size:
            low.move(rule, rows, np.broadcast_to(low.support.lowest, rows.size), low.ceiling[rows])

    @staticmethod
    def _lift(rule: LessEqual, columns: Mapping[str, _Column]) -> None:
        """Move the high column above the low one, below its own ceiling."""
        low, high = columns[rule.low], columns[rule.high]
        rows = np.flatnonzero(broken(rule, (low.keys, low.missing), (high.keys, high.missing)))
        if rows.size:
            floor = low.keys[rows]
            floor = high.support.after(floor) if rule.strict else floor
            high.move(rule, rows, floor, high.ceiling[rows])
