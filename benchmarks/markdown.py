"""Markdown tables and the figures in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from benchmarks.results import Row

Key = TypeVar("Key")


def grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def grouped(rows: Sequence[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """Return the rows by key, keys in order of first appearance."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def median_range(values: Sequence[float], digits: int) -> str:
    """Return `median (least … most)`, the value alone where there is one, `–` where there is none."""
    if not values:
        return "–"
    middle = f"{np.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f} … {max(values):,.{digits}f})"


def mean_spread(values: Sequence[float], digits: int) -> str:
    """Return `mean ± standard deviation`, the value alone where there is one, `–` where there is none."""
    if not values:
        return "–"
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"
