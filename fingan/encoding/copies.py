"""Numeric columns that repeat another column in a share of the rows: a bill that is paid in full.

Letters: N rows, K sources, G grid points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import ndtr, ndtri

from fingan.encoding.base import (
    AnyArray,
    Arrays,
    CategoryValues,
    ColumnEncoder,
    FieldSpec,
    FieldValues,
    NumericValues,
    one_chunk,
)
from fingan.encoding.codec import decode_table, encode_table, load_encoder, prefixed, save_encoder, unprefixed
from fingan.encoding.layout import CopyField
from fingan.types import Bool, Float64, Int64, Json

GRID = 513
REACH = 4.0
_MARGIN = 1e-5


@dataclass(frozen=True, eq=False)
class CopyUnit:
    """A numeric column that repeats one of its sources in a share of the rows.

    The first field says which source is repeated (0: none), the second shows the value, own or
    repeated, on the scale of all rows.

    Attributes:
        encoder: of the column, fitted on all rows.
        sources: columns that it repeats.
        heavy: values whose agreement with a source is a coincidence.
        limits: smallest and largest training value, which a copy may not leave.
        relation: the first field.
    """

    encoder: ColumnEncoder
    sources: tuple[str, ...]
    heavy: pa.Array
    limits: pa.Array
    relation: FieldSpec

    @classmethod
    def fit(
        cls, table: pa.Table, encoder: ColumnEncoder, sources: tuple[str, ...], heavy: pa.Array
    ) -> CopyUnit:
        """Tie `encoder`, fitted on all rows, to its sources."""
        bounds = pc.min_max(table[encoder.column])
        limits = pa.concat_arrays([pa.repeat(bounds["min"], 1), pa.repeat(bounds["max"], 1)])
        counts = np.bincount(copied_from(table, encoder.column, sources, heavy), minlength=1 + len(sources))
        return cls(encoder, sources, heavy, limits, _relation(encoder.column, counts / counts.sum()))

    @property
    def columns(self) -> tuple[str, ...]:
        """The encoder's column."""
        return (self.encoder.column,)

    @property
    def fields(self) -> tuple[FieldSpec, ...]:
        """Which source is repeated, then the encoder's numeric field."""
        return (self.relation, *self.encoder.fields)

    def encode(self, table: pa.Table) -> tuple[FieldValues, ...]:
        """Encode the column beside its sources (see `Unit`)."""
        relations = copied_from(table, self.encoder.column, self.sources, self.heavy)
        return CategoryValues(relations.astype(np.int32)), *self.encoder.encode(table[self.encoder.column])

    def known(self, table: pa.Table) -> Bool:
        """Return True for every row (see `Unit`): a number can always be encoded."""
        return np.ones(table.num_rows, dtype=bool)

    def decode(
        self, fields: Sequence[np.ndarray], spare: Float64, rows: Mapping[str, pa.Array]
    ) -> dict[str, pa.Array]:
        """Decode the column (see `Unit`).

        A copy is its source's value where training rows may have one: in range, and not heavy.
        """
        column = self.encoder.decode(fields[1:], spare)
        for code, source in enumerate(self.sources, start=1):
            picked = fields[0] == code
            if picked.any():
                copied = rows[source]
                low, high = self.limits
                inside = pc.and_(pc.greater_equal(copied, low), pc.less_equal(copied, high))
                light = pc.invert(pc.is_in(copied, value_set=self.heavy))
                usable = pc.and_(pa.array(picked), pc.and_(pc.fill_null(inside, False), light))
                column = pc.if_else(usable, copied, column)
        return {self.encoder.column: column}

    def state(self) -> tuple[Json, Arrays]:
        """Return the encoder's state and what ties it (see `Unit`)."""
        document, arrays = save_encoder(self.encoder)
        arrays = prefixed("encoder", arrays)
        for name, values in (("limits", self.limits), ("heavy", self.heavy)):
            arrays[name] = encode_table(pa.table({"values": values}))
        arrays["shares"] = self.relation.frequencies
        return {"unit": "copy", "encoder": document, "sources": list(self.sources)}, arrays

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> CopyUnit:
        """Read what `state` wrote."""
        encoder = load_encoder(document["encoder"], unprefixed("encoder", arrays))
        limits, heavy = (one_chunk(decode_table(arrays[name])["values"]) for name in ("limits", "heavy"))
        relation = _relation(encoder.column, arrays["shares"])
        return cls(encoder, tuple(document["sources"]), heavy, limits, relation)


def _relation(column: str, shares: Float64) -> FieldSpec:
    return FieldSpec(f"{column} equals", "category", shares.size, shares, np.empty(0))


def _numbers(encoder: ColumnEncoder, values: AnyArray, *, clamp: bool = False) -> NumericValues:
    (numbers,) = encoder.encode(values, clamp=clamp)
    if not isinstance(numbers, NumericValues):
        raise TypeError(f"column {encoder.column!r} has no number to copy")
    return numbers


def copied_from(table: pa.Table, target: str, sources: Sequence[str], heavy: pa.Array) -> Int64:
    """Return which source (1 …) each row's target repeats, 0 for none [N].

    Agreement on a heavy value (both are zero) is a coincidence and counts as none.
    """
    column = one_chunk(table[target])
    light: Bool = ~pc.is_in(column, value_set=heavy).to_numpy(zero_copy_only=False)
    relations = np.zeros(table.num_rows, dtype=np.int64)
    for code, source in reversed(list(enumerate(sources, start=1))):
        equal = pc.fill_null(pc.equal(column, one_chunk(table[source])), False)
        relations[equal.to_numpy(zero_copy_only=False) & light] = code
    return relations


def copy_field(
    unit: CopyUnit, target: int, relation: int, sources: Sequence[tuple[int, ColumnEncoder]]
) -> CopyField:
    """Return what a generator needs to know of a unit.

    Args:
        unit: the unit.
        target, relation: its numeric and its categorical field.
        sources: numeric field and encoder of each source.
    """
    return CopyField(
        target=target,
        relation=relation,
        sources=tuple(field for field, _ in sources),
        scores=np.stack([_scores(unit, encoder) for _, encoder in sources]),
        reach=REACH,
        heavy=np.sort(_intervals(unit.encoder, unit.heavy), axis=1),
    )


def _intervals(encoder: ColumnEncoder, values: pa.Array) -> Float64:
    """Return where each value's interval of u begins and ends [2, V]."""
    numbers = _numbers(encoder, values)
    lower = numbers.lower.astype(np.float64)
    return np.stack([lower, lower + numbers.width])


def _scores(unit: CopyUnit, source: ColumnEncoder) -> Float64:
    """Return the column's scores [G] at the source's."""
    grid = ndtr(np.linspace(-REACH, REACH, GRID))
    values = source.decode([grid], grid[:, None])
    shown = _numbers(unit.encoder, values, clamp=True)
    middle = shown.lower.astype(np.float64) + 0.5 * shown.width
    scores: Float64 = ndtri(np.clip(middle, _MARGIN, 1.0 - _MARGIN))
    # What is not there cannot be copied; any place will do.
    return np.where(values.is_valid().to_numpy(zero_copy_only=False), scores, 0.0)
