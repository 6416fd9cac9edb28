"""Gradient penalties, and the one discriminator pass that they share with the loss.

Letters: B rows, D dense width, M conditioning units.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from fingan.networks.batch import Batch
from fingan.objective.base import Discriminator

SIGMA = 0.1
"""Length scale of the first-order penalty's steps, in normal scores and one-hot units."""

Judge = Callable[[Discriminator, Batch, Tensor], "Judged"]


class Judged(NamedTuple):
    """Logits of real and generated rows [B] each, and the summed squared slopes (scalar)."""

    real: Tensor
    fake: Tensor
    slopes: Tensor | None


def judge(disc: Discriminator, batch: Batch, fake: Tensor) -> Judged:
    """Score real and generated rows in one pass, without a penalty."""
    logits = disc(torch.cat([batch.rows, fake]), batch.mask.repeat(2, 1)).logits
    real, made = logits.chunk(2)
    return Judged(real, made, None)


def judge_exact(disc: Discriminator, batch: Batch, fake: Tensor) -> Judged:
    """Score both sides and sum ‖∇ₓD‖² over all their rows, by double backward.

    One pass scores both; no row's score depends on another's, so the gradient
    of the summed logits holds every row's own gradient.
    """
    rows = torch.cat([batch.rows, fake]).requires_grad_()
    with torch.enable_grad():
        logits = disc(rows, batch.mask.repeat(2, 1)).logits
        (slope,) = torch.autograd.grad(logits.sum(), rows, create_graph=True)
    real, made = logits.chunk(2)
    return Judged(real, made, slope.square().sum())


def judge_first_order(disc: Discriminator, batch: Batch, fake: Tensor, sigma: float = SIGMA) -> Judged:
    """Score both sides and estimate ‖∇ₓD‖² by one random step per row, without double backward.

    With ε ~ N(0, I), E[(D(x) - D(x + σε))²] / σ² = ‖∇D‖² + O(σ²); for a linear D
    it is exact in expectation. Every dense position is stepped, given ones too.
    """
    steps = torch.cat([batch.jitter_real, batch.jitter_fake])
    rows = torch.cat([batch.rows, fake])
    near = torch.add(rows, steps, alpha=sigma)
    logits = disc(torch.cat([rows, near]), batch.mask.repeat(4, 1)).logits
    here, there = logits.chunk(2)
    real, made = here.chunk(2)
    return Judged(real, made, (here - there).square().sum() / sigma**2)


_PENALISED: dict[str, Judge] = {"exact": judge_exact, "first_order": judge_first_order}


@dataclass(frozen=True)
class ZeroCentred:
    """R1 + R2: γ/2 · (E‖∇D(x)‖² over real rows + E‖∇D(G(z))‖² over generated rows).

    Mescheder, Geiger & Nowozin, "Which training methods for GANs do actually
    converge?" (2018), equations 9 and 10; both sides at once as in Huang et al.,
    "The GAN is dead; long live the GAN!" (arXiv 2501.05441, 2024).

    Attributes:
        kind: `exact`, `first_order` or `none`.
        every: steps between penalties; each is weighted by it, so that its mean over steps stays.
    """

    kind: Literal["exact", "first_order", "none"] = "first_order"
    every: int = 1

    def due(self, step: int, gamma: float) -> bool:
        """Tell whether this step pays the penalty."""
        return self.kind != "none" and gamma > 0.0 and step % self.every == 0

    def judge(self, disc: Discriminator, batch: Batch, fake: Tensor, step: int, gamma: float) -> Judged:
        """Score both sides in one pass; `slopes` is None where no penalty is due."""
        if not self.due(step, gamma):
            return judge(disc, batch, fake)
        return _PENALISED[self.kind](disc, batch, fake)

    def weigh(self, judged: Judged, batch: Batch, gamma: float) -> Tensor:
        """Return the penalty's share of the loss (scalar), zero where none was due."""
        if judged.slopes is None:
            return judged.real.new_zeros(())
        return judged.slopes * (0.5 * gamma * self.every / batch.global_size)
