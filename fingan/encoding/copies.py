"""What a copied value looks like in the copying column's own field.

A copy unit's number stands at a normal score of its own column's distribution, its source's
at one of the source's. The map between the two lets a generator put a copied value where a
real row has it, before any value is decoded. Letters: K sources, G grid points.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from fingan.encoding.base import NumericValues
from fingan.encoding.layout import CopyMap
from fingan.encoding.units import ColumnUnit, CopyUnit, Unit
from fingan.types import Float64

GRID = 513
REACH = 4.0
_MARGIN = 1e-5


def copy_maps(units: Sequence[Unit]) -> tuple[CopyMap, ...]:
    """Return the maps of all copy units, in decoding order."""
    found: list[CopyMap] = []
    place: dict[str, tuple[int, Unit]] = {}
    numeric = category = 0
    for unit in units:
        kinds = [spec.kind for spec in unit.fields]
        if isinstance(unit, CopyUnit):
            sources = [place[name] for name in unit.sources]
            scores = np.stack([_scores(unit, source) for _, source in sources])
            fields = tuple(field for field, _ in sources)
            found.append(CopyMap(numeric, category, fields, scores, REACH))
        if kinds.count("numeric"):
            place |= dict.fromkeys(unit.columns, (numeric, unit))
        numeric += kinds.count("numeric")
        category += kinds.count("category")
    return tuple(found)


def _scores(unit: CopyUnit, source: Unit) -> Float64:
    """Return the target's scores [G] at the source's."""
    if not isinstance(source, ColumnUnit | CopyUnit):
        raise TypeError(f"column {unit.encoder.column!r} copies a column without a number of its own")
    grid = ndtr(np.linspace(-REACH, REACH, GRID))
    values = source.encoder.decode([grid], grid[:, None])
    (inner,) = unit.encoder.encode(values, clamp=True)
    if not isinstance(inner, NumericValues):
        raise TypeError("a copied column has one numeric field")
    middle = inner.lower.astype(np.float64) + 0.5 * inner.width
    scores: Float64 = ndtri(np.clip(middle, _MARGIN, 1.0 - _MARGIN))
    # What is not there cannot be copied; any place will do.
    return np.where(values.is_valid().to_numpy(zero_copy_only=False), scores, 0.0)
