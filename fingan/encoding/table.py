"""A whole table as fields and back: columns, relations between them, rules, identifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.config import LessEqual
from fingan.data.schema import TableSchema
from fingan.encoding.base import Arrays, CategoryValues, FieldSpec, FieldValues, NumericValues
from fingan.encoding.codec import prefixed, unprefixed
from fingan.encoding.identifier import IdentifierEncoder
from fingan.encoding.inequalities import Repair, Support
from fingan.encoding.layout import Layout
from fingan.encoding.units import ColumnUnit, Rows, Unit, copy_fields, load_unit
from fingan.errors import BundleError, ConfigError, nearest
from fingan.types import Bool, Float32, Float64, Int32, Int64, Json


@dataclass(frozen=True, eq=False)
class EncodedTable:
    """Fields of N rows.

    Attributes:
        lower, width: numeric fields [N, F]; a row's u is drawn as lower + V · width.
        codes: categorical fields [N, C].
    """

    lower: Float32
    width: Float32
    codes: Int32

    def __len__(self) -> int:
        return int(self.lower.shape[0])

    def take(self, rows: Int64) -> EncodedTable:
        """Return the given rows."""
        return EncodedTable(self.lower[rows], self.width[rows], self.codes[rows])


@dataclass(frozen=True, eq=False)
class Given:
    """What is known of B rows before they are generated.

    Attributes:
        mask: which units are given [B, M].
        fields: the fields of the given units (others hold anything) for B rows.
        columns: per given column, where it is given [B] and its values [B].
    """

    mask: Bool
    fields: EncodedTable
    columns: Mapping[str, tuple[Bool, pa.Array]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TableEncoder:
    """The fitted encoder of a table.

    Attributes:
        schema: the columns in their order.
        units: conditioning units in decoding order; their order is that of the layout.
        identifiers: regenerated columns.
        aliases: column → the column that it equals in every row.
        rules: inequalities, in the order of repair.
        pairs: correlated pairs of numeric fields, for the discriminator.
    """

    schema: TableSchema
    units: tuple[Unit, ...]
    identifiers: tuple[IdentifierEncoder, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    rules: tuple[LessEqual, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()

    @cached_property
    def layout(self) -> Layout:
        """Where each field stands in a dense row."""
        owned = [(number, spec) for number, unit in enumerate(self.units) for spec in unit.fields]
        numeric = [(number, spec) for number, spec in owned if spec.kind == "numeric"]
        category = [(number, spec) for number, spec in owned if spec.kind == "category"]
        return Layout(
            numeric=len(numeric),
            widths=tuple(spec.width for _, spec in category),
            units=len(self.units),
            unit_of_field=tuple(number for number, _ in [*numeric, *category]),
            edges=tuple(spec.edges for _, spec in numeric),
            pairs=self.pairs,
            copies=copy_fields(self.units),
        )

    @cached_property
    def repair(self) -> Repair:
        """What makes the rules hold in decoded rows."""
        bound = {name for rule in self.rules for name in rule.columns}
        supports = {
            unit.encoder.column: Support.of(unit.encoder)
            for unit in self.units
            if isinstance(unit, ColumnUnit) and unit.encoder.column in bound
        }
        if missing := bound - set(supports):
            raise BundleError(f"columns {sorted(missing)!r} are bound by rules but not learned on their own")
        return Repair(self.rules, supports)

    def frequencies(self) -> list[Float64]:
        """Return the training shares of the codes of each categorical field."""
        return [spec.frequencies for unit in self.units for spec in unit.fields if spec.kind == "category"]

    def unit_names(self) -> list[tuple[str, ...]]:
        """Return the columns of each unit, with those that only repeat them."""
        repeated = self.aliases.items()
        return [
            unit.columns + tuple(name for name, source in repeated if source in unit.columns)
            for unit in self.units
        ]

    def unit_of(self, column: str) -> int | None:
        """Return the number of the unit that learns `column`; None for an identifier.

        Raises:
            ConfigError: no such column.
        """
        name = self.aliases.get(column, column)
        for number, unit in enumerate(self.units):
            if name in unit.columns:
                return number
        if column not in self.schema.names:
            raise ConfigError(f"unknown column {column!r}.{nearest(str(column), self.schema.names)}")
        return None

    def without_identifiers(self) -> TableEncoder:
        """Return the encoder of the other columns: there are as many rows as one likes of them."""
        made = {encoder.column for encoder in self.identifiers}
        others = self.schema.select(name for name in self.schema.names if name not in made)
        return replace(self, schema=others, identifiers=())

    def known(self, table: pa.Table) -> Bool:
        """Return which rows [N] of a conformed table hold only categories and combinations that have codes.

        All training rows do; of a table that was fitted on a sample, rows outside it may not.
        """
        known: Bool = np.logical_and.reduce([unit.known(table) for unit in self.units])
        return known

    def encode(self, table: pa.Table) -> EncodedTable:
        """Encode a conformed table.

        Raises:
            DataError: a value that was not seen in training.
        """
        return stack([v for unit in self.units for v in unit.encode(table)], table.num_rows)

    def decode(
        self,
        u: Float64,
        codes: Int32 | Int64,
        spare: Float64,
        row_index: Int64 | None,
        identifier_key: int,
        given: Mapping[str, tuple[Bool, pa.Array]],
    ) -> pa.RecordBatch:
        """Decode B rows; a pure function of each row, in which every relation and rule holds.

        Args:
            u: numeric fields [B, F] in [0, 1].
            codes: categorical fields [B, C].
            spare: uniforms [B, M] for draws inside groups of rare categories.
            row_index: numbers of the rows [B], which identifiers are made from; None leaves these null.
            identifier_key: 64-bit key of the identifiers' bijection.
            given: per given column, where it is given and its values.

        Raises:
            ConditionError: given values that leave no way to keep a rule.
            DataError: more rows than an identifier's format has values.
        """
        # Fields are read one by one, several times each: contiguous ones are read faster.
        numeric, category = iter(np.ascontiguousarray(u.T)), iter(np.ascontiguousarray(codes.T))
        draws = np.ascontiguousarray(spare.T)
        rows: Rows = {}
        for unit, draw in zip(self.units, draws, strict=True):
            fields = [next(numeric if spec.kind == "numeric" else category) for spec in unit.fields]
            for name, values in unit.decode(fields, draw, rows).items():
                rows[name] = _put_back(values, given.get(name))
        if self.rules:
            self.repair.apply(rows, {name: where for name, (where, _) in given.items()})
        rows |= {name: rows[source] for name, source in self.aliases.items()}
        arrow = self.schema.arrow()
        for encoder in self.identifiers:
            if row_index is None:
                made = pa.nulls(len(u), encoder.type)
            else:
                made = encoder.generate(row_index, identifier_key)
            rows[encoder.column] = _put_back(made, given.get(encoder.column))
        return pa.record_batch([rows[name] for name in arrow.names], schema=arrow)

    def identify(
        self, rows: pa.RecordBatch, row_index: Int64, identifier_key: int, nulls: bool = True
    ) -> pa.RecordBatch:
        """Fill the identifiers that `decode` left null.

        Args:
            rows, row_index, identifier_key: as those of `decode`.
            nulls: whether an identifier may be null, as in training.

        Raises:
            DataError: more rows than an identifier's format has values.
        """
        for encoder in self.identifiers:
            place = rows.schema.get_field_index(encoder.column)
            made = encoder.generate(row_index, identifier_key, nulls)
            rows = rows.set_column(place, rows.schema.field(place), made)
        return rows

    def state(self) -> tuple[Json, Arrays]:
        """Return JSON and arrays that `from_state` reads back; no row of the training table."""
        document: Json = {
            "aliases": dict(self.aliases),
            "pairs": [list(pair) for pair in self.pairs],
            "rules": [rule.model_dump(mode="json") for rule in self.rules],
        }
        arrays: Arrays = {}
        groups: dict[str, Sequence[Unit | IdentifierEncoder]] = {
            "units": self.units,
            "identifiers": self.identifiers,
        }
        for group, items in groups.items():
            states = [item.state() for item in items]
            document[group] = [values for values, _ in states]
            for number, (_, own) in enumerate(states):
                arrays |= prefixed(f"{group}.{number}", own)
        return document, arrays

    @classmethod
    def from_state(
        cls, schema: TableSchema, document: Json, arrays: Mapping[str, np.ndarray]
    ) -> TableEncoder:
        """Read what `state` wrote.

        Raises:
            BundleError: a state that does not describe an encoder of this schema.
        """

        def each(group: str) -> list[tuple[Json, Arrays]]:
            items = enumerate(document[group])
            return [(values, unprefixed(f"{group}.{number}", arrays)) for number, values in items]

        encoder = cls(
            schema=schema,
            units=tuple(load_unit(*item) for item in each("units")),
            identifiers=tuple(IdentifierEncoder.from_state(*item) for item in each("identifiers")),
            aliases=document["aliases"],
            rules=tuple(LessEqual.model_validate(rule) for rule in document["rules"]),
            pairs=tuple((pair[0], pair[1]) for pair in document["pairs"]),
        )
        held = [name for unit in encoder.units for name in unit.columns]
        held += [item.column for item in encoder.identifiers] + list(encoder.aliases)
        if sorted(held) != sorted(schema.names):
            raise BundleError(
                f"the encoder holds the columns {sorted(held)!r}, the schema {sorted(schema.names)!r}; "
                "fetch the bundle again"
            )
        return encoder


def _put_back(values: pa.Array, given: tuple[Bool, pa.Array] | None) -> pa.Array:
    """Return the given values where there are any."""
    if given is None:
        return values
    where, known = given
    return known if where.all() else pc.if_else(pa.array(where), known, values)


def stack(fields: Sequence[FieldValues], rows: int) -> EncodedTable:
    """Put field values side by side, numeric ones apart from categorical ones."""
    numeric = [v for v in fields if isinstance(v, NumericValues)]
    category = [v for v in fields if isinstance(v, CategoryValues)]
    lower = np.empty((rows, len(numeric)), dtype=np.float32)
    width = np.empty((rows, len(numeric)), dtype=np.float32)
    codes = np.empty((rows, len(category)), dtype=np.int32)
    for f, values in enumerate(numeric):
        lower[:, f], width[:, f] = values.lower, values.width
    for c, levels in enumerate(category):
        codes[:, c] = levels.codes
    return EncodedTable(lower, width, codes)


def placeholder(spec: FieldSpec, rows: int) -> FieldValues:
    """Return values [rows] of a field that is not given."""
    if spec.kind == "numeric":
        return NumericValues(np.zeros(rows, dtype=np.float32), np.ones(rows, dtype=np.float32))
    return CategoryValues(np.zeros(rows, dtype=np.int32))
