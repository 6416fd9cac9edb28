"""What a data-parallel step needs of its peers: sums, broadcasts, and flat gradients.

Plain modules and one flat all-reduce per network: exact with gradient penalties, where
wrappers that hook the backward pass are not. Losses are local sums over the global batch
size, so summing gradients over workers gives the gradient of the global batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Reducer(Protocol):
    """The group of workers as the loop sees it."""

    rank: int
    world: int

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sum over all workers, in place."""
        ...

    def broadcast_(self, tensor: Tensor) -> Tensor:
        """Take rank 0's values, in place."""
        ...


class Alone:
    """One worker, no group."""

    rank = 0
    world = 1

    def sum_(self, tensor: Tensor) -> Tensor:
        """Return the tensor as it is."""
        return tensor

    def broadcast_(self, tensor: Tensor) -> Tensor:
        """Return the tensor as it is."""
        return tensor


class Group:
    """The default process group of `torch.distributed` (gloo or nccl)."""

    def __init__(self) -> None:
        self.rank = dist.get_rank()
        self.world = dist.get_world_size()

    def sum_(self, tensor: Tensor) -> Tensor:
        """Sum over all workers, in place."""
        dist.all_reduce(tensor)
        return tensor

    def broadcast_(self, tensor: Tensor) -> Tensor:
        """Take rank 0's values, in place."""
        dist.broadcast(tensor, src=0)
        return tensor


class Reduced(NamedTuple):
    """What a backward pass came to over all workers: the loss, the norm of its gradient, and what
    was summed along with them."""

    loss: float
    norm: float
    carried: Tensor

    @property
    def finite(self) -> bool:
        """Whether both are; the same answer on every worker."""
        return math.isfinite(self.loss) and math.isfinite(self.norm)


class FlatGradients:
    """The gradients of a module as views of one buffer, reduced and measured at once.

    The parameters are taken when this is made, whether or not they require gradients later:
    switching that off and on (as the generator's update does with the discriminator) leaves
    the views where they are. Backward passes add into them in place; that holds for plain
    `backward()`, not for one with `create_graph=True`, which the penalties do not need.

    Args:
        module: whose gradients.
        reducer: the peers.
        carried: numbers to sum along with the gradients.
    """

    def __init__(self, module: nn.Module, reducer: Reducer, carried: int = 0) -> None:
        self._reducer = reducer
        self._parameters = list(module.parameters())
        sizes = [p.numel() for p in self._parameters]
        # The last places carry the loss and more, so that one reduction tells of all.
        self._gradients = sum(sizes)
        self._buffer = self._parameters[0].new_zeros(self._gradients + 1 + carried)
        *flat, self._loss, self._carried = self._buffer.split([*sizes, 1, carried])
        self._views = [f.view_as(p) for f, p in zip(flat, self._parameters, strict=True)]

    def clear(self) -> None:
        """Zero the gradients; backward then adds into the buffer."""
        self._buffer.zero_()
        for parameter, view in zip(self._parameters, self._views, strict=True):
            parameter.grad = view

    def reduce(self, loss: Tensor, carried: Tensor | None = None) -> Reduced:
        """Sum gradients, loss and the carried numbers over the workers."""
        self._loss.copy_(loss.detach())
        if carried is not None:
            self._carried.copy_(carried)
        self._reducer.sum_(self._buffer)
        norm = torch.linalg.vector_norm(self._buffer[: self._gradients])
        return Reduced(float(self._loss), float(norm), self._carried.clone())
