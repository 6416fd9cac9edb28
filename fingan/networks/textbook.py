"""The textbook pair, for comparison: dense and convolutional networks for samples of a given shape.

Letters: B rows, Z noise, I inputs, H × W × C height, width and channels of an image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from fingan.errors import ConfigError
from fingan.networks.batch import Scores
from fingan.networks.layers import activate, blank, full_precision, initialise, linear

HIDDEN = 1024
"""Units of each of the two hidden layers of the dense pair."""

CHANNELS = 64
"""Channels of the convolutional pair next to the image; twice as many at a quarter of its side."""

_KERNEL, _STRIDE, _PADDING = 4, 2, 1


class DenseGenerator(nn.Module):
    """Noise [B, Z] → two hidden layers of 1,024 leaky-ReLU units → linear output [B, *shape].

    With shape (28, 28, 1) the output layer has the textbook's 784 units.

    Args:
        noise: inputs Z.
        shape: shape of one sample.
        generator: source of the initial weights.
    """

    def __init__(self, noise: int, shape: tuple[int, ...], *, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.first = linear(noise, HIDDEN, generator)
        self.second = linear(HIDDEN, HIDDEN, generator)
        self.last = linear(HIDDEN, math.prod(shape), generator, gain=0.5)

    def forward(self, noise_BZ: Tensor) -> Tensor:
        hidden = activate(self.second(activate(self.first(noise_BZ), inplace=True)), inplace=True)
        return full_precision(self.last, hidden).view(-1, *self.shape)


class DenseDiscriminator(nn.Module):
    """Samples [B, *shape] → two hidden layers of 1,024 leaky-ReLU units → scores [B]."""

    def __init__(self, shape: tuple[int, ...], *, generator: torch.Generator) -> None:
        super().__init__()
        self.first = linear(math.prod(shape), HIDDEN, generator)
        self.second = linear(HIDDEN, HIDDEN, generator)
        self.last = linear(HIDDEN, 1, generator, gain=0.5)

    def forward(self, samples: Tensor) -> Scores:
        hidden = activate(self.first(samples.flatten(1)), inplace=True)
        hidden = activate(self.second(hidden), inplace=True)
        return Scores.of(full_precision(self.last, hidden).squeeze(1))


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return height, width, channels.

    Raises:
        ConfigError: sides that two halvings do not divide.
    """
    if len(shape) != 3 or shape[0] % 4 or shape[1] % 4 or min(shape) < 1:
        raise ConfigError(
            f"a convolutional network needs a shape (height, width, channels) with sides that are "
            f"multiples of 4, got {tuple(shape)!r}; pad the sample or use 'dense'"
        )
    return shape[0], shape[1], shape[2]


def _down(inputs: int, outputs: int, generator: torch.Generator) -> nn.Conv2d:
    layer = blank(nn.Conv2d, inputs, outputs, _KERNEL, stride=_STRIDE, padding=_PADDING)
    return initialise(layer, inputs * _KERNEL**2, generator)


def _up(inputs: int, outputs: int, generator: torch.Generator, gain: float = 1.0) -> nn.ConvTranspose2d:
    layer = blank(nn.ConvTranspose2d, inputs, outputs, _KERNEL, stride=_STRIDE, padding=_PADDING)
    # Stride 2 spreads a 4 × 4 kernel: each output sums over a quarter of it.
    return initialise(layer, inputs * _KERNEL**2 // _STRIDE**2, generator, gain)


class ConvGenerator(nn.Module):
    """Noise [B, Z] → a small feature map → two transposed convolutions → images [B, H, W, C].

    Args:
        noise: inputs Z.
        shape: (height, width, channels), sides multiples of 4, as (28, 28, 1).
        channels: feature maps before the last layer; twice as many before the first.
        generator: source of the initial weights.

    Raises:
        ConfigError: a shape that is no such image.
    """

    def __init__(
        self, noise: int, shape: tuple[int, ...], *, generator: torch.Generator, channels: int = CHANNELS
    ) -> None:
        super().__init__()
        height, width, colours = _image(shape)
        self.map = (2 * channels, height // 4, width // 4)
        self.first = linear(noise, math.prod(self.map), generator)
        self.second = _up(2 * channels, channels, generator)
        self.last = _up(channels, colours, generator, gain=0.5)

    def forward(self, noise_BZ: Tensor) -> Tensor:
        hidden = activate(self.first(noise_BZ), inplace=True).view(-1, *self.map)
        hidden = activate(self.second(hidden), inplace=True)
        return full_precision(self.last, hidden).permute(0, 2, 3, 1)


class ConvDiscriminator(nn.Module):
    """Images [B, H, W, C] → two strided convolutions → scores [B].

    Raises:
        ConfigError: a shape that is no image with sides that are multiples of 4.
    """

    def __init__(
        self, shape: tuple[int, ...], *, generator: torch.Generator, channels: int = CHANNELS
    ) -> None:
        super().__init__()
        height, width, colours = _image(shape)
        self.first = _down(colours, channels, generator)
        self.second = _down(channels, 2 * channels, generator)
        self.last = linear(2 * channels * (height // 4) * (width // 4), 1, generator, gain=0.5)

    def forward(self, images: Tensor) -> Scores:
        hidden = activate(self.first(images.permute(0, 3, 1, 2)), inplace=True)
        hidden = activate(self.second(hidden), inplace=True)
        return Scores.of(full_precision(self.last, hidden.flatten(1)).squeeze(1))
