"""Conditions: what is given of the rows to generate, from `where=` or from a table with gaps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.encoding.base import CategoryValues, FieldValues, NumericValues, one_chunk
from fingan.encoding.category import CategoryEncoder
from fingan.encoding.relations import code_column
from fingan.encoding.scalars import read_scalar
from fingan.encoding.table import Given, TableEncoder, placeholder, stack
from fingan.encoding.units import ColumnUnit, CompositeUnit, Unit
from fingan.errors import ConditionError, DataError, nearest
from fingan.types import Bool, Float64, Int64

_SHOWN = 1000

Known = dict[str, tuple[Bool, pa.Array]]


@dataclass(frozen=True, eq=False)
class _Choice:
    """Combinations of a composite that agree with a condition.

    Attributes:
        numbers: their numbers [K].
        cumulative: their cumulative shares [K].
    """

    numbers: Int64
    cumulative: Float64

    def draw(self, spare: Float64) -> Int64:
        """Return the number of one combination for each uniform [B]."""
        found = np.searchsorted(self.cumulative, spare, side="right")
        return self.numbers[np.minimum(found, self.numbers.size - 1)]


@dataclass(frozen=True, eq=False)
class Where:
    """The same values given in every row.

    Attributes:
        encoder: the table's encoder.
        constants: column → value in the column's type.
        choices: unit → the combinations that agree with the condition.
        fixed: unit → its fields, one row.
    """

    encoder: TableEncoder
    constants: Mapping[str, pa.Scalar]
    choices: Mapping[int, _Choice]
    fixed: Mapping[int, tuple[FieldValues, ...]]

    @classmethod
    def parse(cls, encoder: TableEncoder, where: Mapping[str, Any]) -> Where:
        """Check a condition and encode it.

        Args:
            encoder: the table's encoder.
            where: column → value; None asks for a missing value.

        Raises:
            ConfigError: an unknown column.
            ConditionError: an identifier, a value of the wrong type, out of range or never
                seen, values that never occur together, or that break a constraint.
        """
        constants = _constants(encoder, where)
        choices: dict[int, _Choice] = {}
        fixed: dict[int, tuple[FieldValues, ...]] = {}
        for number, unit in enumerate(encoder.units):
            own = {name: constants[name] for name in unit.columns if name in constants}
            if own and isinstance(unit, CompositeUnit):
                choices[number] = _choose(unit, own)
            elif own:
                fixed[number] = _encode_constants(encoder, unit, constants)
        if encoder.rules:
            encoder.repair.check(constants)
        return cls(encoder, constants, choices, fixed)

    def check_seen(self) -> None:
        """Refuse a number or moment for which the code of the nearest level would stand.

        Raises:
            ConditionError: names the column.
        """
        for number, fields in self.fixed.items():
            unit = self.encoder.units[number]
            if not isinstance(unit, ColumnUnit) or isinstance(unit.encoder, CategoryEncoder):
                continue
            codes = [values.codes for values in fields if isinstance(values, CategoryValues)]
            if len(codes) < len(fields):
                continue
            name, (seen,) = unit.encoder.column, unit.encoder.decode(codes, np.zeros(1))
            if not seen.equals(self.constants[name]):
                raise ConditionError(
                    f"column {name!r}: {self.constants[name].as_py()!r} is not among the values seen in "
                    f"training, the nearest is {seen.as_py()!r}; use one of them or train with such rows"
                )

    def block(self, spare: Float64) -> Given:
        """Return the condition of B rows; `spare` [B, M] draws among agreeing combinations."""
        rows = spare.shape[0]
        fields: list[FieldValues] = []
        mask = np.zeros((rows, len(self.encoder.units)), dtype=np.bool_)
        everywhere = np.ones(rows, dtype=np.bool_)
        columns = {name: (everywhere, pa.repeat(value, rows)) for name, value in self.constants.items()}
        for number, unit in enumerate(self.encoder.units):
            mask[:, number] = number in self.choices or number in self.fixed
            if isinstance(unit, CompositeUnit) and number in self.choices:
                numbers = self.choices[number].draw(spare[:, number])
                fields.append(CategoryValues(unit.codes[numbers]))
                # All members: a code may stand for several combinations.
                columns |= {name: (everywhere, values) for name, values in unit.take(numbers).items()}
            elif number in self.fixed:
                fields += [_repeat(values, rows) for values in self.fixed[number]]
            else:
                fields += [placeholder(spec, rows) for spec in unit.fields]
        return Given(mask, stack(fields, rows), columns)


def _constants(encoder: TableEncoder, where: Mapping[str, Any]) -> dict[str, pa.Scalar]:
    """Return the given values in their types, under the names of the learned columns."""
    constants: dict[str, pa.Scalar] = {}
    for column, value in where.items():
        if encoder.unit_of(column) is None:
            raise ConditionError(
                f"column {column!r} is an identifier: it is made from the row's number and cannot be given"
            )
        name = encoder.aliases.get(column, column)
        scalar = read_scalar(column, value, encoder.schema.column(column).arrow_type)
        if name in constants and not constants[name].equals(scalar):
            raise ConditionError(
                f"columns {name!r} and {column!r} are equal in every training row, but the condition gives "
                f"{constants[name].as_py()!r} and {scalar.as_py()!r}; give one of them"
            )
        constants[name] = scalar
    return constants


def _choose(unit: CompositeUnit, own: Mapping[str, pa.Scalar]) -> _Choice:
    """Return the combinations that agree with the given members."""
    agree = np.ones(unit.combinations.num_rows, dtype=np.bool_)
    for name, value in own.items():
        members = unit.members[name]
        same = pc.fill_null(pc.equal(members, value), False) if value.is_valid else pc.is_null(members)
        if not pc.any(same).as_py():
            shown = [str(level) for level in members.unique().slice(0, _SHOWN).to_pylist()]
            raise ConditionError(
                f"column {name!r}: {value.as_py()!r} is not among the values seen in training; "
                f"use one of them or train with such rows.{nearest(str(value.as_py()), shown)}"
            )
        agree &= same.to_numpy(zero_copy_only=False)
    numbers = np.flatnonzero(agree)
    if not numbers.size:
        values = {name: value.as_py() for name, value in own.items()}
        raise ConditionError(
            f"the values {values!r} never occur together in the training rows, and these columns only take "
            "combinations seen in training; give fewer of them"
        )
    counts = unit.counts[numbers]
    return _Choice(numbers, np.cumsum(counts) / counts.sum())


def _encode_constants(
    encoder: TableEncoder, unit: Unit, constants: Mapping[str, pa.Scalar]
) -> tuple[FieldValues, ...]:
    """Return one row of a unit's fields; a copied column is compared with its sources, where given."""
    names = [name for unit in encoder.units for name in unit.columns]
    kinds = {name: encoder.schema.column(name).arrow_type for name in names}
    row = pa.table({n: pa.repeat(constants.get(n, pa.scalar(None, kinds[n])), 1) for n in names})
    try:
        return unit.encode(row)
    except DataError as error:
        raise ConditionError(str(error)) from error


def _repeat(values: FieldValues, rows: int) -> FieldValues:
    if isinstance(values, NumericValues):
        return NumericValues(np.repeat(values.lower, rows), np.repeat(values.width, rows))
    return CategoryValues(np.repeat(values.codes, rows))


def from_gaps(encoder: TableEncoder, table: pa.Table, columns: Collection[str], spare: Float64) -> Given:
    """Return the condition that keeps every value of `table` but the nulls of `columns`.

    Args:
        encoder: the table's encoder.
        table: N conformed rows; their identifiers stay as they are.
        columns: columns whose nulls are to be filled.
        spare: uniforms [N, M]; they complete combinations of which a part is known.

    Raises:
        DataError: a known value that cannot be encoded, or equal columns that differ.
    """
    rows = table.num_rows
    known: Known = {}
    for name in table.column_names:
        array = one_chunk(table[name])
        present: Bool = np.ones(rows, dtype=np.bool_)
        if name in columns:
            present = array.is_valid().to_numpy(zero_copy_only=False)
        known[name] = (present, array)
    for name, source in encoder.aliases.items():
        known[source] = _merged(name, source, known)
    mask = np.zeros((rows, len(encoder.units)), dtype=np.bool_)
    fields: list[FieldValues] = []
    values = pa.table({name: array for name, (_, array) in known.items()})
    for number, unit in enumerate(encoder.units):
        if isinstance(unit, CompositeUnit):
            codes, mask[:, number] = _complete(unit, known, spare[:, number])
            fields.append(codes)
        else:
            mask[:, number] = known[unit.columns[0]][0]
            fields += _encode_known(unit, values, mask[:, number])
    return Given(mask, stack(fields, rows), known)


def _merged(name: str, source: str, known: Known) -> tuple[Bool, pa.Array]:
    """Return what is known of a column by itself or by the column that equals it."""
    (here, own), (there, other) = known[source], known[name]
    both = here & there
    agree = pc.fill_null(pc.equal(own, other), False).to_numpy(zero_copy_only=False)
    agree |= own.is_null().to_numpy(zero_copy_only=False) & other.is_null().to_numpy(zero_copy_only=False)
    if (bad := np.flatnonzero(both & ~agree)).size:
        row = bad[0].item()
        raise DataError(
            f"columns {source!r} and {name!r} are equal in every training row, but here they are "
            f"{own[row].as_py()!r} and {other[row].as_py()!r}; correct them or leave one null"
        )
    return here | there, pc.if_else(pa.array(here), own, other)


def _encode_known(unit: Unit, table: pa.Table, present: Bool) -> list[FieldValues]:
    """Encode the known rows of a unit; the others hold anything."""
    fields = [placeholder(spec, present.size) for spec in unit.fields]
    if not present.any():
        return fields
    for whole, part in zip(fields, unit.encode(table.filter(pa.array(present))), strict=True):
        if isinstance(whole, NumericValues) and isinstance(part, NumericValues):
            whole.lower[present], whole.width[present] = part.lower, part.width
        elif isinstance(whole, CategoryValues) and isinstance(part, CategoryValues):
            whole.codes[present] = part.codes
    return fields


def _complete(unit: CompositeUnit, known: Known, spare: Float64) -> tuple[CategoryValues, Bool]:
    """Encode known combinations, and draw one that agrees where only a part is known.

    It is drawn by its frequency among those that agree. What was drawn becomes known, in
    place: a code may stand for several combinations, which would differ in the known part.
    """
    flags = np.stack([known[name][0] for name in unit.columns])
    whole: Bool = np.logical_and.reduce(flags)
    some: Bool = np.logical_or.reduce(flags)
    numbers = np.zeros(spare.size, dtype=np.int64)
    arrays = pa.table({name: known[name][1] for name in unit.columns})
    numbers[whole] = unit.locate(arrays.filter(pa.array(whole)))
    partial = np.flatnonzero(some & ~whole)
    for rows in _alike(unit, known, partial):
        first = rows[0].item()
        own = {name: known[name][1][first] for name in unit.columns if known[name][0][first]}
        try:
            numbers[rows] = _choose(unit, own).draw(spare[rows])
        except ConditionError as error:
            raise DataError(str(error)) from error
    for name, values in unit.take(numbers).items():
        here, own_values = known[name]
        known[name] = (some, pc.if_else(pa.array(here), own_values, values))
    return CategoryValues(np.where(some, unit.codes[numbers], 0).astype(np.int32)), some


def _alike(unit: CompositeUnit, known: Known, rows: Int64) -> list[Int64]:
    """Divide rows into those that know the same members with the same values."""
    if not rows.size:
        return []
    picked = pa.array(rows)
    patterns = [
        np.where(known[name][0][rows], code_column(known[name][1].take(picked)).codes, -1)
        for name in unit.columns
    ]
    _, group = np.unique(np.stack(patterns), axis=1, return_inverse=True)
    order = np.argsort(group, kind="stable")
    return np.split(rows[order], np.flatnonzero(np.diff(group[order])) + 1)
