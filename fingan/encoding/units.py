"""Conditioning units: what a condition gives or leaves open as a whole.

A unit owns one or more columns of the table and a tuple of fields. Most hold one column
and its encoder; a composite holds columns tied by a dependency or by `fixed(a, b)`; a copy
(in `copies`) holds a number that repeats others in a share of the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.encoding.base import (
    Arrays,
    CategoryValues,
    ColumnEncoder,
    FieldSpec,
    FieldValues,
    one_chunk,
)
from fingan.encoding.category import CategoryEncoder
from fingan.encoding.codec import decode_table, encode_table, load_encoder, prefixed, save_encoder, unprefixed
from fingan.encoding.copies import CopyUnit, copy_field
from fingan.encoding.layout import CopyField
from fingan.errors import BundleError, DataError
from fingan.types import Bool, Float32, Float64, Int32, Int64, Json

Rows = dict[str, pa.Array]


class Unit(Protocol):
    """What the table encoder needs of a unit."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that the unit learns."""
        ...

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """Fields that stand for them."""
        ...

    def encode(self, table: pa.Table) -> tuple[FieldValues, ...]:
        """Encode all rows; one entry per field.

        Raises:
            DataError: a value that cannot be encoded.
        """
        ...

    def known(self, table: pa.Table) -> Bool:
        """Return which rows [N] can be encoded, as far as categories decide that."""
        ...

    def decode(self, fields: Sequence[np.ndarray], spare: Float64, rows: Mapping[str, pa.Array]) -> Rows:
        """Decode field values of B rows; `rows` holds the columns decoded before."""
        ...

    def state(self) -> tuple[Json, Arrays]:
        """Return JSON and arrays that `load_unit` reads back."""
        ...


@dataclass(frozen=True, eq=False)
class ColumnUnit:
    """One column with its encoder."""

    encoder: ColumnEncoder

    @property
    def columns(self) -> tuple[str, ...]:
        """The encoder's column."""
        return (self.encoder.column,)

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """The encoder's fields."""
        return self.encoder.fields

    def encode(self, table: pa.Table) -> tuple[FieldValues, ...]:
        """Encode the column (see `Unit`)."""
        return self.encoder.encode(table[self.encoder.column])

    def known(self, table: pa.Table) -> Bool:
        """Return where the column holds a level that has a code (see `Unit`)."""
        if isinstance(self.encoder, CategoryEncoder):
            return self.encoder.known(table[self.encoder.column])
        return np.ones(table.num_rows, dtype=bool)

    def decode(self, fields: Sequence[np.ndarray], spare: Float64, rows: Mapping[str, pa.Array]) -> Rows:
        """Decode the column (see `Unit`)."""
        return {self.encoder.column: self.encoder.decode(fields, spare)}

    def state(self) -> tuple[Json, Arrays]:
        """Return the encoder's state (see `Unit`)."""
        document, arrays = save_encoder(self.encoder)
        return {"unit": "column", "encoder": document}, arrays

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> ColumnUnit:
        """Read what `state` wrote."""
        return cls(load_encoder(document["encoder"], arrays))


@dataclass(frozen=True, eq=False)
class CompositeUnit:
    """Columns that only occur in the combinations of the training rows.

    Attributes:
        combinations: the K distinct combinations, one column per member.
        encoder: category encoder over the combination's number, 0 … K − 1.
    """

    combinations: pa.Table
    encoder: CategoryEncoder

    @classmethod
    def fit(cls, table: pa.Table, columns: Sequence[str], profile: Float32 | None = None) -> CompositeUnit:
        """Collect the combinations of `columns` in `table` and encode them as one category."""
        names = list(columns)
        grouped = table.select(names).group_by(names, use_threads=False).aggregate([])
        # By value, so that nothing depends on the order of the rows.
        ordered = grouped.select(names).sort_by([(name, "ascending") for name in names])
        combinations = pa.table({name: one_chunk(ordered[name]) for name in names})
        number = pa.array(_number_rows(table, combinations))
        return cls(combinations, CategoryEncoder.fit(" + ".join(names), "category", number, profile=profile))

    @property
    def columns(self) -> tuple[str, ...]:
        """The members."""
        return tuple(self.combinations.column_names)

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """One categorical field."""
        return self.encoder.fields

    @cached_property
    def members(self) -> Rows:
        """The combinations, one array [K] per column."""
        return {name: one_chunk(self.combinations[name]) for name in self.columns}

    @cached_property
    def counts(self) -> Int64:
        """Training rows of each combination [K]."""
        counts = np.zeros(self.combinations.num_rows, dtype=np.int64)
        counts[self.encoder.levels.to_numpy()] = self.encoder.counts
        return counts

    @cached_property
    def codes(self) -> Int32:
        """Code of each combination [K]."""
        codes = np.zeros(self.combinations.num_rows, dtype=np.int32)
        codes[self.encoder.levels.to_numpy()] = self.encoder.code
        return codes

    def locate(self, table: pa.Table) -> Int64:
        """Return the number of each row's combination [N].

        Raises:
            DataError: a combination that the training rows do not have.
        """
        number = _number_rows(table, self.combinations)
        if (number < 0).any():
            first = int(np.argmax(number < 0))
            values = {name: table[name][first].as_py() for name in self.columns}
            raise DataError(
                f"the combination {values!r} never occurs in the training rows; "
                "columns tied by a dependency or by fixed(…) only take combinations seen in training"
            )
        return number

    def known(self, table: pa.Table) -> Bool:
        """Return where the combination has a number (see `Unit`)."""
        return _number_rows(table, self.combinations) >= 0

    def take(self, numbers: Int64) -> Rows:
        """Return the members of combinations [B]."""
        picked = pa.array(numbers)
        return {name: values.take(picked) for name, values in self.members.items()}

    def encode(self, table: pa.Table) -> tuple[FieldValues, ...]:
        """Encode the rows' combinations (see `Unit`)."""
        return (CategoryValues(self.codes[self.locate(table)]),)

    def decode(self, fields: Sequence[np.ndarray], spare: Float64, rows: Mapping[str, pa.Array]) -> Rows:
        """Decode the members together (see `Unit`)."""
        number = self.encoder.decode(fields, spare)
        return {name: values.take(number) for name, values in self.members.items()}

    def state(self) -> tuple[Json, Arrays]:
        """Return the combinations and the encoder's state (see `Unit`)."""
        document, arrays = save_encoder(self.encoder)
        arrays = prefixed("encoder", arrays) | {"combinations": encode_table(self.combinations)}
        return {"unit": "composite", "encoder": document}, arrays

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> CompositeUnit:
        """Read what `state` wrote.

        Raises:
            BundleError: an encoder that does not number the combinations.
        """
        encoder = load_encoder(document["encoder"], unprefixed("encoder", arrays))
        combinations = decode_table(arrays["combinations"])
        if not isinstance(encoder, CategoryEncoder) or not np.array_equal(
            np.sort(encoder.levels.to_numpy()), np.arange(combinations.num_rows)
        ):
            raise BundleError(
                f"columns {combinations.column_names!r} have combinations without codes; "
                "fetch the bundle again"
            )
        return cls(combinations, encoder)


def _number_rows(table: pa.Table, combinations: pa.Table) -> Int64:
    """Return the number of each row's combination [N], -1 for one that is not there."""
    rows = np.zeros(table.num_rows, dtype=np.int64)
    keys = np.zeros(combinations.num_rows, dtype=np.int64)
    for name in combinations.column_names:
        members = one_chunk(combinations[name])
        levels = members.unique()
        found = pc.fill_null(pc.index_in(one_chunk(table[name]), value_set=levels), -1)
        own = pc.index_in(members, value_set=levels).to_numpy(zero_copy_only=False).astype(np.int64)
        position = found.to_numpy(zero_copy_only=False).astype(np.int64)
        rows = np.where((rows < 0) | (position < 0), -1, rows * len(levels) + position)
        # Re-coding after each column keeps the mixed-radix key far below 2^63.
        packed, keys = np.unique(keys * len(levels) + own, return_inverse=True)
        slot = np.minimum(np.searchsorted(packed, rows), packed.size - 1)
        rows = np.where(packed[slot] == rows, slot, -1)
    number = np.empty(keys.size, dtype=np.int64)
    number[keys] = np.arange(keys.size)
    return np.where(rows < 0, -1, number[rows])


def load_unit(document: Json, arrays: Mapping[str, np.ndarray]) -> Unit:
    """Read the state of any unit.

    Raises:
        BundleError: a unit of a kind that this version does not know.
    """
    match document["unit"]:
        case "column":
            return ColumnUnit.from_state(document, arrays)
        case "composite":
            return CompositeUnit.from_state(document, arrays)
        case "copy":
            return CopyUnit.from_state(document, arrays)
    raise BundleError(f"unknown unit {document['unit']!r}; use the version of fingan that wrote the bundle")


def copy_fields(units: Sequence[Unit]) -> tuple[CopyField, ...]:
    """Return what a generator needs to know of the copies, in decoding order."""
    found: list[CopyField] = []
    numbers: dict[str, tuple[int, ColumnEncoder]] = {}
    numeric = category = 0
    for unit in units:
        kinds = [spec.kind for spec in unit.fields]
        if isinstance(unit, CopyUnit):
            found.append(copy_field(unit, numeric, category, [numbers[name] for name in unit.sources]))
        if isinstance(unit, ColumnUnit | CopyUnit) and "numeric" in kinds:
            numbers[unit.encoder.column] = numeric, unit.encoder
        numeric += kinds.count("numeric")
        category += kinds.count("category")
    return tuple(found)
