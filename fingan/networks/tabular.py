"""Generator and discriminator for dense rows, by architecture.

Letters: B rows, D dense width, M conditioning units, Z noise, S codes, I inputs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fingan.config import NetworkConfig
from fingan.encoding.layout import Layout
from fingan.networks.batch import Scores
from fingan.networks.copies import CopiedNumbers
from fingan.networks.features import RowFeatures
from fingan.networks.heads import StraightThroughHead
from fingan.networks.layers import ResidualBody, full_precision, linear
from fingan.networks.textbook import ConvDiscriminator, ConvGenerator, DenseDiscriminator, DenseGenerator
from fingan.types import Float64

__all__ = ["Scores", "TabularDiscriminator", "TabularGenerator", "build_discriminator", "build_generator"]

_LAST_GAIN = 0.5
_CODES_GAIN = 0.1
_LEAST_SHARE = 1e-6


class ResidualGenerator(nn.Module):
    """Inputs [B, I] → raw rows [B, D]: numbers in full precision, logits under autocast.

    Numbers come out as independent coordinates times `mixing` [F, F], a root of the training
    rows' correlation: a fresh generator has the right correlation, and narrow ridges of the data
    are as easily fitted as wide ones.
    """

    mixing: Tensor

    def __init__(
        self, inputs: int, layout: Layout, config: NetworkConfig, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.body = ResidualBody(inputs, config.width, config.blocks, generator)
        self.register_buffer("mixing", torch.eye(layout.numeric))
        # Two layers where one would do: only numbers must not be rounded to bfloat16.
        outputs = {"numbers": (layout.numeric, _LAST_GAIN), "codes": (layout.codes, _CODES_GAIN)}
        self.last = nn.ModuleDict(
            {n: linear(config.width, w, generator, gain=gain) for n, (w, gain) in outputs.items() if w}
        )

    def start_from(self, shares: Sequence[Float64], mixing: Tensor | None) -> None:
        """Set the biases of the category logits to the logarithms of training shares, and the mixing.

        With the codes' small gain the generator begins near independent categories of the
        right frequencies, and learns only the dependence that the discriminator shows it;
        large random logits would start it with dependence that is not there.
        """
        with torch.no_grad():
            if shares:
                logs = np.log(np.maximum(np.concatenate(shares), _LEAST_SHARE))
                cast(nn.Linear, self.last["codes"]).bias.copy_(torch.from_numpy(logs))
            if mixing is not None:
                self.mixing.copy_(mixing)

    def forward(self, inputs_BI: Tensor) -> Tensor:
        hidden = self.body(inputs_BI)
        parts = []
        if "numbers" in self.last:
            with torch.autocast(hidden.device.type, enabled=False):
                parts.append(full_precision(self.last["numbers"], hidden) @ self.mixing)
        if "codes" in self.last:
            parts.append(self.last["codes"](hidden).to(inputs_BI.dtype))
        return torch.cat(parts, dim=1)


class ResidualDiscriminator(nn.Module):
    """Inputs [B, I] → scores [B].

    The last layer has no bias: a constant cancels in the relativistic loss, so
    nothing but rounding would move it.
    """

    def __init__(self, inputs: int, config: NetworkConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.body = ResidualBody(inputs, config.width, config.blocks, generator)
        self.last = linear(config.width, 1, generator, gain=_LAST_GAIN, bias=False)

    def forward(self, inputs_BI: Tensor) -> Scores:
        return Scores.of(full_precision(self.last, self.body(inputs_BI)).squeeze(1))


class _Widen(nn.Module):
    """Pads rows [B, ≤ I] with zeros to [B, I], which the textbook networks need."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, rows: Tensor) -> Tensor:
        return functional.pad(rows, (0, self.width - rows.shape[1]))


class _AsImage(nn.Module):
    """Pads flat rows [B, I] with zeros to a square one-channel image [B, side, side, 1]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.side = image_side(width)
        self.padding = self.side**2 - width

    def forward(self, rows: Tensor) -> Tensor:
        return functional.pad(rows, (0, self.padding)).view(-1, self.side, self.side, 1)


class _FromImage(nn.Module):
    """Takes the first `width` values of an image [B, side, side, 1] as a flat row."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, : self.width]


def image_side(width: int) -> int:
    """Return the side of the smallest square image that holds `width` values, a multiple of 4."""
    return 4 * math.ceil(math.sqrt(width) / 4)


class Join(nn.Module):
    """Rows and masks side by side [B, D + M]: what the textbook discriminators see."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.width = layout.dense + layout.units

    def forward(self, rows_BD: Tensor, mask_BM: Tensor) -> Tensor:
        return torch.cat([rows_BD, mask_BM], dim=1)


class TabularGenerator(nn.Module):
    """Noise and a condition → whole rows that keep what was given.

    Args:
        layout: the dense row.
        trunk: maps [B, Z + M + D] (noise, mask, given values with zeros elsewhere) to raw rows [B, D];
            takes [B, Z] for a mask and values of zeros.
    """

    unit: Tensor

    def __init__(self, layout: Layout, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        self.head = StraightThroughHead(layout)
        self.copied = CopiedNumbers(layout)
        self.register_buffer("unit", torch.from_numpy(layout.unit_of_dense()), persistent=False)

    def start_from(self, shares: Sequence[Float64], mixing: Tensor | None = None) -> None:
        """Begin near the training rows' first moments, where the architecture can.

        Args:
            shares: training shares of each categorical field's codes; empty for no change.
            mixing: root [F, F] of the numeric fields' correlation; None for no change.
        """
        if isinstance(self.trunk, ResidualGenerator):
            self.trunk.start_from(shares, mixing)

    def logits(
        self, noise_BZ: Tensor, rows_BD: Tensor | None = None, mask_BM: Tensor | None = None
    ) -> Tensor:
        """Return raw rows [B, D]: numbers as normal scores, categories as unnormalised log-probabilities.

        Args:
            noise_BZ: standard normal.
            rows_BD: dense rows; only the given positions are read.
            mask_BM: 1.0 where a unit is given; None (with or without rows) when nothing is.
        """
        if rows_BD is None or mask_BM is None:
            return self._raw(noise_BZ)
        return self._raw(self._inputs(noise_BZ, rows_BD, mask_BM, self._given(mask_BM)))

    def forward(self, noise_BZ: Tensor, rows_BD: Tensor, mask_BM: Tensor, gumbel_BS: Tensor) -> Tensor:
        """Return generated rows [B, D] (see `draw`)."""
        return self.draw(noise_BZ, rows_BD, mask_BM, gumbel_BS)[0]

    def draw(
        self, noise_BZ: Tensor, rows_BD: Tensor, mask_BM: Tensor, gumbel_BS: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return generated rows and the raw rows that they were drawn from, [B, D] each.

        Given positions of the generated rows equal `rows_BD` bit for bit.

        Args:
            noise_BZ: standard normal.
            rows_BD: dense rows; only the given positions are read.
            mask_BM: 1.0 where a unit is given, else 0.0.
            gumbel_BS: standard Gumbel noise.
        """
        given_BD = self._given(mask_BM)
        raw_BD = self._raw(self._inputs(noise_BZ, rows_BD, mask_BM, given_BD))
        made_BD = torch.where(given_BD, rows_BD, self.head(raw_BD, gumbel_BS))
        return self.copied(made_BD, given_BD), raw_BD

    def _given(self, mask_BM: Tensor) -> Tensor:
        return (mask_BM > 0).index_select(1, self.unit)

    @staticmethod
    def _inputs(noise_BZ: Tensor, rows_BD: Tensor, mask_BM: Tensor, given_BD: Tensor) -> Tensor:
        # Not rows · mask: what is not given may hold anything, NaN included.
        return torch.cat([noise_BZ, mask_BM, torch.where(given_BD, rows_BD, 0.0)], dim=1)

    def _raw(self, inputs: Tensor) -> Tensor:
        raw_BD: Tensor = self.trunk(inputs)
        return raw_BD


class TabularDiscriminator(nn.Module):
    """Rows and masks → scores.

    Args:
        features: maps rows [B, D] and masks [B, M] to inputs [B, I].
        trunk: maps inputs to scores.
    """

    def __init__(self, features: nn.Module, trunk: nn.Module) -> None:
        super().__init__()
        self.features = features
        self.trunk = trunk

    def forward(self, rows_BD: Tensor, mask_BM: Tensor) -> Scores:
        scores: Scores = self.trunk(self.features(rows_BD, mask_BM))
        return scores


def _conv_channels(config: NetworkConfig) -> int:
    return max(1, config.width // 8)


def build_generator(layout: Layout, config: NetworkConfig, *, generator: torch.Generator) -> TabularGenerator:
    """Build the configured generator.

    Args:
        layout: the dense row.
        config: architecture, width, blocks and noise.
        generator: source of the initial weights; equal states give equal networks.
    """
    inputs = config.noise + layout.units + layout.dense

    def residual() -> nn.Module:
        return ResidualGenerator(inputs, layout, config, generator)

    def dense() -> nn.Module:
        return nn.Sequential(_Widen(inputs), DenseGenerator(inputs, (layout.dense,), generator=generator))

    def conv() -> nn.Module:
        shape = (image_side(layout.dense), image_side(layout.dense), 1)
        images = ConvGenerator(inputs, shape, generator=generator, channels=_conv_channels(config))
        return nn.Sequential(_Widen(inputs), images, _FromImage(layout.dense))

    trunks: dict[str, Callable[[], nn.Module]] = {"residual": residual, "dense": dense, "conv": conv}
    return TabularGenerator(layout, trunks[config.generator]())


def build_discriminator(
    layout: Layout, config: NetworkConfig, *, generator: torch.Generator
) -> TabularDiscriminator:
    """Build the configured discriminator.

    The residual one sees `RowFeatures`; the textbook ones see plain rows and masks.

    Args:
        layout: the dense row.
        config: architecture, width, blocks and knots.
        generator: source of the initial weights; equal states give equal networks.
    """
    if config.discriminator == "residual":
        features = RowFeatures(layout, config.knots)
        return TabularDiscriminator(features, ResidualDiscriminator(features.width, config, generator))
    join = Join(layout)
    if config.discriminator == "dense":
        return TabularDiscriminator(join, DenseDiscriminator((join.width,), generator=generator))
    shape = (image_side(join.width), image_side(join.width), 1)
    images = ConvDiscriminator(shape, generator=generator, channels=_conv_channels(config))
    return TabularDiscriminator(join, nn.Sequential(_AsImage(join.width), images))
