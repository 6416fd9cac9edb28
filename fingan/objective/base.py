"""What an objective is: two losses, each a sum over local rows divided by the global batch.

Because of that division, gradients of workers are *summed*, not averaged, and
equal the gradient of the global batch however its rows are shared out.
Terms follow the same rule: summed over workers they are global means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from fingan.networks.batch import Batch, Scores

Terms = dict[str, Tensor]
"""Detached scalars for the log: `loss`, `penalty`, `real_logit`, `fake_logit`, `accuracy`."""

Discriminator = Callable[[Tensor, Tensor], Scores]
"""Rows [B, D] and masks [B, M] → scores of B rows."""


class Objective(Protocol):
    """A pair of losses. Pure functions of their arguments: nothing is kept between steps."""

    def discriminator_loss(
        self, disc: Discriminator, batch: Batch, fake: Tensor, step: int, gamma: float
    ) -> tuple[Tensor, Terms]:
        """Return the discriminator's loss (scalar) and its terms.

        Args:
            disc: scores rows under their masks.
            batch: real rows, masks and the penalty's noise.
            fake: generated rows [B, D] on the batch's conditions; detached here.
            step: number of the step, which decides whether the penalty is due.
            gamma: the penalty's weight now, ≥ 0.
        """
        ...

    def generator_loss(
        self, disc: Discriminator, batch: Batch, fake: Tensor, step: int
    ) -> tuple[Tensor, Terms]:
        """Return the generator's loss (scalar) and its terms.

        Args:
            disc: as above; its parameters need no gradient here.
            batch: real rows on the same conditions.
            fake: generated rows [B, D], attached to the generator's graph.
            step: number of the step.
        """
        ...
