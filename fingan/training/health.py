"""Detectors of unhealthy training; a detected state is rolled back, not carried on.

All inputs are the same on every worker, so all workers decide alike.
"""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fingan.networks.batch import Batch

Ailment = Literal["non_finite", "exploding", "vanishing", "saturated", "collapsed"]

EXPLODING = 1e3
VANISHING = 1e-9
SATURATED = 0.99
COLLAPSED = 0.05
PATIENCE = 4
MEMORY = 20

ENOUGH = 48.0
"""Variance of the real rows, summed over rows and places, that a spread is judged by: 48 rows of one number,
or so many that a flag is raised in 24 of them, which a sound generator leaves out once in 2^24 times.
"""

MOST_POOLED = 50
"""Windows that are looked at together for that; what they do not tell is left untold."""


@dataclass(frozen=True)
class Vitals:
    """Statistics of one window of steps, over all workers.

    Attributes:
        certainty: mean of σ(D(x) - D(G(z))) over pairs with nothing given, 0 … 1; 0.5 cannot tell.
        spread: total variance of what is generated over that of the same places in real rows; see
            `HealthMonitor.spread`.
        weight_norm: norm of all weights.
        discriminator_norm, generator_norm: gradient norms of the window's last step.
    """

    certainty: float
    spread: float
    weight_norm: float
    discriminator_norm: float
    generator_norm: float


class HealthMonitor:
    """Watches windows of steps and names what is wrong, if anything."""

    def __init__(self, bounded_scores: bool = True) -> None:
        """Start with a clean record; `bounded_scores` False ignores saturation (Wasserstein critics)."""
        self._bounded = bounded_scores
        self.reset()

    def reset(self) -> None:
        """Forget the past, as after a roll-back."""
        self._norms: deque[float] = deque(maxlen=MEMORY)
        self._spreads: deque[Tensor] = deque(maxlen=MOST_POOLED)
        self._runs: dict[Ailment, int] = {"saturated": 0, "collapsed": 0, "vanishing": 0}

    @property
    def sound(self) -> bool:
        """Whether the newest window showed no sign at all, so that its end is worth returning to."""
        return not any(self._runs.values())

    def spread(self, sums: Tensor) -> float:
        """Return the spread after a window, of the newest windows that are enough to judge by; 1 if none are.

        One is, but where real rows are nearly all alike: few of them hold nothing else by chance.

        Args:
            sums: of `spread_sums`, over all workers.
        """
        self._spreads.append(sums)
        pooled = torch.zeros_like(sums)
        for window in reversed(self._spreads):
            pooled = pooled + window
            count, real, _ = _variances(pooled)
            if float(count @ real) >= ENOUGH:
                return spread_of(pooled)
        return 1.0

    def check(self, vitals: Vitals) -> Ailment | None:
        """Return what is wrong after this window; None when all is well.

        Non-finite values and exploding gradients count at once, the others after
        `PATIENCE` windows in a row.
        """
        if not all(math.isfinite(value) for value in dataclasses.astuple(vitals)):
            return "non_finite"
        norm = max(vitals.discriminator_norm, vitals.generator_norm)
        usual = sorted(self._norms)[len(self._norms) // 2] if len(self._norms) >= PATIENCE else math.inf
        self._norms.append(norm)
        if norm > EXPLODING * max(usual, VANISHING):
            return "exploding"
        return self._lasting(
            {
                "saturated": self._bounded and vitals.certainty >= SATURATED,
                "collapsed": vitals.spread < COLLAPSED,
                "vanishing": vitals.generator_norm < VANISHING,
            }
        )

    def _lasting(self, signs: dict[Ailment, bool]) -> Ailment | None:
        for ailment, present in signs.items():
            self._runs[ailment] = self._runs[ailment] + 1 if present else 0
        return next((a for a, windows in self._runs.items() if windows >= PATIENCE), None)


def certainty_sums(batch: Batch, margin: Tensor) -> Tensor:
    """Return the local sum of σ(D(x) - D(G(z))) over pairs with nothing given, and their number [2].

    Where something is given, real and generated rows may agree in all the rest, and no
    discriminator however strong is certain.

    Args:
        batch: the last batch.
        margin: D(x) - D(G(z)) of its pairs [B].
    """
    free = (batch.mask == 0).all(dim=1).double()
    return torch.stack([(torch.sigmoid(margin).double() * free).sum(), free.sum()])


def spread_sums(batch: Batch, fake: Tensor, unit: Tensor) -> Tensor:
    """Return local sums [5 · D, float64] from which `spread_of` gets the spread, once they are added up.

    Only open places count: given ones repeat the real row, and would hide a collapse.

    Args:
        batch: the last batch.
        fake: the rows generated for it [B, D].
        unit: conditioning unit of each dense position [D].
    """
    is_open = 1.0 - batch.mask.index_select(1, unit).double()
    sums = [is_open.sum(dim=0)]
    for rows in (batch.rows.double(), fake.double()):
        sums += [(is_open * rows).sum(dim=0), (is_open * rows.square()).sum(dim=0)]
    return torch.cat(sums)


def _variances(sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the open rows of each place, and the variances of real and of generated ones there, all [D]."""
    count, *moments = sums.view(5, -1)
    rows = count.clamp(min=1.0)
    real, made = (
        (squares / rows - (total / rows).square()).clamp(min=0.0)
        for total, squares in (moments[:2], moments[2:])
    )
    return count, real, made


def spread_of(sums: Tensor) -> float:
    """Return the total variance of generated rows over that of real ones; 1 where real rows have none."""
    _, real, made = _variances(sums)
    whole = real.sum()
    return float(made.sum() / whole) if float(whole) > 0.0 else 1.0
