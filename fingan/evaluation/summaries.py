"""What the charts draw, as counts: no row of any table gets into a report."""

from __future__ import annotations

import numpy as np

from fingan.evaluation.frame import Column, Frame
from fingan.evaluation.pairs import PairErrors
from fingan.types import Float64, Json

BARS_AT_MOST = 24
LEVELS_AT_MOST = 10
PAIRS_SHOWN = 15
_TAIL = 0.005
_UNITS = ((1e15, 1.0, ""), (1e12, 1e12, "tn"), (1e9, 1e9, "bn"), (1e6, 1e6, "m"), (1e4, 1e3, "k"))
_VISIBLE = 0.05  # per cent: what a table with one decimal can show


def column_summaries(real: Frame, synthetic: Frame, errors: Float64, floors: Float64) -> list[Json]:
    """Return each column's binned distribution in both tables, with its Shape error in per cent.

    Args:
        real: training rows.
        synthetic: synthetic rows.
        errors: Shape error by column, in [0, 1].
        floors: the same of two real halves.
    """
    summaries = []
    for k, (first, second) in enumerate(zip(real.columns, synthetic.columns, strict=True)):
        drawn = _number(first, second) if first.numeric else _category(first, second)
        missing = {"real": float(first.missing().mean()), "synthetic": float(second.missing().mean())}
        summaries.append(
            {
                "name": first.name,
                "kind": first.kind,
                "error": 100 * float(errors[k]),
                "floor": 100 * float(floors[k]),
                "missing": missing if max(missing.values()) else None,
                **drawn,
            }
        )
    return summaries


def _number(real: Column, synthetic: Column) -> Json:
    first, second = (c.number()[~np.isnan(c.number())] for c in (real, synthetic))
    distinct = np.unique(first)
    if distinct.size <= BARS_AT_MOST:
        # Values that only the synthetic table has are counted in one last bar.
        labels = _labels(real.unit, distinct)
        counts = [np.bincount(_position(distinct, v), minlength=distinct.size + 1) for v in (first, second)]
        other = ["other"] if counts[1][-1] else []
        return _shares("bars", labels + other, counts[0], counts[1], len(labels) + len(other))
    low, high = np.quantile(first, [_TAIL, 1 - _TAIL])
    if low == high:
        low, high = distinct[0], distinct[-1]
    edges = np.linspace(low, high, BARS_AT_MOST + 1)
    counts = [np.histogram(v.clip(low, high), edges)[0] for v in (first, second)]
    labels = _labels(real.unit, np.array([low, (low + high) / 2, high]))
    return _shares("histogram", labels, counts[0], counts[1], BARS_AT_MOST)


def _position(distinct: Float64, values: Float64) -> np.ndarray:
    place = np.searchsorted(distinct, values).clip(max=max(distinct.size - 1, 0))
    hit = distinct[place] == values if distinct.size else np.zeros(values.size, dtype=np.bool_)
    return np.where(hit, place, distinct.size)


def _category(real: Column, synthetic: Column) -> Json:
    counts = [np.bincount(c.code(), minlength=len(real.levels)) for c in (real, synthetic)]
    keep = [i for i in np.argsort(-counts[0], kind="stable") if i != real.null]
    shown, rest = keep[:LEVELS_AT_MOST], keep[LEVELS_AT_MOST:]
    labels = [real.levels[i] for i in shown] + ([f"{len(rest)} others"] if rest else [])
    sides = [np.append(c[shown], c[rest].sum()) for c in counts]
    return _shares("levels", labels, sides[0], sides[1], len(labels))


def _shares(chart: str, labels: list[str], real: np.ndarray, synthetic: np.ndarray, width: int) -> Json:
    return {
        "chart": chart,
        "labels": labels,
        "real": [float(v) for v in (real / max(real.sum(), 1))[:width]],
        "synthetic": [float(v) for v in (synthetic / max(synthetic.sum(), 1))[:width]],
    }


def _labels(unit: str, values: Float64) -> list[str]:
    """Write moments as days and numbers short, or in more digits where that would make them look equal."""
    if unit:
        moments = np.array([round(v) for v in values.tolist()], dtype=f"datetime64[{unit}]")
        return [str(day) for day in moments.astype("datetime64[D]")]
    short = [_short(v) for v in values.tolist()]
    return short if len(set(short)) == len(short) else [f"{v:.12g}" for v in values.tolist()]


def _short(value: float) -> str:
    value = float(f"{value:.3g}" if abs(value) >= 9_999.5 else f"{value:.4g}")
    for least, unit, word in _UNITS:
        if abs(value) >= least:
            return f"{value / unit:.3g}{word}"
    return f"{value:.4g}"


def pair_summary(found: PairErrors, floor: PairErrors) -> Json:
    """Return the matrix of pair errors in per cent and the pairs furthest above their floor."""
    errors, floors = 100 * found.errors[0], 100 * floor.errors[0]
    rows, columns = np.triu_indices(len(found.names), 1)
    beyond = (errors - floors)[rows, columns]
    order = [k for k in np.argsort(-beyond, kind="stable")[:PAIRS_SHOWN] if beyond[k] > _VISIBLE]
    return {
        "names": list(found.names),
        "errors": [[round(float(v), 4) for v in row] for row in errors],
        "worst": [
            {
                "columns": [found.names[rows[k]], found.names[columns[k]]],
                "error": float(errors[rows[k], columns[k]]),
                "floor": float(floors[rows[k], columns[k]]),
                "strength": float(found.strength[rows[k], columns[k]]),
                "strong": bool(found.strong[rows[k], columns[k]]),
            }
            for k in order
        ],
    }
