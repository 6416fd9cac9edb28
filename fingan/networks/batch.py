"""What one step feeds to the networks. Letters: B rows, D dense width, M units, Z noise, S codes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor


class Scores(NamedTuple):
    """A discriminator's verdict on B rows.

    Attributes:
        logits: unbounded scores [B], higher for what looks real.
        probability: `sigmoid(logits)` [B], in 0 … 1.
    """

    logits: Tensor
    probability: Tensor

    @classmethod
    def of(cls, logits: Tensor) -> Scores:
        """Return the scores of `logits` [B]."""
        return cls(logits, torch.sigmoid(logits))


@dataclass(frozen=True)
class Batch:
    """The local share of one step's global batch: B rows, of which K pay the gradient penalty.

    Attributes:
        rows: real dense rows [B, D]: numeric fields as normal scores, then one-hot blocks.
        mask: 1.0 where a conditioning unit is given, 0.0 where it is open [B, M].
        noise: the generator's noise, standard normal [B, Z].
        gumbel: standard Gumbel noise, one per code [B, S].
        penalised: places of the paying rows among these, int64 [K].
        jitter_real: standard normal steps away from the paying real rows [K, D].
        jitter_fake: the same for the generated rows [K, D].
        mix: uniform weights of paying real rows against generated ones [K, 1].
        global_size: rows of the global batch. Losses are local sums over it, so the
            gradients of all workers *add up* to the gradient of the global batch.
    """

    rows: Tensor
    mask: Tensor
    noise: Tensor
    gumbel: Tensor
    penalised: Tensor
    jitter_real: Tensor
    jitter_fake: Tensor
    mix: Tensor
    global_size: int

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Batch:
        """Return the batch on a device, its floating tensors in a type."""
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "global_size"}
        moved = {n: t.to(device, dtype if t.is_floating_point() else None) for n, t in tensors.items()}
        return Batch(**moved, global_size=self.global_size)
