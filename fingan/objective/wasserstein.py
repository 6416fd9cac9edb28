"""Wasserstein distance with a gradient penalty towards slope one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fingan.networks.batch import Batch
from fingan.objective.base import Discriminator, Judged, Penalty
from fingan.objective.penalties import score

_TINY = 1e-12


@dataclass(frozen=True)
class Wasserstein:
    """The Wasserstein-1 distance of a critic with bounded slope.

        L_D = E D(G(z)) - E D(x) + penalty
        L_G = -E D(G(z))

    Arjovsky, Chintala & Bottou, "Wasserstein GAN" (2017); with `UnitSlope` WGAN-GP.
    """

    penalty: Penalty

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """See `Objective.discriminator`."""
        return fake - real

    def generator(self, real: Tensor, fake: Tensor) -> Tensor:
        """See `Objective.generator`."""
        return -fake


@dataclass(frozen=True)
class UnitSlope:
    """λ · E (‖∇D(x̂)‖ - 1)² with x̂ = m · x + (1 - m) · G(z) and λ = γ.

    Gulrajani et al., "Improved training of Wasserstein GANs" (2017), equation 3, where λ = 10
    and the discriminator takes five steps per generator step. The norm has no unbiased
    first-order estimate, so this penalty is always exact.

    Attributes:
        every: every how-manieth row pays; each is weighted by it.
    """

    every: int = 1

    def judge(self, disc: Discriminator, batch: Batch, fake: Tensor, gamma: float) -> Judged:
        """See `Penalty.judge`; `gamma` is λ."""
        real, made = score(disc, batch, fake)
        if gamma == 0.0:
            return Judged(real, made, real.new_zeros(()))
        return Judged(real, made, unit_slope(disc, batch, fake) * (gamma * self.every / batch.global_size))


def unit_slope(disc: Discriminator, batch: Batch, fake: Tensor) -> Tensor:
    """Return Σ (‖∇D(x̂)‖ - 1)² over the paying rows, x̂ between each real row and its generated partner."""
    picked = batch.penalised
    rows = torch.lerp(fake[picked], batch.rows[picked], batch.mix).requires_grad_()
    with torch.enable_grad():
        logits = disc(rows, batch.mask[picked]).logits
        (slope,) = torch.autograd.grad(logits.sum(), rows, create_graph=True)
    # The tiny constant keeps the root's derivative finite where the slope is zero.
    norm = (slope.square().sum(dim=1) + _TINY).sqrt()
    return (norm - 1.0).square().sum()
