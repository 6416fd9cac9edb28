"""Layers that every network shares. Letters: B rows, I inputs, O outputs, W hidden width.

Weights come from the caller's generator, never from the global one. Networks
hold no normalisation and no dropout: each row's output is a function of that
row alone, which is what makes the gradients of two workers add up exactly.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import skip_init

SLOPE = 0.2
"""Negative slope of every leaky ReLU."""

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def blank(kind: type[Layer], *sizes: int, **options: Any) -> Layer:
    """Return a layer with uninitialised parameters on the default device, which `skip_init` alone ignores."""
    layer: Layer = skip_init(kind, *sizes, **options, device=torch.get_default_device())
    return layer


def initialise(layer: Layer, fan_in: int, generator: torch.Generator, gain: float = 1.0) -> Layer:
    """Fill a layer in place: normal weights that keep the variance through a leaky ReLU, zero bias.

    Weights are N(0, gain² · 2 / ((1 + SLOPE²) · fan_in)), He et al. 2015, equation 15.

    Args:
        layer: a layer with uninitialised parameters.
        fan_in: inputs that each output sums over.
        generator: source of the draws; its state advances.
        gain: factor on the standard deviation; 0 gives a layer that returns zero.
    """
    deviation = gain * math.sqrt(2.0 / ((1.0 + SLOPE**2) * fan_in))
    with torch.no_grad():
        layer.weight.normal_(0.0, 1.0, generator=generator).mul_(deviation)
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def linear(
    inputs: int, outputs: int, generator: torch.Generator, *, gain: float = 1.0, bias: bool = True
) -> nn.Linear:
    """Return an initialised fully connected layer [B, I] → [B, O]."""
    return initialise(blank(nn.Linear, inputs, outputs, bias=bias), inputs, generator, gain)


def full_precision(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Apply a layer in its own parameters' precision, whatever autocast says.

    The last layer's output must not be rounded to bfloat16: its 8 significant
    bits would put generated numbers on a visible lattice and drown differences
    of logits.
    """
    with torch.autocast(inputs.device.type, enabled=False):
        outputs: Tensor = layer(inputs.to(next(layer.parameters()).dtype))
        return outputs


def activate(inputs: Tensor, *, inplace: bool = False) -> Tensor:
    """Return leaky ReLU; `inplace` where the caller has no further use for the input."""
    return functional.leaky_relu(inputs, SLOPE, inplace=inplace)


class ResidualBlock(nn.Module):
    """`h + leave(act(enter(act(h))))` [B, W] → [B, W]: pre-activation, no normalisation.

    The branch's last layer starts at zero, so a fresh network of any depth is
    its first and last layer (Zhang et al., Fixup, 2019). That layer has no bias:
    the next layer's covers it.
    """

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.enter = linear(width, width, generator)
        self.leave = linear(width, width, generator, gain=0.0, bias=False)

    def forward(self, hidden_BW: Tensor) -> Tensor:
        # In place where autograd allows: both layers keep their input, not their output.
        inner_BW = activate(self.enter(activate(hidden_BW)), inplace=True)
        branch_BW: Tensor = self.leave(inner_BW)
        return branch_BW.add_(hidden_BW)


class ResidualBody(nn.Module):
    """First layer and residual blocks: [B, I] → activated hidden rows [B, W].

    Narrower inputs count as followed by zeros, at the cost of what is there.
    """

    def __init__(self, inputs: int, width: int, blocks: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = linear(inputs, width, generator)
        self.blocks = nn.ModuleList(ResidualBlock(width, generator) for _ in range(blocks))

    def forward(self, inputs_BI: Tensor) -> Tensor:
        hidden_BW = self._enter(inputs_BI)
        for block in self.blocks:
            hidden_BW = block(hidden_BW)
        return activate(hidden_BW, inplace=True)

    def _enter(self, inputs: Tensor) -> Tensor:
        width = inputs.shape[1]
        if width == self.first.in_features:
            entered: Tensor = self.first(inputs)
            return entered
        return functional.linear(inputs, self.first.weight[:, :width], self.first.bias)


@torch.no_grad()
def ema_update(target: nn.Module, source: nn.Module, decay: float) -> None:
    """Move `target` towards `source` in place: `target ← decay · target + (1 - decay) · source`.

    Args:
        target: the moving average, of the same architecture as `source`.
        source: the network in training.
        decay: 0 copies the source, values near 1 average over 1 / (1 - decay) steps.
    """
    torch._foreach_lerp_(list(target.parameters()), list(source.parameters()), 1.0 - decay)
