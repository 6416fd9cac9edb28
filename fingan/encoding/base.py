"""What every column encoder gives and takes: fields, their values, one protocol.

A column becomes zero or more *fields*. A numeric field is a position u in [0, 1]
of the column's own distribution (the distributional transform: each row owns an
interval of u, from which a point is drawn anew whenever the row is used); a
category field is an integer code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias

import numpy as np
import pyarrow as pa

from fingan.types import Bool, Float32, Float64, Int32, Json

FieldKind = Literal["numeric", "category"]
Arrays = dict[str, np.ndarray]
AnyArray: TypeAlias = "pa.Array | pa.ChunkedArray"
Values: TypeAlias = np.ndarray
"""int64 (points of a lattice) or float64 (a continuous domain)."""
EDGE_MASS = 0.02


@dataclass(frozen=True, eq=False)
class FieldSpec:
    """One field of a column.

    Attributes:
        name: the column's name, with `:part` appended where a column has several fields.
        kind: `numeric` or `category`.
        width: 1 for numeric, the number of codes for category.
        frequencies: [width] training share of each code; empty for numeric.
        edges: ascending u-positions, inside (0, 1), where an atom of at least 2 % mass
            begins or ends; empty for category.
    """

    name: str
    kind: FieldKind
    width: int
    frequencies: Float64
    edges: Float64

    @classmethod
    def numeric(cls, name: str, edges: Float64) -> Self:
        """Return the specification of a numeric field."""
        return cls(name, "numeric", 1, np.empty(0), edges)

    @classmethod
    def category(cls, name: str, counts: np.ndarray) -> Self:
        """Return the specification of a category field from its training counts [width]."""
        return cls(name, "category", len(counts), counts / counts.sum(), np.empty(0))


@dataclass(frozen=True, eq=False)
class NumericValues:
    """A numeric field of N rows: u is drawn as `lower + V * width`, V uniform in [0, 1)."""

    lower: Float32
    width: Float32


@dataclass(frozen=True, eq=False)
class NumericIntervals:
    """`NumericValues` before they are rounded to single precision."""

    lower: Float64
    width: Float64

    def narrow(self) -> NumericValues:
        """Return the same intervals in single precision."""
        return NumericValues(self.lower.astype(np.float32), self.width.astype(np.float32))


@dataclass(frozen=True, eq=False)
class CategoryValues:
    """A category field of N rows: one code each, in [0, width)."""

    codes: Int32


FieldValues = NumericValues | CategoryValues
ExactValues = NumericIntervals | CategoryValues


class ColumnEncoder(Protocol):
    """Maps one column to its fields and back."""

    column: str
    fields: tuple[FieldSpec, ...]

    def encode(self, array: AnyArray, *, clamp: bool = False) -> tuple[FieldValues, ...]:
        """Return the values of each field, in the order of `fields`.

        Args:
            array: N values of the column's Arrow type.
            clamp: move values outside the training range (or unseen levels) to the nearest
                that can be encoded, instead of refusing them.

        Raises:
            DataError: a value that cannot be encoded; the message names column and value.
        """
        ...

    def intervals(self, array: AnyArray, *, clamp: bool = False) -> tuple[ExactValues, ...]:
        """Return what `encode` does with the numeric fields in double precision."""
        ...

    def decode(self, fields: Sequence[np.ndarray], spare: Float64) -> pa.Array:
        """Return B values of the column's Arrow type, each a function of its own row alone.

        Args:
            fields: one array [B] for each field: u in [0, 1] (float64) or codes (integer).
            spare: [B] uniform in [0, 1), for draws inside a group of levels.
        """
        ...

    def state(self) -> tuple[Json, Arrays]:
        """Return everything `from_state` needs: a JSON object and arrays of numeric dtype."""
        ...

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild the encoder that gave this state."""
        ...


def narrow(values: Sequence[ExactValues]) -> tuple[FieldValues, ...]:
    """Return field values with the numeric ones rounded to single precision."""
    return tuple(v.narrow() if isinstance(v, NumericIntervals) else v for v in values)


def one_chunk(array: AnyArray) -> pa.Array:
    """Return the array in one piece, dictionaries decoded to their values."""
    whole = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    return whole.dictionary_decode() if pa.types.is_dictionary(whole.type) else whole


def missing_of(array: pa.Array) -> Bool:
    """Return [N] True where the array is null."""
    if array.null_count == 0:
        return np.zeros(len(array), dtype=bool)
    missing: Bool = array.is_null().to_numpy(zero_copy_only=False)
    return missing


def arrow_type(text: str) -> pa.DataType:
    """Return the Arrow type that prints as `text`, for the types an encoder may hold."""
    if found := re.fullmatch(r"timestamp\[(s|ms|us|ns)(?:, tz=(.+))?\]", text):
        return pa.timestamp(found[1], found[2])
    if found := re.fullmatch(r"decimal(32|64|128|256)\((\d+), (-?\d+)\)", text):
        make = {"32": pa.decimal32, "64": pa.decimal64, "128": pa.decimal128, "256": pa.decimal256}
        return make[found[1]](int(found[2]), int(found[3]))
    plain = {"date32[day]": "date32", "date64[ms]": "date64"}
    return pa.type_for_alias(plain.get(text, text))
