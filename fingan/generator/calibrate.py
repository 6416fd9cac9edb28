"""Fit a calibration from an engine's own rows."""

from __future__ import annotations

import dataclasses

import numpy as np

from fingan.encoding.layout import Layout
from fingan.encoding.units import CopyUnit
from fingan.generator.calibration import Calibration, fit_knots, fit_offsets
from fingan.generator.choice import CodeChoice
from fingan.generator.engine import BLOCK, Engine
from fingan.types import Bool, Float32, Float64

OFFSET_ROWS = 50_000
OFFSET_VALUES = 20_000_000


def copy_fields(engine: Engine) -> list[tuple[int, int, CopyUnit]]:
    """Return (numeric field, categorical field, unit) where the number only counts at code 0."""
    found = []
    numeric = category = 0
    for unit in engine.encoder.units:
        kinds = [spec.kind for spec in unit.fields]
        if isinstance(unit, CopyUnit):
            found.append((numeric, category, unit))
        numeric += kinds.count("numeric")
        category += kinds.count("category")
    return found


def calibrate(engine: Engine, rows: int, seed: int) -> Engine:
    """Return the engine with a calibration fitted on `rows` unconditional rows of its own.

    All numbers are kept, the logits of the first 50,000 rows (fewer where there are many codes),
    and beyond those only the logits that say whether a number counts: memory stays bounded.

    Args:
        engine: network and encoder; its present calibration is ignored.
        rows: how many rows to look at, rounded up to whole blocks.
        seed: key of the rows' noise.
    """
    layout, copies = engine.encoder.layout, copy_fields(engine)
    offset_rows = min(OFFSET_ROWS, OFFSET_VALUES // max(1, layout.codes))
    numbers, logits = [], []
    relations: dict[int, list[tuple[Float32, Float64]]] = {field: [] for field, *_ in copies}
    for block in range(-(-rows // BLOCK)):
        noise = engine.draw(seed, "calibrate", block)
        raw = engine.raw(noise.normal, None, None)
        numbers.append(raw.numbers)
        if block * BLOCK < offset_rows:
            logits.append(raw.logits.T)
        for field, category, _ in copies:
            # Copied: a view would keep all logits of the block.
            own = raw.logits[_span(layout, category)].copy()
            relations[field].append((own, noise.choice[category : category + 1].copy()))
    offsets = fit_offsets(layout, np.concatenate(logits), engine.encoder.frequencies())
    free: dict[int, Bool] = {}
    for field, category, _ in copies:
        scores, draws = (np.hstack(parts) for parts in zip(*relations[field], strict=True))
        own_offsets = offsets[_span(layout, category)]
        free[field] = CodeChoice(own_offsets.shape, own_offsets)(scores, draws)[0] == 0
    knots, normal_scores = fit_knots(np.hstack(numbers).T, free)
    places = {field: unit.own for field, _, unit in copies}
    return dataclasses.replace(engine, calibration=Calibration(knots, normal_scores, offsets, places))


def _span(layout: Layout, category: int) -> slice:
    """Return where a categorical field stands among the logits."""
    start = sum(layout.widths[:category])
    return slice(start, start + layout.widths[category])
