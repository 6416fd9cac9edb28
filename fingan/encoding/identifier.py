"""Identifiers: never learned, made anew from the row's number, unique by construction.

What is kept of the training values is a format: how long, which kinds of characters
where, how large. No value is stored, and no bound that is one. New values are told from
training ones by a number above all of theirs, or, without room for one, by chance.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.encoding.base import AnyArray, Arrays, FieldSpec, FieldValues, arrow_type, missing_of, one_chunk
from fingan.encoding.exchange import integers_from, to_arrow
from fingan.errors import BundleError, DataError
from fingan.rng import key as derive
from fingan.rng import permute
from fingan.types import Bool, Int64, Json, UInt8

_LONGEST = 64
_FEWEST = 20
_DOMAIN = 1 << 62
_HEADROOM = 10
# As many texts of a format as this for each training one: a random text is one with a chance of 1e-9.
_RARE = 10**9
_COUNTED = 18
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


@dataclass(frozen=True)
class _Numbers:
    """The numbers that tell identifiers apart: `tiers` are filled one after the other, from `start` up."""

    start: int
    tiers: tuple[int, ...]


_ANY = _Numbers(0, (1,))
_NOWHERE = (0, 0)


class IdentifierEncoder:
    """Makes the values of an identifier column; it has no fields.

    Integers lie above the training maximum rounded up to two digits, at first among those
    of as many digits; where the type leaves no room there, anywhere in the type's range.
    Text follows the training format: each position a constant character or an alphabet,
    when all values have one length of at most 64 characters and there are at least 20 of
    them. If few texts of the format are training ones (1 in 10^9), any may occur; else its
    last block of digits counts on as integers do, in up to 18 digits. UUIDs are random
    UUIDs; any other text, also of a format without room for new values, becomes `<column>-`
    and 16 hexadecimal digits. Null occurs at its training share.

    Args:
        column: name of the column.
        kind: `identifier`.
        arrow: Arrow type of the generated values, integer or text.
        tiers: sizes of the ranges of numbers that are filled one after the other.
        start: the least number.
        alphabets: characters of each position of a text; empty for integers.
        number: the position where a text's number begins, and its digits; 0 digits without one.
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
        number: Sequence[int],
        nulls: float,
    ) -> None:
        self.column, self.kind, self.type = column, kind, arrow
        self._tiers, self._start, self._nulls = tuple(tiers), start, nulls
        self._alphabets, (self._first, self._digits) = tuple(alphabets), number
        self._letters = [letters for alphabet in alphabets for letters in _bytes_of(alphabet)]
        spelt = math.prod(self._letters[p].size for p in self._lettered())
        # Texts that share a number.
        self._width = min(spelt, _DOMAIN // sum(self._tiers))

    @property
    def capacity(self) -> int:
        """Number of rows that have an identifier of their own."""
        return sum(self._tiers) * self._width

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
            values = integers_from(column, whole)[~missing_of(whole)]
            numbers, number = _integer_range(values, whole.type), _NOWHERE
            alphabets: list[str] = []
        elif pa.types.is_string(whole.type):
            numbers, alphabets, number = _text_format(column, whole.drop_null())
        else:
            raise DataError(
                f"column {column!r} of type {whole.type} cannot be an identifier; "
                "cast it to text or integer, or give it another kind"
            )
        return cls(
            column,
            kind,
            whole.type,
            tiers=numbers.tiers,
            start=numbers.start,
            alphabets=alphabets,
            number=number,
            nulls=nulls,
        )

    def encode(self, array: AnyArray, *, clamp: bool = False) -> tuple[FieldValues, ...]:
        """Return no field: identifiers are not learned."""
        return ()

    def generate(self, row_index: Int64, key: int, nulls: bool = True) -> pa.Array:
        """Return [B] identifiers, distinct for distinct rows under one key.

        Args:
            row_index: [B] numbers of the rows, each >= 0.
            key: 64-bit key of the table that is generated.
            nulls: whether null occurs; the identifiers of the other rows do not depend on it.

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
        if nulls and self._nulls:
            missing = permute(rows, _DOMAIN, derive(key, f"null {self.column}")) < self._nulls * _DOMAIN
        drawn = self._drawn(rows, key)
        if not self._alphabets:
            return to_arrow(drawn + self._start, missing, self.type)
        return self._texts(rows, drawn, key, missing)

    def state(self) -> tuple[Json, Arrays]:
        """Return the JSON object and arrays that `from_state` takes."""
        document = {"column": self.column, "kind": self.kind, "type": str(self.type), "nulls": self._nulls}
        document |= {"tiers": list(self._tiers), "start": self._start}
        return document | {"alphabets": list(self._alphabets), "number": [self._first, self._digits]}, {}

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from `state`.

        Raises:
            BundleError: a state of a version whose texts could be training ones.
        """
        if document["alphabets"] and "padding" in document:
            raise BundleError(
                f"column {document['column']!r}: the identifiers are of an older version of fingan, "
                "which could repeat training ones; train anew"
            )
        rest = {name: document[name] for name in ("tiers", "start", "alphabets", "nulls")}
        rest["number"] = document.get("number", _NOWHERE)
        return cls(document["column"], document["kind"], arrow_type(document["type"]), **rest)

    def _drawn(self, rows: Int64, key: int) -> Int64:
        """Return [B] distinct numbers in [0, capacity): each tier permuted within itself."""
        drawn, base = rows.copy(), 0
        for number, size in enumerate(tier * self._width for tier in self._tiers):
            inside = (rows >= base) & (rows < base + size)
            if inside.any():
                tier_key = derive(key, f"identifier {self.column}", number)
                drawn[inside] = base + permute(rows[inside] - base, size, tier_key)
            base += size
        return drawn

    def _lettered(self) -> Iterator[int]:
        """Yield the positions of a text outside its number, from the end."""
        number = range(self._first, self._first + self._digits)
        return (p for p in range(len(self._letters) - 1, -1, -1) if p not in number)

    def _texts(self, rows: Int64, drawn: Int64, key: int, missing: Bool) -> pa.Array:
        """Return texts [B]: `drawn` is spelled as a number and letters, random ones fill what is left."""
        bytes_LB = np.empty((len(self._letters), rows.size), dtype=np.uint8)
        number, source = np.divmod(drawn, self._width)
        number += self._start
        for position in range(self._first + self._digits - 1, self._first - 1, -1):
            number, digit = np.divmod(number, 10)
            bytes_LB[position] = ord("0") + digit
        left, spelled, fillers = self._width, 1, 0
        for position in self._lettered():
            letters = self._letters[position]
            if spelled >= left:
                source = permute(rows, _DOMAIN, derive(key, f"filler {self.column}", fillers))
                left, spelled, fillers = _DOMAIN, 1, fillers + 1
            source, digit = np.divmod(source, letters.size)
            bytes_LB[position] = letters[digit]
            spelled *= letters.size
        offsets = np.arange(rows.size + 1, dtype=np.int32) * np.int32(len(self._letters))
        present = pa.array(~missing).buffers()[1] if missing.any() else None
        data = pa.py_buffer(np.ascontiguousarray(bytes_LB.T))
        return pa.Array.from_buffers(self.type, rows.size, [present, pa.py_buffer(offsets), data])


def _above(largest: int, highest: int, fewest: int) -> _Numbers | None:
    """Return the numbers above a maximum, up to `highest`; None where there are fewer than asked for."""
    # Rounded, so that the bundle does not hold the maximum.
    unit = 10 ** max(len(str(largest)) - 2, 0)
    start = (largest // unit + 1) * unit
    room = min(highest - start + 1, _DOMAIN)
    if room < max(fewest, 1):
        return None
    near = min(10 ** len(str(start)) - start, room)
    return _Numbers(start, (near, room - near))


def _integer_range(values: Int64, kind: pa.DataType) -> _Numbers:
    """Return the integers of a type that are identifiers (see the class)."""
    limits = np.iinfo(kind.to_pandas_dtype())
    highest = min(int(limits.max), np.iinfo(np.int64).max)
    largest = max(int(values.max()), 0) if values.size else 0
    found = _above(largest, highest, _HEADROOM * values.size)
    if found is not None:
        return found
    lowest = int(limits.min) if (values < 0).any() else 0
    return _Numbers(lowest, (min(highest - lowest + 1, _DOMAIN),))


def _text_format(column: str, values: pa.Array) -> tuple[_Numbers, list[str], tuple[int, int]]:
    """Return numbers, alphabets, and where a text's number begins and how long it is (see the class)."""
    if uuid := _uuid_format(values):
        return _ANY, uuid, _NOWHERE
    matrix = _matrix(values)
    found = [_alphabet(np.flatnonzero(np.bincount(letters))) for letters in matrix.T]
    alphabets = [alphabet for alphabet in found if alphabet is not None]
    if matrix.size and len(alphabets) == len(found):
        if math.prod(map(len, alphabets)) >= _RARE * len(values):
            return _ANY, alphabets, _NOWHERE
        for first, digits in _digit_blocks(matrix):
            before, after = alphabets[:first], alphabets[first + digits :]
            fewest = _HEADROOM * len(values) // math.prod(map(len, before + after))
            numbers = _above(_largest(matrix[:, first : first + digits]), 10**digits - 1, fewest)
            if numbers is not None:
                return numbers, [*before, *[_DIGITS] * digits, *after], (first, digits)
    return _ANY, [*column, "-", *[_HEX] * 16], _NOWHERE


def _uuid_format(values: pa.Array) -> list[str]:
    """Return the alphabet of each position where all values are UUIDs in one case, else nothing."""
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
    return []


def _matrix(values: pa.Array) -> UInt8:
    """Return the bytes of texts of one length [N, L]; L = 0 where they are too few or of no one length."""
    lengths = pc.min_max(pc.binary_length(values)).as_py()
    length = lengths["min"]
    if len(values) < _FEWEST or length != lengths["max"] or not 0 < length <= _LONGEST:
        return np.empty((len(values), 0), dtype=np.uint8)
    offsets = np.frombuffer(values.buffers()[1], dtype=np.int32)[values.offset :]
    data = np.frombuffer(values.buffers()[2], dtype=np.uint8)[offsets[0] :]
    return data[: len(values) * length].reshape(-1, length)


def _digit_blocks(matrix: UInt8) -> Iterator[tuple[int, int]]:
    """Yield the first position and the length of blocks of digits that vary, the last block first.

    Constant digits in front of a counter are first taken for a branch or a year, then for its
    own leading digits.
    """
    low, high = matrix.min(axis=0), matrix.max(axis=0)
    marks = np.where(low < high, "v", np.where(low == ord("0"), "0", "c"))
    marks[(low < ord("0")) | (high > ord("9"))] = "-"
    for run in reversed(list(re.finditer("(?:[0c]*c)?(0*v[0cv]*)", "".join(marks)))):
        for first in dict.fromkeys((run.start(1), run.start())):
            start = max(first, run.end() - _COUNTED)
            yield start, run.end() - start


def _largest(digits: UInt8) -> int:
    """Return the largest of N numbers that are written in ASCII digits [N, L]."""
    numbers = np.zeros(len(digits), dtype=np.int64)
    for digit in digits.T:
        numbers = 10 * numbers + (digit - ord("0"))
    return int(numbers.max())


def _alphabet(seen: Int64) -> str | None:
    """Return the constant or the narrowest alphabet of the bytes seen at a position, None without one."""
    if seen[-1] > _ASCII:
        return None
    letters = "".join(map(chr, seen))
    if len(letters) == 1:
        return letters
    return next((a for a in _ALPHABETS if set(letters) <= set(a)), None)


def _bytes_of(alphabet: str) -> list[np.ndarray]:
    """Return the bytes that may stand at a position: those of a constant one after the other."""
    encoded = np.frombuffer(alphabet.encode(), dtype=np.uint8)
    return [encoded] if len(alphabet) > 1 else list(encoded[:, None])
