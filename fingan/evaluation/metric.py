"""One measured figure, with what is needed to read it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from fingan.types import Json

Direction = Literal["lower", "higher", "target"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Metric:
    """A figure, its direction, its sample sizes, its real-against-real reference and its interval.

    Attributes:
        name: key of the catalogue, e.g. `shape_error`.
        value: the figure, in the catalogue's unit.
        direction: which way is better; `target` means nearness to `reference`.
        n: rows used, by role (`real`, `synthetic`, `holdout`, …).
        reference: the same figure for real data on the same split (floor or ceiling),
            or its value by theory where `details["reference"]` says so.
        interval: 95 % interval, or None where `details` says why.
        details: protocol, estimator, breakdown by column or class.
    """

    name: str
    value: float
    direction: Direction
    n: dict[str, int]
    reference: float | None
    interval: Interval | None
    details: Json = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(
                f"metric {self.name!r} must be finite, got {self.value!r}; omit it with a reason"
            )

    def to_dict(self) -> Json:
        """Return plain values that `from_dict` reads back to an equal metric."""
        return {
            "name": self.name,
            "value": self.value,
            "direction": self.direction,
            "n": dict(self.n),
            "reference": self.reference,
            "interval": None if self.interval is None else list(self.interval),
            "details": self.details,
        }

    @classmethod
    def from_dict(cls, values: Json) -> Metric:
        """Read what `to_dict` wrote."""
        interval = values["interval"]
        return cls(**{**values, "interval": None if interval is None else (interval[0], interval[1])})
