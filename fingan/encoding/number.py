"""Numbers, integers and decimals: one field each, exact on the column's own lattice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pyarrow as pa

from fingan.data.survey import Tally
from fingan.encoding import exchange, lattice
from fingan.encoding.base import (
    AnyArray,
    Arrays,
    CategoryValues,
    ExactValues,
    FieldSpec,
    FieldValues,
    NumericIntervals,
    Values,
    arrow_type,
    missing_of,
    narrow,
    one_chunk,
)
from fingan.encoding.levels import CODES_AT_MOST, NumericLevels
from fingan.encoding.pieces import Pieces, repeats
from fingan.errors import DataError
from fingan.types import Bool, Float64, Int64, Json

__all__ = ["CODES_AT_MOST", "NumberEncoder"]


class NumberEncoder:
    """Encodes a column of integers, floats or decimals.

    Integers and decimals live on the lattice of their unscaled values; floats on the
    lattice of the fewest decimals (0 to 6) that reproduces them (some may be off by the
    rounding of arithmetic, which decoding then removes), or else in a continuous domain.
    At most 20 distinct values become one category field (a code for each value, and one
    for null); so do a constant column and one without any value, whose single code carries
    nothing. Otherwise there is one numeric field.

    Attributes:
        column: name of the column.
        kind: `number`, `integer` or `decimal`.
        type: Arrow type, kept by `decode`.
        decimals: power of ten of the lattice, None in a continuous domain.
        form: the distribution: `Pieces` (numeric field) or `NumericLevels` (category field).
    """

    def __init__(
        self, column: str, kind: str, arrow: pa.DataType, decimals: int | None, form: Pieces | NumericLevels
    ) -> None:
        self.column, self.kind, self.type = column, kind, arrow
        self.decimals, self.form = decimals, form
        if isinstance(form, Pieces):
            self.fields: tuple[FieldSpec, ...] = (FieldSpec.numeric(column, form.atom_edges()),)
        else:
            self.fields = (form.spec(column),)

    @classmethod
    def fit(cls, column: str, kind: str, array: AnyArray, tally: Tally | None = None) -> Self:
        """Learn the lattice and the distribution of a column.

        Args:
            column: name, for the fields and for errors.
            kind: `number`, `integer` or `decimal`.
            array: N training values of an integer, float or decimal type.
            tally: counts of all values, where `array` is only a sample of them.

        Raises:
            DataError: an unsupported type, an infinite value, integers or decimals beyond
                64 bits with sign, or fractions in a column of kind `integer`.
        """
        whole = one_chunk(array if tally is None else tally.values)
        values, missing, decimals = _learn_domain(column, whole)
        if kind == "integer" and decimals != 0:
            raise DataError(
                f"column {column!r} is of kind 'integer' but holds fractions; make it kind 'number'"
            )
        distinct, counts, nulls = _counted(values, missing, tally)
        few, rows = distinct.size <= CODES_AT_MOST, int(counts.sum()) + nulls
        if distinct.size <= 1 or (few and (decimals is not None or repeats(distinct.size, rows))):
            return cls(column, kind, whole.type, decimals, NumericLevels(distinct, counts, nulls))
        step = None if decimals is None else lattice.common_step(distinct)
        form = Pieces.from_counts(distinct, counts, nulls, lattice_step=step)
        return cls(column, kind, whole.type, decimals, form)

    def encode(self, array: AnyArray, *, clamp: bool = False) -> tuple[FieldValues, ...]:
        """Return the one field of each row, in single precision (see `ColumnEncoder`)."""
        return narrow(self.intervals(array, clamp=clamp))

    def intervals(self, array: AnyArray, *, clamp: bool = False) -> tuple[ExactValues, ...]:
        """Return the one field of each row, in double precision (see `ColumnEncoder`)."""
        whole = one_chunk(array)
        values, missing = self.domain(whole)
        try:
            if not clamp:
                self._check_range(whole, values, missing)
            if isinstance(self.form, NumericLevels):
                return (CategoryValues(self.form.codes(values, missing)),)
            return (NumericIntervals(*self.form.interval(values, missing, clamp=True)),)
        except DataError as error:
            raise DataError(f"column {self.column!r}: {error}") from None

    def decode(self, fields: Sequence[np.ndarray], spare: Float64) -> pa.Array:
        """Return the values of one field [B] in the column's type (see `ColumnEncoder`)."""
        if isinstance(self.form, NumericLevels):
            return self.arrow(*self.form.decode(fields[0]))
        return self.arrow(*self.form.quantile(fields[0]))

    def domain(self, array: AnyArray) -> tuple[Values, Bool]:
        """Return [N] lattice points (int64) or floats, and [N] missing flags."""
        whole = one_chunk(array)
        if pa.types.is_null(whole.type):
            whole = whole.cast(self.type)
        values, missing = _read(self.column, whole)
        if values.dtype == np.float64 and self.decimals is not None:
            values = lattice.to_lattice(np.where(missing, 0.0, values), self.decimals)
        return values, missing

    def arrow(self, values: Values, missing: Bool) -> pa.Array:
        """Return lattice points or floats [B] as an array of the column's type."""
        if pa.types.is_floating(self.type) and self.decimals is not None:
            values = lattice.from_lattice(values, self.decimals)
        return exchange.to_arrow(values, missing, self.type)

    def state(self) -> tuple[Json, Arrays]:
        """Return the JSON object and arrays that `from_state` takes."""
        inner, arrays = self.form.state()
        form = "levels" if isinstance(self.form, NumericLevels) else "pieces"
        document = {"column": self.column, "kind": self.kind, "type": str(self.type)}
        return document | {"decimals": self.decimals, "form": form, form: inner}, arrays

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from `state`."""
        form: Pieces | NumericLevels
        if document["form"] == "levels":
            form = NumericLevels.from_state(document["levels"], arrays)
        else:
            form = Pieces.from_state(document["pieces"], arrays)
        return cls(
            document["column"], document["kind"], arrow_type(document["type"]), document["decimals"], form
        )

    def _check_range(self, given: pa.Array, values: Values, missing: Bool) -> None:
        known = self.form.values if isinstance(self.form, NumericLevels) else self.form.low
        if not known.size:
            return
        low, high = known[0], (known if isinstance(self.form, NumericLevels) else self.form.high)[-1]
        ends = self.arrow(np.stack([low, high]), np.zeros(2, dtype=bool))
        slack: Values | int = 0
        if self.decimals is not None and pa.types.is_floating(self.type):
            # As they are, since what rounds to an end may lie outside; the rounding of arithmetic does not.
            values, (low, high) = (exchange.floats_from(self.column, whole)[0] for whole in (given, ends))
            slack = lattice.ROUNDING * np.abs(values)
        bad = np.flatnonzero(~missing & ((values < low - slack) | (values > high + slack)))
        if bad.size:
            first, (low, high) = given[bad[0].item()].as_py(), ends.to_pylist()
            raise DataError(
                f"{first!r} lies outside the training range [{low!r}, {high!r}]; "
                "clamp it or train with such rows"
            )


def _read(column: str, array: pa.Array) -> tuple[Values, Bool]:
    """Return [N] int64 (integers, unscaled decimals) or float64, and [N] missing flags."""
    if pa.types.is_integer(array.type):
        return exchange.integers_from(column, array), missing_of(array)
    if pa.types.is_decimal(array.type):
        return exchange.unscaled_from(column, array), missing_of(array)
    if pa.types.is_floating(array.type):
        return exchange.floats_from(column, array)
    raise DataError(
        f"column {column!r} has type {array.type}, not a number; make it kind 'category' or cast it"
    )


def _counted(values: Values, missing: Bool, tally: Tally | None) -> tuple[Values, Int64, int]:
    """Return distinct values, ascending, their counts, and the number of nulls."""
    if tally is None:
        distinct, counts = np.unique(values[~missing], return_counts=True)
        return distinct, counts, int(missing.sum())
    # Values of the tally may have fallen together on their way to the lattice.
    distinct, place = np.unique(values, return_inverse=True)
    counts = np.zeros(distinct.size, dtype=np.int64)
    np.add.at(counts, place, tally.counts)
    return distinct, counts, tally.nulls


def _learn_domain(column: str, array: pa.Array) -> tuple[Values, Bool, int | None]:
    """Return values, missing flags and the decimals of the lattice (None: continuous)."""
    values, missing = _read(column, array)
    if values.dtype == np.int64:
        return values, missing, 0
    single = not pa.types.is_float64(array.type)
    decimals = lattice.decimals_of(values[~missing], single)
    if decimals is None:
        return values, missing, None
    return lattice.to_lattice(np.where(missing, 0.0, values), decimals), missing, decimals
