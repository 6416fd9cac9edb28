"""Categories and booleans: one field of codes, in bounded width for any number of levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.data.survey import Tally
from fingan.encoding.base import (
    AnyArray,
    Arrays,
    CategoryValues,
    FieldSpec,
    arrow_type,
    missing_of,
    one_chunk,
)
from fingan.encoding.grouping import balanced_groups, mean_profiles
from fingan.encoding.guide import Guide
from fingan.errors import BundleError, DataError, nearest
from fingan.types import Bool, Float32, Float64, Int32, Int64, Json

WIDTH_CAP = 128
_ALONE = 64
_DEPTH = 6
_SHOWN = 1000


class CategoryEncoder:
    """Encodes a column of levels as one category field.

    Up to 128 levels have a code each, the most frequent first. Above, the 64 most frequent
    have a code each and the others share 64 codes: groups of about equal mass whose rows
    look alike in the other columns (or whose frequencies are alike, without a profile);
    decoding draws a member of the group by its frequency. Null, where seen, is the last
    code. A column that is all null, or constant, has a single code that carries nothing.

    Args:
        column: name of the column.
        kind: `category` or `boolean`.
        levels: [L] distinct values without null, those of a code next to each other.
        counts: [L] training rows of each level.
        code: [L] code of each level, ascending.
        missing: training rows that are null.
    """

    def __init__(
        self, column: str, kind: str, levels: pa.Array, counts: Int64, code: Int32, missing: int
    ) -> None:
        self.column, self.kind, self.type = column, kind, levels.type
        self.levels, self.counts, self.code, self.missing = levels, counts, code, missing
        codes = np.append(code, np.full(int(missing > 0), _width(code), dtype=np.int32))
        weights = np.append(counts, np.full(int(missing > 0), missing, dtype=np.int64))
        self.fields: tuple[FieldSpec, ...] = (FieldSpec.category(column, np.bincount(codes, weights)),)
        self._values = pa.concat_arrays([levels, pa.nulls(int(missing > 0), levels.type)])
        self._null_code = int(codes[-1])
        edges = np.append(0, np.cumsum(weights)) / weights.sum()
        self._first = np.searchsorted(codes, np.arange(codes[-1] + 1))
        self._last = np.append(self._first[1:], codes.size) - 1
        self._start, self._end = edges[self._first], edges[self._last + 1]
        self._guide = Guide(edges[1:])
        self._grouped = codes.size > codes[-1] + 1

    @classmethod
    def fit(
        cls,
        column: str,
        kind: str,
        array: AnyArray,
        *,
        profile: Float32 | None = None,
        tally: Tally | None = None,
    ) -> Self:
        """Learn the levels of a column and, where they are many, their groups.

        Args:
            column: name, for the field and for errors.
            kind: `category` or `boolean`.
            array: N training values: text, booleans, numbers, dates or timestamps.
            profile: [N, P] features of the rows, by which many levels are grouped.
            tally: counts of all values, where `array` is only a sample of them.

        Raises:
            DataError: a type that has no levels, such as lists or bytes.
        """
        whole = one_chunk(array)
        encoded = _dictionary(column, whole)
        levels = encoded.dictionary if tally is None else tally.values
        indices = encoded.indices if tally is None else pc.index_in(whole, value_set=levels)
        index = indices.fill_null(len(levels)).to_numpy(zero_copy_only=False).astype(np.int64)
        rows = np.bincount(index, minlength=len(levels) + 1)
        counts, missing = (rows[:-1], int(rows[-1])) if tally is None else (tally.counts, tally.nulls)
        # By value first, so that the codes do not depend on the order of the rows.
        order = pc.sort_indices(levels).to_numpy().astype(np.int64)
        order = order[np.argsort(-counts[order], kind="stable")]
        code = np.arange(len(levels), dtype=np.int32)
        if len(levels) > WIDTH_CAP:
            order, code = _group(order, index, counts, profile)
        return cls(column, kind, levels.take(pa.array(order)), counts[order], code, missing)

    def encode(self, array: AnyArray, *, clamp: bool = False) -> tuple[CategoryValues, ...]:
        """Return the codes of each row (see `ColumnEncoder`); `clamp` turns an unseen level
        into the most frequent one."""
        return (CategoryValues(self.codes_of(array, clamp=clamp)),)

    def intervals(self, array: AnyArray, *, clamp: bool = False) -> tuple[CategoryValues, ...]:
        """Return the codes of each row: the same as `encode`."""
        return self.encode(array, clamp=clamp)

    def codes_of(self, values: AnyArray, *, clamp: bool = False) -> Int32:
        """Return [N] the code of each value.

        Raises:
            DataError: a level, or a null, that the training rows do not have.
        """
        whole = one_chunk(values)
        whole = whole if whole.type == self.type else whole.cast(self.type)
        nulls = missing_of(whole)
        if nulls.any() and not self.missing:
            raise DataError(
                f"column {self.column!r}: a missing value, but the training rows have none; "
                "fill it or train with nulls"
            )
        level = pc.index_in(whole, value_set=self.levels).fill_null(-1).to_numpy(zero_copy_only=False)
        unseen = np.flatnonzero((level < 0) & ~nulls)
        if unseen.size and not (clamp and len(self.levels)):
            raise DataError(self._unseen(whole[unseen[0].item()].as_py()))
        if not len(self.levels):
            return np.zeros(len(whole), dtype=np.int32)
        level = np.where(level < 0, int(np.argmax(self.counts)), level)
        return np.where(nulls, self._null_code, self.code[level]).astype(np.int32)

    def known(self, values: AnyArray) -> Bool:
        """Return which values [N] have a code."""
        whole = one_chunk(values)
        seen: Bool = pc.is_in(whole, value_set=self.levels).to_numpy(zero_copy_only=False)
        return seen | missing_of(whole) if self.missing else seen

    def decode(self, fields: Sequence[np.ndarray], spare: Float64) -> pa.Array:
        """Return the levels of codes [B]; `spare` chooses inside a group (see `ColumnEncoder`)."""
        codes = fields[0]
        level = self._first[codes]
        if self._grouped:
            rows = np.flatnonzero(self._last[codes] > level)
            own = codes[rows]
            start, end = self._start[own], self._end[own]
            drawn = self._guide.find(start + spare[rows] * (end - start))
            level[rows] = np.clip(drawn, self._first[own], self._last[own])
        return self._values.take(pa.array(level))

    def state(self) -> tuple[Json, Arrays]:
        """Return the JSON object and arrays that `from_state` takes."""
        document = {"column": self.column, "kind": self.kind, "type": str(self.type), "missing": self.missing}
        levels = _as_text(self.levels).to_pylist()
        return document | {"levels": levels}, {"counts": self.counts, "code": self.code}

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from `state`.

        Raises:
            BundleError: levels without a code each, or codes that leave some out.
        """
        levels = _from_text(pa.array(document["levels"], pa.string()), arrow_type(document["type"]))
        missing, counts, code = int(document["missing"]), arrays["counts"], arrays["code"]
        steps = np.diff(code, prepend=code[:1])
        if counts.shape != (len(levels),) or code.shape != counts.shape or code[:1].any():
            raise BundleError(f"column {document['column']!r} has not one code for each level")
        if ((steps < 0) | (steps > 1)).any():
            raise BundleError(f"column {document['column']!r} has codes that leave some out")
        return cls(document["column"], document["kind"], levels, counts, code, missing)

    def _unseen(self, value: object) -> str:
        shown = [str(level) for level in self.levels.slice(0, _SHOWN).to_pylist()]
        return (
            f"column {self.column!r}: {value!r} is not among the {len(self.levels)} levels seen in training;"
            f" use one of them or train with such rows.{nearest(str(value), shown)}"
        )


def _width(code: Int32) -> int:
    """Return the number of codes that levels use."""
    return int(code[-1]) + 1 if code.size else 0


def _group(order: Int64, index: Int64, counts: Int64, profile: Float32 | None) -> tuple[Int64, Int32]:
    """Return the levels in the order of their codes, and their codes, for more than 128 levels."""
    alone, rare = order[:_ALONE], order[_ALONE:]
    place = np.full(counts.size + 1, -1)
    place[rare] = np.arange(rare.size)
    if profile is None:
        features = np.log(counts[rare].astype(np.float64))[:, None]
    else:
        features = mean_profiles(place[index], counts[rare], profile)
    groups = balanced_groups(features, counts[rare], _DEPTH)
    members = np.concatenate([alone, *(rare[g] for g in groups)])
    sizes = np.array([1] * _ALONE + [g.size for g in groups])
    return members, np.repeat(np.arange(sizes.size, dtype=np.int32), sizes)


def _dictionary(column: str, array: pa.Array) -> pa.DictionaryArray:
    """Return the array as codes and distinct values, a type without levels refused."""
    if pa.types.is_null(array.type):
        array = array.cast(pa.string())
    if (
        pa.types.is_nested(array.type)
        or pa.types.is_binary(array.type)
        or pa.types.is_large_binary(array.type)
    ):
        raise DataError(f"column {column!r} of type {array.type} has no levels; cast it to text or drop it")
    return array.dictionary_encode()


def _as_text(levels: pa.Array) -> pa.Array:
    """Return levels as text that `_from_text` reads back exactly."""
    if pa.types.is_temporal(levels.type):
        levels = levels.cast(pa.int32() if pa.types.is_date32(levels.type) else pa.int64())
    return levels.cast(pa.string())


def _from_text(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the levels of a type from their text."""
    if pa.types.is_temporal(kind):
        return text.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64()).cast(kind)
    return text.cast(kind)
