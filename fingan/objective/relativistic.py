"""The default objective: a real and a generated row on the same condition, judged against each other."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fingan.networks.batch import Batch
from fingan.objective.base import Discriminator, Terms
from fingan.objective.penalties import ZeroCentred
from fingan.objective.terms import describe


@dataclass(frozen=True)
class Relativistic:
    """Relativistic pairing with zero-centred gradient penalties.

        L_D = E softplus(-(D(x) - D(G(z)))) + γ/2 · (R1 + R2)
        L_G = E softplus(-(D(G(z)) - D(x)))

    Jolicoeur-Martineau (2018); with the two penalties Huang et al., "The GAN is
    dead; long live the GAN!" (arXiv 2501.05441, 2024), equations 1 to 4.
    """

    penalty: ZeroCentred

    def discriminator_loss(
        self, disc: Discriminator, batch: Batch, fake: Tensor, step: int, gamma: float
    ) -> tuple[Tensor, Terms]:
        """See `Objective.discriminator_loss`."""
        judged = self.penalty.judge(disc, batch, fake.detach(), step, gamma)
        penalty = self.penalty.weigh(judged, batch, gamma)
        loss = functional.softplus(judged.fake - judged.real).sum() / batch.global_size + penalty
        return loss, describe(loss, judged.real, judged.fake, batch, penalty)

    def generator_loss(
        self, disc: Discriminator, batch: Batch, fake: Tensor, step: int
    ) -> tuple[Tensor, Terms]:
        """See `Objective.generator_loss`."""
        # Generated rows first: under autocast, weights first cast without a graph stay cached without one.
        made = disc(fake, batch.mask).logits
        with torch.no_grad():
            real = disc(batch.rows, batch.mask).logits
        loss = functional.softplus(real - made).sum() / batch.global_size
        return loss, describe(loss, real, made, batch)
