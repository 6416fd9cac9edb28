"""Zero-centred gradient penalties, and the discriminator pass that they share with the loss.

Letters: B rows, K rows that pay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from fingan.networks.batch import Batch
from fingan.objective.base import Discriminator, Judged


def score(disc: Discriminator, batch: Batch, fake: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits of real and of generated rows [B] each, of one pass."""
    logits = disc(torch.cat([batch.rows, fake]), batch.mask.repeat(2, 1)).logits
    real, made = logits.chunk(2)
    return real, made


def score_exact(disc: Discriminator, batch: Batch, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Score both sides, and sum ‖∇ₓD‖² where the paying rows' steps lead, by double backward.

    No row's score depends on another's, so the gradient of the summed logits holds every
    row's own gradient.
    """
    real, made = score(disc, batch, fake)
    picked = batch.penalised
    rows = batch.steps.taken(batch.rows[picked], fake[picked]).requires_grad_()
    with torch.enable_grad():
        logits = disc(rows, batch.mask[picked].repeat(2, 1)).logits
        (slope,) = torch.autograd.grad(logits.sum(), rows, create_graph=True)
    return real, made, slope.square().sum()


def score_first_order(disc: Discriminator, batch: Batch, fake: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Score both sides, and estimate squared slopes by one step per paying row, in the same pass.

    With ε ~ N(0, I), E[(D(x) - D(x + σε))²] / σ² = ‖∇D‖² + O(σ²); for a linear D
    it is exact in expectation. So much for numbers; between the one-hot rows of categories
    the steps are long (see `StepMaker`). Given positions are stepped like the others.
    """
    picked = batch.penalised
    there_rows = batch.steps.taken(batch.rows[picked], fake[picked])
    rows = torch.cat([batch.rows, fake, there_rows])
    mask = torch.cat([batch.mask, batch.mask, *[batch.mask[picked]] * 2])
    size = fake.shape[0]
    real, made, there = disc(rows, mask).logits.split([size, size, 2 * picked.numel()])
    here = torch.cat([real[picked], made[picked]])
    return real, made, (batch.steps.weights * (here - there).square()).sum()


@dataclass(frozen=True)
class ZeroCentred:
    """R1 + R2: γ/2 · (E‖∇D(x)‖² over real rows + E‖∇D(G(z))‖² over generated rows).

    Mescheder, Geiger & Nowozin, "Which training methods for GANs do actually
    converge?" (2018), equations 9 and 10; both sides at once as in Huang et al.,
    "The GAN is dead; long live the GAN!" (arXiv 2501.05441, 2024).

    Attributes:
        kind: `exact`, `first_order` or `none`.
        every: every how-manieth row pays; each is weighted by it, so that the mean stays.
    """

    kind: Literal["exact", "first_order", "none"] = "first_order"
    every: int = 1

    def judge(self, disc: Discriminator, batch: Batch, fake: Tensor, gamma: float) -> Judged:
        """See `Penalty.judge`."""
        if self.kind == "none" or gamma == 0.0:
            real, made = score(disc, batch, fake)
            return Judged(real, made, real.new_zeros(()))
        scored = score_exact if self.kind == "exact" else score_first_order
        real, made, slopes = scored(disc, batch, fake)
        return Judged(real, made, slopes * (0.5 * gamma * self.every / batch.global_size))
