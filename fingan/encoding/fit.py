"""Fit a table encoder: which columns are learned, how, and what ties them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import pyarrow as pa

from fingan.config import Constraint, FixedCombinations, LessEqual
from fingan.data.schema import ColumnSpec, TableSchema
from fingan.data.survey import Tally
from fingan.encoding.base import AnyArray, ColumnEncoder
from fingan.encoding.category import WIDTH_CAP, CategoryEncoder
from fingan.encoding.copies import CopyUnit, copied_from
from fingan.encoding.identifier import IdentifierEncoder
from fingan.encoding.inequalities import order_rules
from fingan.encoding.number import CODES_AT_MOST, NumberEncoder
from fingan.encoding.relations import (
    Coded,
    aliases,
    code_column,
    equal_columns,
    functional_dependencies,
    heavy_values,
)
from fingan.encoding.rules import NUMERIC_KINDS, TEMPORAL_KINDS, check_rules
from fingan.encoding.summaries import correlated_pairs, row_profile
from fingan.encoding.table import TableEncoder
from fingan.encoding.temporal import TemporalEncoder
from fingan.encoding.ties import tied_columns
from fingan.encoding.units import ColumnUnit, CompositeUnit, Unit
from fingan.errors import ConditionError, ConfigError
from fingan.types import Float32

CATEGORY_KINDS = ("category", "boolean")
ROWS_PER_COMBINATION = 2


def fit_column(
    spec: ColumnSpec, array: AnyArray, profile: Float32 | None = None, tally: Tally | None = None
) -> ColumnEncoder:
    """Fit the encoder that a column's kind asks for.

    Args:
        spec: the column; any kind but `identifier`.
        array: N training values.
        profile: [N, P] features, by which the levels of a wide category are grouped.
        tally: counts of all values, where `array` is only a sample of them.
    """
    if spec.kind in NUMERIC_KINDS:
        return NumberEncoder.fit(spec.name, spec.kind, array, tally)
    if spec.kind in TEMPORAL_KINDS:
        return TemporalEncoder.fit(spec.name, spec.kind, array)
    return CategoryEncoder.fit(spec.name, spec.kind, array, profile=profile, tally=tally)


@dataclass(frozen=True)
class _Relations:
    """What ties columns in every row.

    Attributes:
        aliases: column → the column that it equals.
        groups: columns that are learned as one, in the combinations of the training rows.
    """

    aliases: Mapping[str, str]
    groups: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, encoder: TableEncoder) -> _Relations:
        """Return what an encoder keeps."""
        groups = (unit.columns for unit in encoder.units if isinstance(unit, CompositeUnit))
        return cls(encoder.aliases, tuple(groups))


def _fixed_groups(rules: Sequence[Constraint], bound: set[str]) -> tuple[tuple[str, ...], ...]:
    """Return the columns of each rule of fixed combinations."""
    groups: list[tuple[str, ...]] = []
    taken = set(bound)
    for rule in rules:
        if not isinstance(rule, FixedCombinations):
            continue
        if clash := [name for name in rule.columns if name in taken]:
            raise ConfigError(
                f"{rule}: column {clash[0]!r} is part of another constraint already; keep one of them"
            )
        groups.append(rule.columns)
        taken.update(rule.columns)
    return tuple(groups)


def _dependent_groups(
    schema: TableSchema, coded: Mapping[str, Coded], free: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return the groups of columns that categorical columns determine."""

    def categorical(name: str) -> bool:
        kind = schema.column(name).kind
        return kind in CATEGORY_KINDS or (
            kind in ("integer", "decimal") and coded[name].count <= CODES_AT_MOST
        )

    return functional_dependencies(coded, [name for name in free if categorical(name)], free)


def _check_repeated(units: Sequence[Unit], rows: int) -> None:
    """Refuse composites that hold the training rows themselves: so would the bundle."""
    for unit in units:
        if not isinstance(unit, CompositeUnit):
            continue
        if unit.combinations.num_rows * ROWS_PER_COMBINATION > max(rows, 1):
            raise ConfigError(
                f"fixed({', '.join(unit.columns)}): {unit.combinations.num_rows} combinations "
                f"in {rows} rows; fixed combinations must repeat, "
                "leave out the columns of many values"
            )


def _copies(
    table: pa.Table, schema: TableSchema, coded: Mapping[str, Coded], names: Sequence[str]
) -> list[CopyUnit]:
    """Return units for the columns that repeat another one in a share of the rows, sources first."""

    @cache
    def encoder_of(name: str) -> ColumnEncoder:
        return NumberEncoder.fit(name, schema.column(name).kind, table[name])

    def numeric(name: str) -> bool:
        return "numeric" in [spec.kind for spec in encoder_of(name).fields]

    units = []
    for equal in equal_columns(table, coded, names):
        # Nulls, and numbers that fall together on the lattice, may leave a source too few values.
        sources = tuple(filter(numeric, equal.sources))
        if not sources:
            continue
        column = table[equal.target]
        heavy = heavy_values(column)
        own = column.filter(pa.array(copied_from(table, equal.target, sources, heavy) == 0))
        if len(own) == own.null_count:
            continue
        encoder = encoder_of(equal.target)
        if [spec.kind for spec in encoder.fields] == ["numeric"]:
            units.append(CopyUnit.fit(table, encoder, sources, heavy))
    return units


def _profile(
    table: pa.Table, schema: TableSchema, coded: Mapping[str, Coded], names: Sequence[str]
) -> Float32 | None:
    """Return the features that group wide categories; None where there are none."""
    kinds = {name: schema.column(name).kind for name in names}
    if not any(kinds[n] in CATEGORY_KINDS and coded[n].count > WIDTH_CAP for n in names):
        return None
    few = {n: coded[n] for n in names if coded[n].count <= CODES_AT_MOST}
    return row_profile(table, [n for n in names if kinds[n] in NUMERIC_KINDS and n not in few], few)


def _numeric_fields(schema: TableSchema, units: Sequence[Unit]) -> dict[int, str]:
    """Return the number of each numeric field that stands for a numeric column, with the column."""
    owners = [unit.columns[0] for unit in units for spec in unit.fields if spec.kind == "numeric"]
    return {i: name for i, name in enumerate(owners) if schema.column(name).kind in NUMERIC_KINDS}


def _relations(
    table: pa.Table,
    schema: TableSchema,
    coded: Mapping[str, Coded],
    apart: set[str | None],
    known: _Relations,
) -> _Relations:
    """Return what ties columns in every row: what is known, and what else the rows show.

    Args:
        table: training rows.
        schema: the columns and their kinds.
        coded: codes of the columns to learn.
        apart: columns that are learned one by one.
        known: relations that hold whatever the rows show.
    """
    tied = apart.union(*known.groups, known.aliases, known.aliases.values())
    alias = aliases(table, coded, [name for name in coded if name not in tied])
    tied = apart.union(*known.groups, known.aliases, alias)
    free = [name for name in coded if name not in tied]
    groups = [*known.groups, *_dependent_groups(schema, coded, free)]
    grouped = {name for group in groups for name in group}
    groups += tied_columns(coded, [name for name in free if name not in grouped])
    return _Relations({**known.aliases, **alias}, tuple(groups))


def _fit_units(
    table: pa.Table,
    schema: TableSchema,
    apart: set[str | None],
    known: _Relations,
    tallies: Mapping[str, Tally],
) -> tuple[list[Unit], dict[str, str]]:
    """Return the units in decoding order (copies after their sources), and the aliases."""
    learned = [spec.name for spec in schema.columns if spec.kind != "identifier"]
    coded = {name: code_column(table[name]) for name in learned}
    found = _relations(table, schema, coded, apart, known)
    grouped = {name for group in found.groups for name in group}
    free = [name for name in learned if name not in apart | grouped and name not in found.aliases]
    numbers = [n for n in free if schema.column(n).kind in NUMERIC_KINDS and coded[n].count > CODES_AT_MOST]
    copies = _copies(table, schema, coded, numbers)
    taken = grouped.union(*(unit.columns for unit in copies))
    profile = _profile(table, schema, coded, [name for name in learned if name not in found.aliases])
    single = [n for n in learned if n not in found.aliases and n not in taken]
    units: list[Unit] = [
        ColumnUnit(fit_column(schema.column(n), table[n], profile, tallies.get(n))) for n in single
    ]
    units += [CompositeUnit.fit(table, group, profile) for group in found.groups]
    return [*units, *copies], dict(found.aliases)


def fit_encoder(
    table: pa.Table,
    schema: TableSchema,
    rules: Sequence[Constraint] = (),
    target: str | None = None,
    tallies: Mapping[str, Tally] | None = None,
    whole: TableEncoder | None = None,
) -> TableEncoder:
    """Fit the encoder of a conformed table.

    Args:
        table: training rows, or a sample of them, in the schema's types.
        schema: the columns and their kinds.
        rules: the user's constraints.
        target: label column, which is never made dependent on another one.
        tallies: counts of all values of some columns, where `table` is only a sample.
        whole: encoder of a table of which `table` is a part: what ties columns there does so here, however
            few rows show it.

    Raises:
        ConfigError: constraints that do not fit the schema or each other, or nothing to learn.
        DataError: training rows that break a constraint, or a column that cannot be encoded.
    """
    if target is not None:
        schema.column(target)
    identifiers = [spec for spec in schema.columns if spec.kind == "identifier"]
    if len(identifiers) == len(schema.columns):
        raise ConfigError(
            "every column is an identifier: there is nothing to learn; change a kind in the schema"
        )
    ordered = order_rules([rule for rule in rules if isinstance(rule, LessEqual)])
    check_rules(table, schema, rules)
    bound = {name for rule in rules if isinstance(rule, LessEqual) for name in rule.columns}
    known = _Relations({}, _fixed_groups(rules, bound)) if whole is None else _Relations.of(whole)
    # The label stays a unit of its own, and bounded columns are repaired one by one.
    units, alias = _fit_units(table, schema, {target, *bound}, known, tallies or {})
    if whole is None:
        _check_repeated(units, table.num_rows)
    encoder = TableEncoder(
        schema=schema,
        units=tuple(units),
        identifiers=tuple(IdentifierEncoder.fit(s.name, s.kind, table[s.name]) for s in identifiers),
        aliases=alias,
        rules=tuple(ordered),
        pairs=correlated_pairs(table, _numeric_fields(schema, units)),
    )
    try:
        encoder.repair.check({})
    except ConditionError as error:
        raise ConfigError(f"the constraints cannot all hold: {error}") from error
    return encoder
