"""The distribution of every column of the training table, from what a bundle's encoder holds of it.

The encoder counts the training rows: each value that repeats has a count of its own, rarer ones
share short stretches. Nothing is sampled here, and no column is without its counts.
"""

from __future__ import annotations

import datetime
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa

from fingan.data.schema import ColumnSpec
from fingan.data.survey import Tally
from fingan.encoding import CompositeUnit, Unit, lattice
from fingan.encoding.base import ColumnEncoder
from fingan.encoding.calendar import ticks_of
from fingan.encoding.category import CategoryEncoder
from fingan.encoding.number import NumberEncoder
from fingan.encoding.pieces import Pieces
from fingan.encoding.rules import NUMERIC_KINDS, TEMPORAL_KINDS
from fingan.encoding.temporal import TemporalEncoder
from fingan.errors import BundleError
from fingan.generator import Generator
from fingan.service.bins import Bins, moment_bins, number_bins, shares
from fingan.types import Int64, Json

LEVELS = 20
"""Categories that are told by name."""

SOURCE = (
    "counts of the training rows in the model's encoder; numbers that seldom repeat are spread evenly "
    "over stretches of at most 1/2048 of the rows (or 8 rows)"
)
_DIGITS = 7
_TAIL = 0.005


def marginals(generator: Generator) -> Json:
    """Return the distribution of every column of the training table.

    All shares are of all rows: those of a column, `other` and `missing` add up to 1. Bins are
    closed on the left; the outer ones hold all that lies beyond their edges. They reach from the
    0.5 % to the 99.5 % point. Bins of a date or timestamp are in milliseconds since 1970-01-01
    UTC (a column without a zone is read as UTC), with their edges once more as `text`.

    Returns:
        `source`, what the shares come from, and `columns` in the order of the schema, each of them
        `{"name", "kind": "number", "rows", "edges", "shares", "step", "text", "missing"}`,
        `{"name", "kind": "category", "rows", "values", "shares", "other", "missing"}` (the 20 most
        frequent values) or `{"name", "kind": "identifier"}`, which is not learned.
    """
    encoder = generator.engine.encoder
    specs = {spec.name: spec for spec in generator.schema.columns}
    found = {name: _column(unit, specs[name]) for unit in encoder.units for name in unit.columns}
    found |= {name: found[source] for name, source in encoder.aliases.items()}
    unknown: Json = {"kind": "identifier"}
    columns = [{"name": name, **found.get(name, unknown)} for name in generator.schema.names]
    return {"source": SOURCE, "columns": columns}


def _column(unit: Unit, spec: ColumnSpec) -> Json:
    if isinstance(unit, CompositeUnit):
        return _member(unit, spec)
    encoder: ColumnEncoder | None = getattr(unit, "encoder", None)
    if isinstance(encoder, CategoryEncoder):
        return _category(encoder.levels, encoder.counts, encoder.missing)
    if isinstance(encoder, NumberEncoder):
        return _number(encoder)
    if isinstance(encoder, TemporalEncoder):
        return _moments(encoder.ticks, encoder.type)
    raise BundleError(f"column {spec.name!r} has no counts; use the version of fingan that wrote the bundle")


def _member(unit: CompositeUnit, spec: ColumnSpec) -> Json:
    """Describe one column of a composite by the counts of its combinations."""
    coded = unit.members[spec.name].dictionary_encode()
    codes = coded.indices.fill_null(len(coded.dictionary)).to_numpy(zero_copy_only=False)
    counts = np.zeros(len(coded.dictionary) + 1, dtype=np.int64)
    np.add.at(counts, codes.astype(np.int64), unit.counts)
    levels, counts, missing = coded.dictionary, counts[:-1], int(counts[-1])
    if spec.kind in NUMERIC_KINDS:
        return _number(NumberEncoder.fit(spec.name, spec.kind, levels, Tally(levels, counts, missing)))
    if spec.kind in TEMPORAL_KINDS:
        ticks = ticks_of(levels)
        order = np.argsort(ticks)
        return _moments(_pieces(ticks[order], counts[order], missing, discrete=True), levels.type)
    return _category(levels, counts, missing)


def _category(levels: pa.Array, counts: Int64, missing: int) -> Json:
    rows = int(counts.sum()) + missing
    values = [_text(value) for value in levels.to_pylist()]
    # Ties by name, so that the answer does not hang on the order of the levels.
    order = sorted(range(len(values)), key=lambda k: (-int(counts[k]), values[k]))
    top = order[:LEVELS]
    return {
        "kind": "category",
        "rows": rows,
        "values": [values[k] for k in top],
        "shares": [_share(int(counts[k]), rows) for k in top],
        "other": _share(sum(int(counts[k]) for k in order[LEVELS:]), rows),
        "missing": _share(missing, rows),
    }


def _text(value: Any) -> str:
    """Write a level as JSON answers show it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


def _number(encoder: NumberEncoder) -> Json:
    form = encoder.form
    discrete = encoder.decimals is not None
    if not isinstance(form, Pieces):
        pieces = _pieces(form.values, form.counts, form.missing, discrete)
    else:
        pieces = form
    if pieces is None:
        return _nothing(int(form.missing))
    digits = encoder.type.scale if pa.types.is_decimal(encoder.type) else encoder.decimals or 0
    bins = number_bins(*_ends(pieces), pieces.step, 10**digits)
    step = None if pieces.step is None else float(Fraction(pieces.step, 10**digits))
    return _binned(pieces, bins, step, None)


def _moments(ticks: Pieces | None, kind: pa.DataType) -> Json:
    if ticks is None:
        return _nothing(0)
    bins, text = moment_bins(*_ends(ticks), ticks.step or 1, kind)
    return _binned(ticks, bins, None, text)


def _binned(pieces: Pieces, bins: Bins, step: float | None, text: list[str] | None) -> Json:
    rows = int(pieces.counts.sum()) + pieces.missing
    return {
        "kind": "number",
        "rows": rows,
        "edges": bins.shown,
        "shares": [round(float(share), _DIGITS) for share in shares(pieces, bins)],
        "step": step,
        "text": text,
        "missing": _share(pieces.missing, rows),
    }


def _nothing(missing: int) -> Json:
    """Describe a column that never had a value."""
    empty: Json = {"kind": "number", "rows": missing, "edges": [], "shares": []}
    return empty | {"step": None, "text": None, "missing": 1.0}


def _pieces(values: np.ndarray, counts: Int64, missing: int, discrete: bool) -> Pieces | None:
    """Return the distribution of ascending distinct values; None where there are none."""
    if not values.size:
        return None
    return Pieces.from_counts(
        values, counts, missing, lattice_step=lattice.common_step(values) if discrete else None
    )


def _ends(pieces: Pieces) -> tuple[int | float, int | float]:
    """Return between which values the bins lie."""
    places = pieces.missing_share + (1.0 - pieces.missing_share) * np.array([_TAIL, 1.0 - _TAIL])
    low, high = pieces.quantile(places)[0].tolist()
    # Nearly all rows hold one value: only the whole range shows that there are others.
    return (low, high) if low < high else (pieces.minimum, pieces.maximum)


def _share(count: int, rows: int) -> float:
    return round(count / max(rows, 1), _DIGITS)
