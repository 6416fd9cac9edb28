"""Identifiers: never learned, made anew from the row's number, unique by construction.

What is kept of the training values is a format: how long, which kinds of characters
where, how large. No value is stored, and no bound that is one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.encoding.base import AnyArray, Arrays, FieldSpec, FieldValues, arrow_type, missing_of, one_chunk
from fingan.encoding.exchange import integers_from, to_arrow
from fingan.errors import DataError
from fingan.rng import key as derive
from fingan.rng import permute
from fingan.types import Bool, Int64, Json

_LONGEST = 64
_FEWEST = 20
_DOMAIN = 1 << 62
_HEADROOM = 10
_DIGITS = "0123456789"
_LOWER = "abcdefghijklmnopqrstuvwxyz"
_HEX = "0123456789abcdef"
_VARIANT = "89ab"
_ASCII = 127
_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
# Narrowest first: a position's alphabet is the first that holds all its characters.
_ALPHABETS = (
    _DIGITS,
    _VARIANT,
    _VARIANT.upper(),
    _HEX,
    _HEX.upper(),
    _LOWER,
    _LOWER.upper(),
    _DIGITS + _LOWER,
    _DIGITS + _LOWER.upper(),
    _LOWER + _LOWER.upper(),
    _DIGITS + _LOWER + _LOWER.upper(),
)


_DIGIT_BYTES = np.frombuffer(_DIGITS.encode(), dtype=np.uint8)


class IdentifierEncoder:
    """Makes the values of an identifier column; it has no fields.

    Integers lie above the training maximum rounded up to two digits, at first among those
    of as many digits; where the type leaves no room there, anywhere in the type's range.
    Text follows the training format: each position a constant character or an alphabet,
    when all values have one length of at most 64 characters and there are at least 20 of
    them; zeros that pad a number give way to digits when the rest is used up. UUIDs are
    random UUIDs; any other text becomes `<column>-` and 16 hexadecimal digits. Null occurs
    at its training share.

    Args:
        column: name of the column.
        kind: `identifier`.
        arrow: Arrow type of the generated values, integer or text.
        tiers: sizes of the ranges that are filled one after the other.
        start: the least integer.
        alphabets: characters of each position of a text; empty for integers.
        padding: positions of the zeros that pad a number.
        nulls: share of null.
    """

    fields: tuple[FieldSpec, ...] = ()

    def __init__(
        self,
        column: str,
        kind: str,
        arrow: pa.DataType,
        *,
        tiers: Sequence[int],
        start: int,
        alphabets: Sequence[str],
        padding: Sequence[int],
        nulls: float,
    ) -> None:
        self.column, self.kind, self.type = column, kind, arrow
        self._tiers, self._start, self._nulls = tuple(tiers), start, nulls
        self._alphabets, self._padding = tuple(alphabets), tuple(padding)
        self._letters = [letters for alphabet in alphabets for letters in _bytes_of(alphabet)]

    @property
    def capacity(self) -> int:
        """Number of rows that have an identifier of their own."""
        return sum(self._tiers)

    @classmethod
    def fit(cls, column: str, kind: str, array: AnyArray) -> Self:
        """Learn the format of a column.

        Args:
            column: name, for errors and for the default format.
            kind: `identifier`.
            array: N training values, integers or text.

        Raises:
            DataError: another type.
        """
        whole = one_chunk(array)
        nulls = whole.null_count / max(len(whole), 1)
        if pa.types.is_null(whole.type):
            whole = whole.cast(pa.string())
        if pa.types.is_integer(whole.type):
            start, tiers = _integer_range(integers_from(column, whole)[~missing_of(whole)], whole.type)
            return cls(
                column, kind, whole.type, tiers=tiers, start=start, alphabets=(), padding=(), nulls=nulls
            )
        if not pa.types.is_string(whole.type):
            raise DataError(
                f"column {column!r} of type {whole.type} cannot be an identifier; "
                "cast it to text or integer, or give it another kind"
            )
        alphabets = _text_format(whole.drop_null())
        if not alphabets:
            alphabets = [*column, "-", *[_HEX] * 16]
        near = min(math.prod(map(len, alphabets)), _DOMAIN)
        padding = _padding(alphabets)
        rest = min(near * 10 ** len(padding), _DOMAIN) - near
        return cls(
            column,
            kind,
            whole.type,
            tiers=(near, rest),
            start=0,
            alphabets=alphabets,
            padding=padding,
            nulls=nulls,
        )

    def encode(self, array: AnyArray, *, clamp: bool = False) -> tuple[FieldValues, ...]:
        """Return no field: identifiers are not learned."""
        return ()

    def generate(self, row_index: Int64, key: int) -> pa.Array:
        """Return [B] identifiers, distinct for distinct rows under one key.

        Args:
            row_index: [B] numbers of the rows, each >= 0.
            key: 64-bit key of the table that is generated.

        Raises:
            DataError: more rows than the format has values.
        """
        rows = np.asarray(row_index, dtype=np.int64)
        if rows.size and (rows.min() < 0 or rows.max() >= self.capacity):
            raise DataError(
                f"column {self.column!r}: row {rows.max()} is beyond the {self.capacity} values of its "
                "format; generate fewer rows, or train with longer identifiers"
            )
        missing = np.zeros(rows.size, dtype=bool)
        if self._nulls:
            missing = permute(rows, _DOMAIN, derive(key, f"null {self.column}")) < self._nulls * _DOMAIN
        drawn = self._drawn(rows, key)
        if not self._alphabets:
            return to_arrow(drawn + self._start, missing, self.type)
        return self._texts(rows, drawn, key, missing)

    def state(self) -> tuple[Json, Arrays]:
        """Return the JSON object and arrays that `from_state` takes."""
        document = {"column": self.column, "kind": self.kind, "type": str(self.type), "nulls": self._nulls}
        document |= {"tiers": list(self._tiers), "start": self._start}
        return document | {"alphabets": list(self._alphabets), "padding": list(self._padding)}, {}

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from `state`."""
        rest = {name: document[name] for name in ("tiers", "start", "alphabets", "padding", "nulls")}
        return cls(document["column"], document["kind"], arrow_type(document["type"]), **rest)

    def _drawn(self, rows: Int64, key: int) -> Int64:
        """Return [B] distinct numbers in [0, capacity): each tier permuted within itself."""
        drawn, base = rows.copy(), 0
        for number, size in enumerate(self._tiers):
            inside = (rows >= base) & (rows < base + size)
            if inside.any():
                tier_key = derive(key, f"identifier {self.column}", number)
                drawn[inside] = base + permute(rows[inside] - base, size, tier_key)
            base += size
        return drawn

    def _texts(self, rows: Int64, drawn: Int64, key: int, missing: Bool) -> pa.Array:
        """Return texts [B]: positions from the end spell `drawn`, random letters fill what is left."""
        bytes_LB = np.empty((len(self._letters), rows.size), dtype=np.uint8)
        spelled, fillers = 1, 0
        source, left = drawn, self.capacity
        backwards = range(len(self._letters) - 1, -1, -1)
        for position in sorted(backwards, key=lambda p: p in self._padding):
            letters = _DIGIT_BYTES if position in self._padding else self._letters[position]
            if spelled >= left:
                source, left, spelled = (
                    permute(rows, _DOMAIN, derive(key, f"filler {self.column}", fillers)),
                    _DOMAIN,
                    1,
                )
                fillers += 1
            source, digit = np.divmod(source, letters.size)
            bytes_LB[position] = letters[digit]
            spelled *= letters.size
        offsets = np.arange(rows.size + 1, dtype=np.int32) * np.int32(len(self._letters))
        present = pa.array(~missing).buffers()[1] if missing.any() else None
        data = pa.py_buffer(np.ascontiguousarray(bytes_LB.T))
        return pa.Array.from_buffers(self.type, rows.size, [present, pa.py_buffer(offsets), data])


def _integer_range(values: Int64, kind: pa.DataType) -> tuple[int, tuple[int, ...]]:
    """Return the least identifier and the sizes of the ranges to fill (see the class)."""
    limits = np.iinfo(kind.to_pandas_dtype())
    highest = min(int(limits.max), np.iinfo(np.int64).max)
    largest = max(int(values.max()), 0) if values.size else 0
    # Rounded, so that the bundle does not hold the maximum.
    unit = 10 ** max(len(str(largest)) - 2, 0)
    start = (largest // unit + 1) * unit
    room = min(highest - start + 1, _DOMAIN)
    if room >= _HEADROOM * values.size:
        near = min(10 ** len(str(start)) - start, room)
        return start, (near, room - near)
    lowest = int(limits.min) if (values < 0).any() else 0
    return lowest, (min(highest - lowest + 1, _DOMAIN),)


def _text_format(values: pa.Array) -> list[str]:
    """Return the alphabet of each position, or nothing where the values share no format."""
    for template in (_UUID, _UUID.replace("a-f", "A-F")):
        if len(values) and pc.all(pc.match_substring_regex(values, template)).as_py():
            digits = _HEX if template == _UUID else _HEX.upper()
            variant = _VARIANT if template == _UUID else _VARIANT.upper()
            groups = [
                [digits] * 8,
                [digits] * 4,
                ["4", *[digits] * 3],
                [variant, *[digits] * 3],
                [digits] * 12,
            ]
            return [*groups[0], *(a for group in groups[1:] for a in ("-", *group))]
    lengths = pc.min_max(pc.binary_length(values)).as_py()
    length = lengths["min"]
    if len(values) < _FEWEST or length != lengths["max"] or not 0 < length <= _LONGEST:
        return []
    offsets = np.frombuffer(values.buffers()[1], dtype=np.int32)[values.offset :]
    data = np.frombuffer(values.buffers()[2], dtype=np.uint8)[offsets[0] :]
    matrix = data[: len(values) * length].reshape(-1, length)
    alphabets = [_alphabet(np.flatnonzero(np.bincount(matrix[:, j]))) for j in range(length)]
    return [] if None in alphabets else [a for a in alphabets if a is not None]


def _alphabet(seen: Int64) -> str | None:
    """Return the constant or the narrowest alphabet of the bytes seen at a position, None without one."""
    if seen[-1] > _ASCII:
        return None
    letters = "".join(map(chr, seen))
    if len(letters) == 1:
        return letters
    return next((a for a in _ALPHABETS if set(letters) <= set(a)), None)


def _padding(alphabets: Sequence[str]) -> list[int]:
    """Return the positions of constant zeros that lead a run of digits."""
    found: list[int] = []
    for position in range(len(alphabets) - 2, -1, -1):
        leads = alphabets[position + 1] == _DIGITS or position + 1 in found
        if alphabets[position] == "0" and leads:
            found.append(position)
    return found


def _bytes_of(alphabet: str) -> list[np.ndarray]:
    """Return the bytes that may stand at a position: those of a constant one after the other."""
    encoded = np.frombuffer(alphabet.encode(), dtype=np.uint8)
    return [encoded] if len(alphabet) > 1 else list(encoded[:, None])
