"""Numbers that repeat another number of their row.

Letters: B rows, D dense width, F numeric fields, K sources of a number, G grid points.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from fingan.encoding.layout import Layout


class _Copy(NamedTuple):
    """One number that repeats others: its field, where its relation begins in the row, its sources."""

    target: int
    relation: int
    sources: tuple[int, ...]
    reach: float


class _Step(NamedTuple):
    """What the backward pass needs: choices and values [1 + K, B], slopes [K, B], and open rows [B]."""

    copy: _Copy
    share: Tensor
    value: Tensor
    slope: Tensor
    is_open: Tensor


class CopiedNumbers(nn.Module):
    """Puts a copied value where its relation says so, as real rows have it.

    In chains (c repeats b, b repeats a) the fields follow in decoding order, so each
    source is final before it is copied. Gradients reach the copied number's source and,
    through the relation's one-hot block, the choice to copy.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        offsets = layout.offsets()
        self.numeric = layout.numeric
        self.copies = [_Copy(c.target, int(offsets[c.relation]), c.sources, c.reach) for c in layout.copies]
        for number, copy in enumerate(layout.copies):
            self.register_buffer(f"scores_{number}", torch.from_numpy(copy.scores).float(), persistent=False)

    def forward(self, rows_BD: Tensor, given_BD: Tensor) -> Tensor:
        """Return the rows with copies in their places; what is given stays.

        Args:
            rows_BD: generated rows, given values among them.
            given_BD: bool.
        """
        if not self.copies:
            return rows_BD
        scores = [getattr(self, f"scores_{number}") for number in range(len(self.copies))]
        copied_BD: Tensor = _Copying.apply(  # type: ignore[no-untyped-call]
            rows_BD, given_BD, self.numeric, self.copies, scores
        )
        return copied_BD


class _Copying(torch.autograd.Function):
    """The copies of all numbers in turn; by hand, because a graph of their small steps costs far more."""

    @staticmethod
    def forward(
        ctx: Any, rows_BD: Tensor, given_BD: Tensor, numeric: int, copies: list[_Copy], scores: list[Tensor]
    ) -> Tensor:
        numbers_FB = rows_BD[:, :numeric].T.contiguous()
        ctx.numeric, ctx.steps = numeric, []
        for copy, scores_KG in zip(copies, scores, strict=True):
            share = rows_BD[:, copy.relation : copy.relation + 1 + len(copy.sources)].T.contiguous()
            value, slope = _look_up(scores_KG, numbers_FB[list(copy.sources)], copy.reach)
            value = torch.cat([numbers_FB[copy.target : copy.target + 1], value])
            step = _Step(copy, share, value, slope, ~given_BD[:, copy.target])
            chosen = (share * value).sum(dim=0)
            numbers_FB[copy.target] = torch.where(step.is_open, chosen, value[0])
            ctx.steps.append(step)
        return torch.cat([numbers_FB.T, rows_BD[:, numeric:]], dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        slope_BD = gradients[0].clone()
        slope_FB = slope_BD[:, : ctx.numeric].T.contiguous()
        for copy, share, value, slope, is_open in reversed(ctx.steps):
            flow = slope_FB[copy.target] * is_open
            slope_BD[:, copy.relation : copy.relation + share.shape[0]] += (flow * value).T
            slope_FB[copy.target] = torch.where(is_open, flow * share[0], slope_FB[copy.target])
            slope_FB.index_add_(0, torch.tensor(copy.sources, device=flow.device), flow * share[1:] * slope)
        slope_BD[:, : ctx.numeric] = slope_FB.T
        return slope_BD, None, None, None, None


def _look_up(scores_KG: Tensor, score_KB: Tensor, reach: float) -> tuple[Tensor, Tensor]:
    """Interpolate tables over -reach … reach, constant beyond; return values and slopes [K, B]."""
    scale = (scores_KG.shape[1] - 1) / (2 * reach)
    place_KB = ((score_KB + reach) * scale).clamp_(0, scores_KG.shape[1] - 1)
    left_KB = place_KB.floor().clamp_(max=scores_KG.shape[1] - 2)
    index_KB = left_KB.long()
    low_KB = scores_KG.gather(1, index_KB)
    rise_KB = scores_KG.gather(1, index_KB + 1).sub_(low_KB)
    inside_KB = score_KB.abs() < reach
    return torch.addcmul(low_KB, place_KB - left_KB, rise_KB), rise_KB * scale * inside_KB
