"""The scalars that a step leaves for the log."""

from __future__ import annotations

import torch
from torch import Tensor

from fingan.objective.base import Judged, Terms


@torch.no_grad()
def describe(told: Tensor, made: Tensor, judged: Judged, size: int) -> Terms:
    """Return detached scalars; summed over workers each is a mean over the global batch.

    Args:
        told: the discriminator's loss, with its penalty.
        made: the generator's loss.
        judged: logits and penalty.
        size: rows of the global batch.

    Returns:
        Both losses, the `penalty`, the mean logits, and `accuracy`, the share of pairs whose
        real row scores higher (0.5: cannot tell).
    """
    real, fake = judged.real.detach(), judged.fake.detach()
    return {
        "discriminator_loss": told.detach(),
        "generator_loss": made.detach(),
        "penalty": judged.penalty.detach(),
        "real_logit": real.sum() / size,
        "fake_logit": fake.sum() / size,
        "accuracy": torch.heaviside(real - fake, real.new_full((), 0.5)).sum() / size,
    }
