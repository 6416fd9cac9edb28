"""What others report on the same tables, and the bars that this project sets itself.

Published rows: an independent re-run over five seeds in the repository of TabPC
(`article_material/our_results`, commit 3f92668), by the protocol of docs/benchmarks.md. Their
Trend error has each table binned by its own range; their detection score is turned into the AUC
it stands for, AUC = 1 − score / 2; training ran on a GPU whose model is not stated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Reached = Literal["aim", "must", "miss"]

REAL_AUC = {"adult": 0.927, "default": 0.770}
"""AUC of the same utility protocol trained on real rows (as reprinted in TabDiff's tables)."""


@dataclass(frozen=True)
class Published:
    """One quoted row.

    Attributes:
        model: its name.
        shape_error, trend_error_own_bins: in %.
        detection_score: of XGBoost; 1 cannot be told apart.
        tstr_auc: of a model trained on its rows.
        seconds: of training, on a GPU.
    """

    model: str
    shape_error: float
    trend_error_own_bins: float
    detection_score: float
    tstr_auc: float
    seconds: float

    @property
    def detection_auc(self) -> float:
        """The AUC behind the score: score = 1 − (2 · AUC − 1)."""
        return 1.0 - self.detection_score / 2.0


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "adult": (
        Published("CTGAN", 19.1, 24.2, 0.000, 0.862, 3798),
        Published("TVAE", 23.8, 33.4, 0.000, 0.871, 1310),
        Published("TabSyn", 0.79, 2.05, 0.794, 0.910, 3082),
        Published("TabDiff", 0.68, 1.54, 0.841, 0.913, 11605),
    ),
    "default": (
        Published("CTGAN", 16.9, 29.8, 0.000, 0.727, 3836),
        Published("TVAE", 8.7, 18.7, 0.002, 0.747, 1705),
        Published("TabSyn", 1.32, 2.88, 0.402, 0.759, 3438),
        Published("TabDiff", 1.16, 2.74, 0.591, 0.762, 13899),
    ),
}


@dataclass(frozen=True)
class Bar:
    """What one figure must reach and what it aims at.

    Attributes:
        figure: name of the metric.
        must, aim: bounds, in the metric's unit.
        higher: whether higher is better.
    """

    figure: str
    must: float
    aim: float
    higher: bool = False

    def reached(self, value: float) -> Reached:
        """Return which of the two a value reaches."""
        sign = -1.0 if self.higher else 1.0
        if sign * value <= sign * self.aim:
            return "aim"
        return "must" if sign * value <= sign * self.must else "miss"

    def bounds(self) -> str:
        """Return both bounds for a table."""
        relation = "≥" if self.higher else "≤"
        return f"{relation} {self.must:g} / {relation} {self.aim:g}"


def _bars(shape: Sequence[float], trend: Sequence[float], detection: Sequence[float]) -> tuple[Bar, ...]:
    return (
        Bar("shape_error", shape[0], shape[1]),
        Bar("trend_error", trend[0], trend[1]),
        Bar("detection_auc", detection[0], detection[1]),
        Bar("tstr_share", 97.5, 98.5, higher=True),
        Bar("dcr_share", 0.53, 0.53),
        Bar("dcr_leak", 0.1, 0.1),
        Bar("exact_copies_beyond_holdout", 0.0, 0.0),
        Bar("training_minutes", 10.0, 10.0),
    )


BARS: dict[str, tuple[Bar, ...]] = {
    "adult": _bars((1.0, 0.7), (2.2, 1.7), (0.62, 0.57)),
    "default": _bars((1.0, 0.6), (2.0, 1.5), (0.80, 0.68)),
}
