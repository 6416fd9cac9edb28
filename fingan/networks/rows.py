"""Dense rows from fields: normal scores of drawn u, then one-hot blocks."""

from __future__ import annotations

import torch
from torch import Tensor

from fingan.encoding.layout import Layout

TINY = 1e-7
"""Keeps u off 0 and 1, where the normal score is infinite."""


def dense_rows(layout: Layout, lower: Tensor, width: Tensor, places: Tensor, position: Tensor) -> Tensor:
    """Return dense rows [B, D]: normal scores of drawn u, then one-hot blocks.

    Args:
        layout: where the fields stand.
        lower, width: intervals of u [B, F].
        places: dense position of each categorical field's code [B, C].
        position: uniforms [B, F], the V of the distributional transform.
    """
    rows = lower.new_zeros(lower.shape[0], layout.dense)
    u = torch.addcmul(lower, width, position).clamp_(TINY, 1.0 - TINY)
    rows[:, : layout.numeric] = torch.special.ndtri(u)
    return rows.scatter_(1, places, 1.0)
