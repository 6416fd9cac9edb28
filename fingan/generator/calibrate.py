"""Fit a calibration from an engine's own rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import ndtr, ndtri

from fingan.encoding.layout import CopyField, Layout
from fingan.generator.calibration import Calibration, fit_knots, fit_offsets
from fingan.generator.choice import CodeChoice
from fingan.generator.engine import BLOCK, Engine
from fingan.types import Float32, Float64, Int64

OFFSET_ROWS = 50_000
OFFSET_VALUES = 20_000_000
RAREST_SEEN = 1_000
"""Where the first rows hold a field's rarest code less often, it is matched on all rows, if there is room."""

PLACES = 1025
_MARGIN = 1e-9


def calibrate(engine: Engine, rows: int, seed: int) -> Engine:
    """Return the engine with a calibration fitted on `rows` unconditional rows of its own.

    All numbers are kept, the logits of the first 50,000 rows (fewer where there are many codes),
    and beyond those only the logits that say whether a number counts, or that a rare code comes
    from: memory stays bounded.

    Args:
        engine: network and encoder; its present calibration is ignored.
        rows: how many rows to look at, rounded up to whole blocks.
        seed: key of the rows' noise.
    """
    layout, frequencies = engine.encoder.layout, engine.encoder.frequencies()
    starts = layout.offsets() - layout.numeric
    fields = [slice(start, start + width) for start, width in zip(starts, layout.widths, strict=True)]
    limits = rows_matched(layout, frequencies, rows)
    numbers: list[Float32] = []
    logits: list[list[Float32]] = [[] for _ in fields]
    draws: dict[int, list[Float64]] = {field.relation: [] for field in layout.copies}
    for block in range(-(-rows // BLOCK)):
        noise = engine.draw(seed, "calibrate", block)
        raw = engine.raw(noise.normal, None, None)
        numbers.append(raw.numbers)
        for kept, field, limit in zip(logits, fields, limits, strict=True):
            if block * BLOCK < limit:
                # Copied: a view would keep all logits of the block.
                kept.append(raw.logits[field].copy())
        for relation, drawn in draws.items():
            drawn.append(noise.choice[relation : relation + 1].copy())
    scores = [np.hstack(kept) for kept in logits]
    offsets = fit_offsets(scores, frequencies)
    codes: dict[int, Int64] = {}
    for copied in layout.copies:
        own = offsets[fields[copied.relation]]
        uniform = np.hstack(draws[copied.relation])
        codes[copied.target] = CodeChoice(own.shape, own)(scores[copied.relation], uniform)[0]
    all_numbers = np.hstack(numbers)
    knots, normal_scores = fit_knots(all_numbers.T, {field: drawn == 0 for field, drawn in codes.items()})
    plain = Calibration(knots, normal_scores, offsets)
    places = own_places(layout, plain.u(all_numbers), codes)
    return dataclasses.replace(engine, calibration=dataclasses.replace(plain, places=places))


def rows_matched(layout: Layout, frequencies: Sequence[Float64], rows: int) -> list[int]:
    """Return on how many rows the shares of each categorical field are matched.

    A network that is sure of its labels makes of 50,000 rows 85 with a code of share 0.17 %, and
    would be matched to the 11 % by which such a count strays.

    Args:
        layout: widths of the fields, and which of them say whether a number counts: those need all rows.
        frequencies: training shares of each field's codes.
        rows: that there are.
    """
    first = min(rows, OFFSET_ROWS, OFFSET_VALUES // max(1, layout.codes))
    matched = [first] * len(layout.widths)
    room = OFFSET_VALUES
    for field in np.argsort(layout.widths, kind="stable").tolist():
        shares = frequencies[field]
        rare = shares[shares > 0.0].min(initial=1.0) * first < RAREST_SEEN
        if rare and (room := room - rows * layout.widths[field]) >= 0:
            matched[field] = rows
    for copied in layout.copies:
        matched[copied.relation] = rows
    return matched


def own_places(layout: Layout, u: Float64, codes: Mapping[int, Int64]) -> dict[int, Float64]:
    """Return, per field that repeats others, where its own values must lie (see `Calibration.places`).

    Copies come as their sources have them. Own values are put where they make all together
    uniform, so that the column has its training distribution whatever is copied.

    Args:
        layout: which fields repeat others.
        u: generated fields [F, N], uniform over the rows on which they count; the rest is filled in.
        codes: per repeating field which source is repeated [N], 0 for none; changed where that
            cannot be.
    """
    found = {}
    for field in layout.copies:
        drawn = codes[field.target]
        values = _copied(field, u, drawn)
        grid = np.unique(np.concatenate([np.linspace(0.0, 1.0, PLACES), field.heavy.ravel()]))
        below = np.searchsorted(np.sort(values[drawn > 0]), grid, side="right") / drawn.size
        own = np.clip((grid - below) / max(np.mean(drawn == 0), _MARGIN), 0.0, 1.0)
        own = np.maximum.accumulate(own)
        own[0], own[-1] = 0.0, 1.0
        found[field.target] = np.stack([grid, own])
        u[field.target] = np.where(drawn > 0, values, np.interp(u[field.target], own, grid))
    return found


def _copied(field: CopyField, u: Float64, drawn: Int64) -> Float64:
    """Return the places [N] of copied values among the field's; own ones stay as they are.

    A copy of a heavy value becomes an own value, as in decoding: `drawn` is changed to 0 there.
    """
    grid = np.linspace(-field.reach, field.reach, field.scores.shape[1])
    out: Float64 = u[field.target].copy()
    for code, (source, scores) in enumerate(zip(field.sources, field.scores, strict=True), start=1):
        picked = np.flatnonzero(drawn == code)
        score = ndtri(np.clip(u[source, picked], _MARGIN, 1.0 - _MARGIN))
        copied = ndtr(np.interp(score, grid, scores))
        before = np.searchsorted(field.heavy[0], copied, side="right") - 1
        coincident = (before >= 0) & (copied <= field.heavy[1, before]) if field.heavy.size else before > 0
        drawn[picked[coincident]] = 0
        out[picked[~coincident]] = copied[~coincident]
    return out
