"""What an objective is: two losses of paired scores, and a penalty on the discriminator.

Losses are sums over local rows divided by the global batch. Because of that division,
gradients of workers are *summed*, not averaged, and equal the gradient of the global batch
however its rows are shared out. Terms follow the same rule: summed over workers they are
global means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor

from fingan.networks.batch import Batch, Scores

Terms = dict[str, Tensor]
"""Detached scalars for the log."""

Discriminator = Callable[[Tensor, Tensor], Scores]
"""Rows [B, D] and masks [B, M] → scores of B rows."""


class Judged(NamedTuple):
    """One discriminator pass over a batch.

    Attributes:
        real, fake: logits of real and generated rows [B].
        penalty: weighted penalty, this worker's share of the loss (scalar).
    """

    real: Tensor
    fake: Tensor
    penalty: Tensor


class Penalty(Protocol):
    """Scores a batch, and what the discriminator pays for its slopes."""

    def judge(self, disc: Discriminator, batch: Batch, fake: Tensor, gamma: float) -> Judged:
        """Score real and generated rows.

        Args:
            disc: scores rows under their masks.
            batch: real rows, masks, which rows pay the penalty and the noise for it.
            fake: generated rows [B, D] on the batch's conditions, detached.
            gamma: the penalty's weight now, ≥ 0.
        """
        ...


class Objective(Protocol):
    """Pure functions of paired logits [B]: nothing is kept between steps."""

    @property
    def penalty(self) -> Penalty:
        """What the discriminator pays besides its loss."""
        ...

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the discriminator's loss of each pair [B]."""
        ...

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the generator's loss of each pair [B]."""
        ...
