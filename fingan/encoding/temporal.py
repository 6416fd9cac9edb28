"""Dates and timestamps: week, weekday and time of day, exact and in the column's zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
import pyarrow as pa

from fingan.encoding import exchange, lattice
from fingan.encoding.base import (
    AnyArray,
    Arrays,
    CategoryValues,
    ExactValues,
    FieldSpec,
    FieldValues,
    NumericIntervals,
    arrow_type,
    missing_of,
    narrow,
    one_chunk,
)
from fingan.encoding.calendar import Calendar, Wall, join_week, split_week, ticks_of
from fingan.encoding.levels import CODES_AT_MOST, NumericLevels
from fingan.encoding.pieces import Pieces
from fingan.errors import BundleError, DataError
from fingan.rng import numpy_generator
from fingan.types import Bool, Float64, Int64, Json

_PARTS = ("value", "day", "week", "weekday", "time", "fold")

Part = Pieces | NumericLevels


class TemporalEncoder:
    """Encodes a date or timestamp column by its wall-clock parts.

    Fields, each left out where it is constant:

    - `week` (numeric) and `weekday` (category, only days that were seen), or, where each
      week has a single day (month ends, weekly reports), `day` (numeric) in their place;
    - `time` (numeric): ticks of the day on their own lattice;
    - `fold` (category): the second showing of an hour, where a row has one.

    Missing values are the first part's; the other parts of a missing row are drawn from the
    training distribution (the weekday by a draw keyed by the row's number). A column of
    at most 20 distinct values, a constant one, or one without any value is one category
    field, as in `NumberEncoder`. Decoded values stay within the training range.

    Attributes:
        column: name of the column.
        kind: `date` or `timestamp`.
        type: Arrow type, kept by `decode`.
        ticks: distribution of the whole value in ticks of the type's unit (UTC), None
            for a column without any value.
    """

    def __init__(
        self,
        column: str,
        kind: str,
        arrow: pa.DataType,
        ticks: Pieces | None,
        parts: Mapping[str, Part],
    ) -> None:
        self.column, self.kind, self.type = column, kind, arrow
        self.ticks, self._parts = ticks, dict(parts)
        self._calendar = Calendar.of(column, arrow)
        whole = list(self._parts) == ["value"]
        self.fields: tuple[FieldSpec, ...] = tuple(
            _spec(column if whole else f"{column}:{name}", part) for name, part in self._open_parts()
        )

    @classmethod
    def fit(cls, column: str, kind: str, array: AnyArray) -> Self:
        """Learn the parts of a column.

        Args:
            column: name, for the fields and for errors.
            kind: `date` or `timestamp`.
            array: N training values of a date or timestamp type.

        Raises:
            DataError: another type, or an unknown time zone.
        """
        whole = one_chunk(array)
        calendar = Calendar.of(column, whole.type)
        values, missing = ticks_of(whole), missing_of(whole)
        seen, nulls = values[~missing], int(missing.sum())
        distinct, counts = np.unique(seen, return_counts=True)
        ticks = _pieces(seen, nulls) if seen.size else None
        if distinct.size <= CODES_AT_MOST:
            return cls(column, kind, whole.type, ticks, {"value": NumericLevels(distinct, counts, nulls)})
        wall = calendar.split(seen)
        week, weekday = split_week(wall.day)
        parts: dict[str, Part] = {}
        if np.unique(wall.day).size == np.unique(week).size:
            parts["day"] = _pieces(wall.day, nulls)
        else:
            parts["week"] = _pieces(week, nulls)
            parts["weekday"] = _levels(weekday)
        parts["time"] = _pieces(wall.time, 0)
        parts["fold"] = _levels(wall.fold.astype(np.int64))
        return cls(column, kind, whole.type, ticks, parts)

    def encode(self, array: AnyArray, *, clamp: bool = False) -> tuple[FieldValues, ...]:
        """Return the fields of each row, in single precision (see `ColumnEncoder`)."""
        return narrow(self.intervals(array, clamp=clamp))

    def intervals(self, array: AnyArray, *, clamp: bool = False) -> tuple[ExactValues, ...]:
        """Return the fields of each row, in double precision (see `ColumnEncoder`)."""
        whole = one_chunk(array)
        whole = whole if whole.type == self.type else whole.cast(self.type)
        ticks, missing = ticks_of(whole), missing_of(whole)
        try:
            ticks = self._in_range(ticks, missing, clamp)
            points = self._points(ticks)
            return tuple(
                _encode_part(name, part, points[name], missing, first=number == 0)
                for number, (name, part) in enumerate(self._open_parts())
            )
        except DataError as error:
            raise DataError(f"column {self.column!r}: {error}") from None

    def decode(self, fields: Sequence[np.ndarray], spare: Float64) -> pa.Array:
        """Return dates or timestamps from the fields of B rows (see `ColumnEncoder`)."""
        points: dict[str, Int64] = {}
        missing: Bool = np.zeros(len(fields[0]), dtype=bool)
        for number, (name, part) in enumerate(self._open_parts()):
            given = fields[number]
            points[name], null = (
                part.decode(given) if isinstance(part, NumericLevels) else part.quantile(given)
            )
            missing = null if number == 0 else missing
        return exchange.to_arrow(self._ticks_at(points, len(missing)), missing, self.type)

    def state(self) -> tuple[Json, Arrays]:
        """Return the JSON object and arrays that `from_state` takes."""
        document: Json = {"column": self.column, "kind": self.kind, "type": str(self.type), "parts": {}}
        arrays: Arrays = {}
        whole: dict[str, Part] = dict(self._parts)
        if self.ticks is not None:
            whole["ticks"] = self.ticks
        for name, part in whole.items():
            inner, inside = part.state()
            form = "levels" if isinstance(part, NumericLevels) else "pieces"
            document["parts"][name] = {"form": form, **inner}
            arrays |= {f"{name}.{key}": value for key, value in inside.items()}
        return document, arrays

    @classmethod
    def from_state(cls, document: Json, arrays: Mapping[str, np.ndarray]) -> Self:
        """Rebuild from `state`."""
        parts: dict[str, Part] = {}
        for name, inner in document["parts"].items():
            own = {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(f"{name}.")}
            form = NumericLevels if inner["form"] == "levels" else Pieces
            parts[name] = form.from_state(inner, own)
        ticks = parts.pop("ticks", None)
        if isinstance(ticks, NumericLevels):
            raise BundleError(f"column {document['column']!r}: ticks are not pieces; fetch the bundle again")
        ordered = {name: parts[name] for name in _PARTS if name in parts}
        return cls(document["column"], document["kind"], arrow_type(document["type"]), ticks, ordered)

    def _open_parts(self) -> list[tuple[str, Part]]:
        """Return the parts that have a field: those that vary or tell what is missing."""
        return [(name, part) for name, part in self._parts.items() if name == "value" or _varies(part)]

    def _in_range(self, ticks: Int64, missing: Bool, clamp: bool) -> Int64:
        """Return ticks moved into the training range, which only `clamp` allows."""
        if self.ticks is None:
            return ticks
        low, high = self.ticks.minimum, self.ticks.maximum
        bad = np.flatnonzero(~missing & ((ticks < low) | (ticks > high)))
        if bad.size and not clamp:
            shown = exchange.to_arrow(
                np.array([ticks[bad[0]], low, high]), np.zeros(3, dtype=bool), self.type
            )
            value, lowest, highest = shown.cast(pa.string()).to_pylist()
            raise DataError(
                f"{value!r} lies outside the training range [{lowest}, {highest}]; "
                "clamp it or train with such rows"
            )
        return np.clip(ticks, low, high)

    def _points(self, ticks: Int64) -> dict[str, Int64]:
        """Return each part's value [N] of ticks [N]."""
        if "value" in self._parts:
            return {"value": ticks}
        wall = self._calendar.split(ticks)
        week, weekday = split_week(wall.day)
        points = {"week": week, "weekday": weekday, "day": wall.day, "time": wall.time}
        return points | {"fold": wall.fold.astype(np.int64)}

    def _ticks_at(self, points: Mapping[str, Int64], size: int) -> Int64:
        """Return the ticks [B] of the parts' values [B], within the training range."""
        if "value" in self._parts or self.ticks is None:
            return points["value"]
        known = {name: np.full(size, _constant(part)) for name, part in self._parts.items()} | dict(points)
        day = known["day"] if "day" in known else join_week(known["week"], known["weekday"])
        wall = Wall(day, known["time"], known["fold"] == 1)
        return self._calendar.join(wall, int(self.ticks.minimum), int(self.ticks.maximum))


def _pieces(values: Int64, missing: int) -> Pieces:
    """Return the distribution of one part over its own lattice."""
    distinct, counts = np.unique(values, return_counts=True)
    return Pieces.from_counts(distinct, counts, missing, lattice_step=lattice.common_step(distinct))


def _levels(values: Int64) -> NumericLevels:
    """Return the codes of one part."""
    return NumericLevels(*np.unique(values, return_counts=True), 0)


def _varies(part: Part) -> bool:
    known = part.values if isinstance(part, NumericLevels) else part.low
    return part.missing > 0 or known.size > 1 or bool(known[0] != _top(part))


def _top(part: Part) -> int:
    return int((part.values if isinstance(part, NumericLevels) else part.high)[-1])


def _constant(part: Part) -> int:
    return int((part.values if isinstance(part, NumericLevels) else part.low)[0])


def _spec(name: str, part: Part) -> FieldSpec:
    return part.spec(name) if isinstance(part, NumericLevels) else FieldSpec.numeric(name, part.atom_edges())


def _encode_part(name: str, part: Part, values: Int64, missing: Bool, first: bool) -> ExactValues:
    """Return one part's field; a missing row is any training value in all parts but the first."""
    nulls = missing if first else np.zeros_like(missing)
    if isinstance(part, NumericLevels):
        codes = part.codes(values, nulls)
        if not first and missing.any():
            share = np.cumsum(part.counts) / part.counts.sum()
            drawn = numpy_generator(0, f"missing {name}").random(len(codes))
            codes = np.where(missing, np.searchsorted(share, drawn, side="right"), codes).astype(np.int32)
        return CategoryValues(codes)
    lower, width = part.interval(values, nulls, clamp=True)
    if not first:
        lower[missing], width[missing] = 0.0, 1.0
    return NumericIntervals(lower, width)
