"""The scalars that a loss leaves for the log."""

from __future__ import annotations

import torch
from torch import Tensor

from fingan.networks.batch import Batch
from fingan.objective.base import Terms


@torch.no_grad()
def describe(
    loss: Tensor, real: Tensor | None, fake: Tensor, batch: Batch, penalty: Tensor | None = None
) -> Terms:
    """Return detached scalars; summed over workers each is a mean over the global batch.

    Args:
        loss: the loss, with its penalty.
        real: logits of real rows [B]; None where the loss needs none.
        fake: logits of generated rows [B].
        batch: for the size of the global batch.
        penalty: the penalty's share of the loss; None in generator losses.

    Returns:
        `loss` and `fake_logit`; with real logits also `real_logit` and `accuracy`,
        the share of pairs whose real row scores higher (0.5: cannot tell).
    """
    size = batch.global_size
    terms = {"loss": loss.detach(), "fake_logit": fake.sum() / size}
    if penalty is not None:
        terms["penalty"] = penalty.detach()
    if real is not None:
        terms["real_logit"] = real.sum() / size
        terms["accuracy"] = torch.heaviside(real - fake, real.new_full((), 0.5)).sum() / size
    return terms
