"""Wasserstein distance with a gradient penalty towards slope one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fingan.networks.batch import Batch
from fingan.objective.base import Discriminator, Terms
from fingan.objective.penalties import judge
from fingan.objective.terms import describe

_TINY = 1e-12


@dataclass(frozen=True)
class WassersteinGP:
    """WGAN-GP.

        L_D = E D(G(z)) - E D(x) + λ · E (‖∇D(x̂)‖ - 1)²,  x̂ = m · x + (1 - m) · G(z),  λ = γ
        L_G = -E D(G(z))

    Gulrajani et al., "Improved training of Wasserstein GANs" (2017), equation 3,
    where λ = 10 and the discriminator takes five steps per generator step. The
    norm has no unbiased first-order estimate, so this penalty is always exact.

    Attributes:
        penalised: False leaves the penalty out.
        every: steps between penalties, each weighted by it.
    """

    penalised: bool = True
    every: int = 1

    def discriminator_loss(
        self, disc: Discriminator, batch: Batch, fake: Tensor, step: int, gamma: float
    ) -> tuple[Tensor, Terms]:
        """See `Objective.discriminator_loss`; `gamma` is λ."""
        fake = fake.detach()
        judged = judge(disc, batch, fake)
        penalty = judged.real.new_zeros(())
        if self.penalised and gamma > 0.0 and step % self.every == 0:
            penalty = unit_slope(disc, batch, fake) * (gamma * self.every / batch.global_size)
        loss = (judged.fake - judged.real).sum() / batch.global_size + penalty
        return loss, describe(loss, judged.real, judged.fake, batch, penalty)

    def generator_loss(
        self, disc: Discriminator, batch: Batch, fake: Tensor, step: int
    ) -> tuple[Tensor, Terms]:
        """See `Objective.generator_loss`."""
        made = disc(fake, batch.mask).logits
        loss = -made.sum() / batch.global_size
        return loss, describe(loss, None, made, batch)


def unit_slope(disc: Discriminator, batch: Batch, fake: Tensor) -> Tensor:
    """Return Σ (‖∇D(x̂)‖ - 1)² over local rows, x̂ between each real row and its generated partner."""
    rows = torch.lerp(fake, batch.rows, batch.mix).requires_grad_()
    with torch.enable_grad():
        logits = disc(rows, batch.mask).logits
        (slope,) = torch.autograd.grad(logits.sum(), rows, create_graph=True)
    # The tiny constant keeps the root's derivative finite where the slope is zero.
    norm = (slope.square().sum(dim=1) + _TINY).sqrt()
    return (norm - 1.0).square().sum()
