"""Where values lie on an axis, what is written beside it, and how values are spelled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fingan.config import Scalar

MOST_AXES = 12
"""Keys with an axis of their own; more cannot be followed by eye."""

_LOG_FROM = 4.0  # ends so far apart, as a ratio, are shown on a log axis
_APART = 0.09  # least distance of an axis's labels, as a share of its length


def finite(value: float | None) -> float | None:
    """Return a number, or None for one that is missing or not finite."""
    return value if value is not None and math.isfinite(value) else None


def same(one: object, other: object) -> bool:
    """Whether two values of a key are equal: 1 and 1.0 are, 1 and true are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def spell(value: object) -> str:
    """Write a value of a key as short as it goes, otherwise as in the configuration."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        short = f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.4g}"
        return short.replace("-", "−").replace("e−0", "e−")
    return str(value)


@dataclass(frozen=True)
class Scale:
    """A numeric axis.

    Attributes:
        low, high: its ends, `low` below `high`.
        log: whether equal ratios are equally long; `low` is above 0 then.
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, values: Iterable[float | None], log: bool | None = None) -> Scale:
        """Return the axis that all values lie on, whatever they are; None: log where they spread widely."""
        known = [v for value in values if (v := finite(value)) is not None]
        positive = [v for v in known if v > 0]
        if log is None:
            log = len(positive) == len(known) > 0 and max(known) >= _LOG_FROM * min(known)
        if log:
            low, high = min(positive, default=1.0), max(positive, default=1.0)
            return cls(low, high, True) if low < high else cls(low / 2, low * 2, True)
        low, high = min(known, default=0.0), max(known, default=1.0)
        pad = abs(low) / 2 or 0.5
        return cls(low, high) if low < high else cls(low - pad, high + pad)

    def at(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high one; beyond them at the end."""
        if self.log:
            if value <= 0:
                return 0.0
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return min(max(share, 0.0), 1.0)

    def padded(self) -> Scale:
        """Return the axis with some room at both ends."""
        if self.log:
            more = (self.high / self.low) ** 0.04
            return replace(self, low=self.low / more, high=self.high * more)
        room = 0.04 * (self.high - self.low)
        return replace(self, low=self.low - room, high=self.high + room)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round numbers on the axis, ascending, about `most` of them at the most."""
        return self._log_ticks(most) if self.log else self._even_ticks(most)

    def _even_ticks(self, most: int) -> list[float]:
        raw = (self.high - self.low) / max(most - 1, 1)
        size = 10.0 ** math.floor(math.log10(raw))
        step = next((size * m for m in (1, 2, 5) if size * m >= raw * 0.999), size * 10)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]

    def _log_ticks(self, most: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for factors in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            ticks = [m * 10.0**e for e in range(first, last + 1) for m in factors]
            ticks = [t for t in ticks if self.low * 0.999 <= t <= self.high * 1.001]
            if len(ticks) <= most:
                break
        return ticks[:: -(-len(ticks) // most)] if ticks else self._even_ticks(most)


@dataclass(frozen=True)
class Axis:
    """One upright axis of the parallel coordinates.

    Attributes:
        key: of the configuration.
        scale: of a span.
        levels: of a choice, from the bottom up.
    """

    key: str
    scale: Scale | None
    levels: tuple[Scalar, ...] = ()

    @classmethod
    def of(cls, key: str, entry: Any, seen: Sequence[Scalar]) -> Axis:
        """Return the axis of a key.

        Args:
            key: of the configuration.
            entry: of the space: a list of choices, or a mapping with `low`, `high` and `log`.
            seen: the trials' values; the base setting's may lie off the space and are put on.
        """
        if isinstance(entry, Mapping):
            values = [entry["low"], entry["high"], *(v for v in seen if isinstance(v, int | float))]
            return cls(key, Scale.of(values, bool(entry.get("log"))))
        levels: list[Scalar] = []
        for value in [*entry, *seen]:
            if not any(same(value, level) for level in levels):
                levels.append(value)
        numbers = [v for v in levels if isinstance(v, int | float) and not isinstance(v, bool)]
        return cls(key, None, tuple(sorted(numbers) if len(numbers) == len(levels) else levels))

    def at(self, value: Scalar) -> float:
        """Return where a value lies, 0 at the bottom; in the middle where it has no place."""
        if self.scale is not None:
            return self.scale.at(value) if isinstance(value, int | float) else 0.5
        place = next((i for i, level in enumerate(self.levels) if same(level, value)), None)
        return 0.5 if place is None or len(self.levels) < 2 else place / (len(self.levels) - 1)

    def labels(self) -> list[tuple[float, str]]:
        """Return what is written beside the axis, and where: its ends and round numbers, or its levels."""
        if self.scale is None:
            return [(self.at(level), spell(level)) for level in self.levels]
        labels = [(at, spell(value)) for at, value in ((0.0, self.scale.low), (1.0, self.scale.high))]
        whole = isinstance(self.scale.low, int) and isinstance(self.scale.high, int)
        for tick in self.scale.ticks(5):
            if whole and not float(tick).is_integer():
                continue
            at = self.scale.at(tick)
            if all(abs(at - other) >= _APART for other, _ in labels):
                labels.append((at, spell(tick)))
        return sorted(labels)


def shown_keys(space: Mapping[str, Any], importance: Mapping[str, float]) -> list[str]:
    """Return the keys that get an axis: the most important, in that order from the right to the left.

    The score stands at the far right, so that what matters most stands next to it.
    """
    weights = {key: finite(importance.get(key)) for key in space}
    ranks = {key: 0.0 if weight is None else weight for key, weight in weights.items()}
    kept = sorted(space, key=lambda key: -ranks[key])[:MOST_AXES]
    return sorted((key for key in space if key in kept), key=lambda key: ranks[key])
