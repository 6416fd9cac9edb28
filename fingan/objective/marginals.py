"""Keeps generated categories at the frequencies of the training rows.

Letters: B rows, S codes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from fingan.types import Float64

MEMORY = 0.9
"""Of the moving mean of generated probabilities, per step."""

MOST = 100.0
"""Largest ratio of training share to generated share that counts: a bound on one row's pull."""

_LEAST = 1e-7


class Marginals(nn.Module):
    """λ · Σ over fields of KL(training shares ‖ generated shares), for the generator.

    A category that the generator no longer makes has no straight-through gradient: its
    probability is near zero for every noise. This term's gradient is the training share times
    the share that a row has of the category's remaining probability, so it brings the category
    back where it is least unlikely. Where the shares agree it is zero.

    Generated shares are a moving mean over the steps before, so that the term is a sum over
    rows, which workers may share out.

    A step takes the mean over all rows of its batch, of which only those with nothing given count.
    So the weight in effect is λ times their share, `conditioning.unconditional_share` and those
    that are given nothing by chance: a good .8 · λ by default.

    Args:
        shares: training shares of each categorical field's codes.
        weight: λ ≥ 0.
    """

    shares: Tensor
    mean: Tensor

    def __init__(self, shares: Sequence[Float64], weight: float) -> None:
        super().__init__()
        self.weight = weight
        flat = torch.from_numpy(np.concatenate([np.empty(0), *shares])).to(torch.float32)
        self.register_buffer("shares", flat, persistent=False)
        self.register_buffer("mean", flat.clone())

    @property
    def active(self) -> bool:
        """Whether there is anything to keep."""
        return self.weight > 0.0 and self.shares.numel() > 0

    def loss(self, chances_BS: Tensor) -> Tensor:
        """Return the term of each row [B]; its gradient is that of the divergence, its value is not.

        Args:
            chances_BS: generated probabilities; zeros where a row is under a condition.
        """
        ratio_S = (self.shares / self.mean.clamp_min(_LEAST)).clamp_max(MOST)
        return -self.weight * (chances_BS @ ratio_S)

    def observe(self, total_S: Tensor, rows: Tensor) -> None:
        """Take the summed probabilities of all workers' free rows, and their number (scalar)."""
        if float(rows) > 0.0:
            self.mean.lerp_(total_S / rows, 1.0 - MEMORY)
