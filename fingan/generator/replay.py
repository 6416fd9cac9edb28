"""The stored sample of a bundle: proof that it still gives the rows that it gave when it was saved.

A change of library, processor or code may change rows that no hash of files can notice. So a
bundle keeps, for sixteen rows of a fixed seed, the network's raw output, the calibrated fields,
a digest of the decoded rows (not the rows) and, where rows are chosen among candidates, their log
ratios and which of some candidates are kept; of each rare class that has a network of its own too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from fingan.generator.engine import BLOCK, Engine, RawRows
from fingan.generator.resampling import GROUP, chosen
from fingan.rng import torch_generator
from fingan.types import Float64, Int64

if TYPE_CHECKING:
    from fingan.generator.model import Generator

ROWS = 16
TOLERANCE = {False: 1e-3, True: 0.15}
"""Largest difference of outputs in fp32 and in bf16, relative to the largest output."""

RATIO_TOLERANCE = 1e-3
"""Largest difference of log ratios."""


def record(generator: Generator) -> tuple[dict[str, np.ndarray], str]:
    """Return the arrays of the stored sample and the digest of its rows."""
    arrays: dict[str, np.ndarray] = {}
    decoded = []
    for prefix, engine in _engines(generator):
        raw = _raw(engine)
        u = engine.calibration.u(raw[:, : engine.encoder.layout.numeric].T)
        rows = replace(engine.rows(0, range(1), None, "replay").cut(0, ROWS), u=u)
        own = {"raw": raw, "u": u, "codes": rows.codes, "spare": rows.spare}
        arrays |= {f"{prefix}{name}": array for name, array in own.items()}
        decoded.append(_decoded(engine, rows))
    if generator.density is not None:
        arrays |= {"ratio": _finite(generator.density(decoded[0])), "kept": _kept()}
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}, _digest(decoded)


def difference(generator: Generator, arrays: Mapping[str, np.ndarray], digest: object) -> str:
    """Say what a generator does otherwise than the stored sample; an empty string when nothing.

    Network, calibration and ratios are compared within a tolerance, because the last bits differ
    between processors; decoding starts from the stored fields and must give the same rows.
    """
    decoded = []
    for prefix, engine in _engines(generator):
        own = {name: arrays[f"{prefix}{name}"] for name in ("raw", "u", "codes", "spare")}
        if problem := _other_output(engine, own["raw"], own["u"]):
            return problem
        decoded.append(_decoded(engine, RawRows(own["u"], own["codes"], own["spare"], {})))
    if _digest(decoded) != digest:
        return "its encoder gives other rows"
    return "" if generator.density is None else _other_choice(_finite(generator.density(decoded[0])), arrays)


def _engines(generator: Generator) -> list[tuple[str, Engine]]:
    """Return the table's engine and those of rare classes, with what their arrays' names begin with."""
    own = [(f"rare_{number}.", rare.engine) for number, rare in enumerate(generator.rare)]
    return [("", generator.engine), *own]


def _other_output(engine: Engine, stored: np.ndarray, u: Float64) -> str:
    """Say whether a network or its calibration gives anything else than when the bundle was saved."""
    raw = _raw(engine)
    scale = max(1.0, float(np.abs(stored).max(initial=0.0)))
    tolerance = TOLERANCE[engine.autocast]
    if stored.shape != raw.shape or not np.allclose(raw, stored, rtol=0.0, atol=tolerance * scale):
        return "its network gives another output"
    numeric = engine.encoder.layout.numeric
    if not np.allclose(engine.calibration.u(stored[:, :numeric].T), u, rtol=0.0, atol=1e-6):
        return "its calibration gives other values"
    return ""


def _other_choice(ratio: Float64, arrays: Mapping[str, np.ndarray]) -> str:
    """Say whether other rows would be chosen among candidates than when the bundle was saved."""
    if "kept" not in arrays or not np.array_equal(arrays["kept"], _kept()):
        return "it was saved by a version of fingan that chose among candidates in another way"
    same = np.allclose(ratio, arrays["ratio"], rtol=0.0, atol=RATIO_TOLERANCE)
    return "" if same else "its ratio of densities gives other values"


def _finite(ratio: Float64) -> Float64:
    """Return ratios as a bundle can hold them; rows that are not compared have none."""
    return np.nan_to_num(ratio)


def _raw(engine: Engine) -> np.ndarray:
    # Apart from the noise of samples, so that a change of that leaves older bundles sound.
    normal = torch.randn(BLOCK, engine.noise, generator=torch_generator(0, "replay", 0))
    raw = engine.raw(normal, None, None)
    return np.concatenate([raw.numbers, raw.logits])[:, :ROWS].T


def _kept() -> Int64:
    """Return which of a group's candidates are kept, for ratios that are the same everywhere."""
    return chosen(np.arange(2 * GROUP)[None] % 7 / 2.0, np.array([0.5]), GROUP)


def _decoded(engine: Engine, rows: RawRows) -> pa.RecordBatch:
    return engine.decode(rows, np.arange(rows.spare.shape[1], dtype=np.int64), 0)


def _digest(batches: Sequence[pa.RecordBatch]) -> str:
    columns = [column for batch in batches for column in _plain(batch)]
    texts = [[_text(value) for value in column.to_pylist()] for column in columns]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()


def _plain(rows: pa.RecordBatch) -> list[pa.Array]:
    """Return columns whose values Python has a type for: times as ticks, which may be nanoseconds."""
    temporal = pa.types.is_temporal
    return [c.cast(pa.int64()) if temporal(c.type) and c.type.bit_width == 64 else c for c in rows.columns]


def _text(value: object) -> str:
    # Six digits: the last bits of a float may depend on the processor's multiply-add.
    return f"{value:.6g}" if isinstance(value, float) else repr(value)
