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
class Steps:
    """A step away from each of K paying rows, real ones first and then generated ones.

    A row is stepped either in its numbers or in its categories.

    Attributes:
        numbers: what is added to the numbers [2K, F].
        towards: one-hot blocks of other real rows [K, S].
        ways: how far each code goes towards them, 0 … 1 [2K, S].
        weights: of the squared difference that a step makes to the score, 1 / length² times the
            weight of its kind [2K].
    """

    numbers: Tensor
    towards: Tensor
    ways: Tensor
    weights: Tensor

    def taken(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return where the steps lead from paying rows [K, D] of both sides: [2K, D]."""
        here = torch.cat([real, fake])
        numbers, codes = here.split([self.numbers.shape[1], self.ways.shape[1]], dim=1)
        moved = torch.lerp(codes, self.towards.repeat(2, 1), self.ways)
        return torch.cat([numbers + self.numbers, moved], dim=1)


@dataclass(frozen=True)
class Batch:
    """The local share of one step's global batch: B rows, of which K pay the gradient penalty.

    Attributes:
        rows: real dense rows [B, D]: numeric fields as normal scores, then one-hot blocks.
        mask: 1.0 where a conditioning unit is given, 0.0 where it is open [B, M].
        noise: the generator's noise, standard normal [B, Z].
        gumbel: standard Gumbel noise, one per code [B, S].
        penalised: places of the paying rows among these, int64 [K].
        steps: where the penalty compares them with; rows do not move where it does not.
        mix: uniform weights of paying real rows against generated ones [K, 1].
        global_size: rows of the global batch. Losses are local sums over it, so the
            gradients of all workers *add up* to the gradient of the global batch.
    """

    rows: Tensor
    mask: Tensor
    noise: Tensor
    gumbel: Tensor
    penalised: Tensor
    steps: Steps
    mix: Tensor
    global_size: int

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Batch:
        """Return the batch on a device, its floating tensors in a type."""
        steps = Steps(**_moved(self.steps, device, dtype))
        return Batch(**_moved(self, device, dtype), steps=steps, global_size=self.global_size)


def _moved(
    holder: Batch | Steps, device: torch.device | str | None, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """Return the tensors of a record by name, on a device, floating ones in a type."""
    values = {field.name: getattr(holder, field.name) for field in fields(holder)}
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    return {n: _sent(t, device, dtype if t.is_floating_point() else None) for n, t in tensors.items()}


def _sent(tensor: Tensor, device: torch.device | str | None, dtype: torch.dtype | None) -> Tensor:
    """Return a tensor on a device in a type; to a GPU from pinned memory, without waiting for the copy."""
    if device is None or torch.device(device).type != "cuda" or tensor.is_cuda:
        return tensor.to(device, dtype)
    return tensor.to(dtype=dtype).pin_memory().to(device, non_blocking=True)
