"""The generator's last step: raw outputs become a dense row with exact one-hot blocks.

Letters: B rows, D dense width, F numeric fields, C categorical fields, S codes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from fingan.encoding.layout import Layout
from fingan.types import Int64

TEMPERATURE = 0.5
"""Of the Gumbel-softmax; the forward draw does not depend on it, the gradient does."""

_SPREAD = 4
"""Fields whose widths differ by more than this factor are padded apart."""


def width_groups(widths: tuple[int, ...]) -> list[list[int]]:
    """Split fields, narrow to wide, so that padding within a group at most quadruples its codes."""
    groups: list[list[int]] = []
    for field in sorted(range(len(widths)), key=lambda f: widths[f]):
        if not groups or widths[field] > _SPREAD * widths[groups[-1][0]]:
            groups.append([])
        groups[-1].append(field)
    return groups


def padded_index(widths: tuple[int, ...], group: list[int]) -> Int64:
    """Return code positions [fields of the group, widest] with each field's first code as padding.

    A repeated code changes no maximum, so the padding needs no mask.
    """
    starts = np.cumsum((0, *widths))
    widest = max(widths[field] for field in group)
    position = np.arange(widest)
    return np.stack([starts[f] + np.where(position < widths[f], position, 0) for f in group])


class _StraightThrough(torch.autograd.Function):
    """Exact one-hot forwards, the gradient of softmax(scaled) backwards."""

    @staticmethod
    def forward(
        ctx: Any, scaled_BS: Tensor, winners_BC: Tensor, field_S: Tensor, member_SC: Tensor
    ) -> Tensor:
        if ctx.needs_input_grad[0]:
            top_BS = scaled_BS.gather(1, winners_BC).index_select(1, field_S)
            weight_BS = torch.sub(scaled_BS, top_BS, out=top_BS).exp_()
            total_BC = weight_BS @ member_SC
            weight_BS.div_(total_BC.index_select(1, field_S))
            ctx.save_for_backward(weight_BS, field_S, member_SC)
        return torch.zeros_like(scaled_BS).scatter_(1, winners_BC, 1.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight_BS, field_S, member_SC = ctx.saved_tensors
        with torch.autocast(weight_BS.device.type, enabled=False):
            slope_BS = gradients[0] * weight_BS
            mean_BC = slope_BS @ member_SC
            slope_BS.addcmul_(weight_BS, mean_BC.index_select(1, field_S), value=-1.0)
        return slope_BS, None, None, None


class StraightThroughHead(nn.Module):
    """Numbers pass; each categorical block becomes a one-hot draw with a soft gradient.

    The draw is argmax(logits + gumbel), exactly categorical; backwards it is
    softmax((logits + gumbel) / τ): the straight-through Gumbel-softmax of Jang,
    Gu & Poole (2017). All blocks are handled together: one padded maximum per
    group of similar widths, sums per block as one product with a membership matrix.

    Args:
        layout: the dense row.
        temperature: τ > 0 of the gradient.
    """

    owner: Tensor
    rank: Tensor
    member: Tensor

    def __init__(self, layout: Layout, temperature: float = TEMPERATURE) -> None:
        super().__init__()
        self.numeric, self.fields, self.temperature = layout.numeric, len(layout.widths), temperature
        groups = width_groups(layout.widths)
        order = [field for group in groups for field in group]
        rank = np.argsort(order)
        self.shapes = []
        for number, group in enumerate(groups):
            index = padded_index(layout.widths, group)
            self.shapes.append(index.shape)
            self._keep(f"codes_{number}", index.ravel())
        owner = np.repeat(np.arange(self.fields), layout.widths)
        self._keep("owner", owner)
        self._keep("rank", rank)
        member = np.eye(self.fields, dtype=np.float32)[owner]
        self.register_buffer("member", torch.from_numpy(member), persistent=False)

    def _keep(self, name: str, index: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(np.asarray(index, dtype=np.int64)), persistent=False)

    def _winners(self, noisy_BS: Tensor) -> Tensor:
        """Return the position among all codes of each field's largest value, int64 [B, C]."""
        parts = []
        for number, shape in enumerate(self.shapes):
            codes = getattr(self, f"codes_{number}")
            padded = noisy_BS.index_select(1, codes).view(-1, *shape)
            base = torch.arange(0, codes.numel(), shape[1], device=codes.device)
            parts.append(codes[padded.argmax(dim=2).add_(base)])
        return torch.cat(parts, dim=1).index_select(1, self.rank)

    def chances(self, raw_BD: Tensor) -> Tensor:
        """Return each code's probability [B, S]: the softmax of its block's logits."""
        with torch.autocast(raw_BD.device.type, enabled=False):
            logits_BS = raw_BD[:, self.numeric :]
            top_BS = logits_BS.detach().gather(1, self._winners(logits_BS.detach()))
            weight_BS = (logits_BS - top_BS.index_select(1, self.owner)).exp()
            return weight_BS / (weight_BS @ self.member).index_select(1, self.owner)

    def forward(self, raw_BD: Tensor, gumbel_BS: Tensor) -> Tensor:
        """Return dense rows [B, D]; autocast does not reach in here."""
        if not self.fields:
            return raw_BD
        with torch.autocast(raw_BD.device.type, enabled=False):
            noisy_BS = raw_BD[:, self.numeric :] + gumbel_BS
            winners_BC = self._winners(noisy_BS.detach())
            scaled_BS = noisy_BS / self.temperature
            hard_BS = _StraightThrough.apply(  # type: ignore[no-untyped-call]
                scaled_BS, winners_BC, self.owner, self.member
            )
            return torch.cat([raw_BD[:, : self.numeric], hard_BS], dim=1)
