"""The network as sampling runs it: in one thread, weights rounded once, fields kept apart.

Letters: B rows, Z noise, D dense width, M conditioning units, F numeric fields, S codes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from fingan.generator.threads import one_thread
from fingan.networks.tabular import ResidualGenerator, TabularGenerator
from fingan.types import Float32


@dataclass(frozen=True)
class RawFields:
    """What the network gives: numbers [F, B] as normal scores, logits [S, B] of the codes."""

    numbers: Float32
    logits: Float32


class Forward:
    """Runs a generator; its weights are read now.

    A residual generator's weights are rounded here instead of in every call, and its last layers
    write numbers and logits where they are used instead of side by side.

    Args:
        network: the averaged generator, on `device`.
        autocast: whether it runs in bf16.
        device: where it runs.
    """

    def __init__(self, network: TabularGenerator, autocast: bool, device: torch.device) -> None:
        self._network, self._device = network, device
        self._dtype, self._autocast = next(network.parameters()).dtype, autocast
        self._numeric, self._last = network.head.numeric, None
        if isinstance(network.trunk, ResidualGenerator):
            self._dtype, self._autocast = torch.bfloat16 if autocast else self._dtype, False
            self._network, self._last = _split(network, network.trunk, self._dtype)

    @torch.no_grad()
    def __call__(self, normal: Tensor, rows: Tensor | None, mask: Tensor | None) -> RawFields:
        """Return raw fields of B rows.

        Args:
            normal: noise [B, Z].
            rows: dense rows [B, D], of which the given positions are read; None for none.
            mask: 1.0 where a unit is given [B, M]; None for none.
        """

        def move(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(self._device, self._dtype)

        bf16 = torch.autocast(self._device.type, torch.bfloat16, enabled=self._autocast)
        with one_thread(), bf16:
            noise = normal.to(self._device, self._dtype)
            out = self._network.logits(noise, move(rows), move(mask))
            if self._last is None:
                raw = _array(out).T
                # Copied: a view would keep all logits with the numbers.
                return RawFields(raw[: self._numeric].copy(), raw[self._numeric :])
            return self._fields(self._last, out)

    @staticmethod
    def _fields(last: Mapping[str, nn.Linear], hidden: Tensor) -> RawFields:
        """Return the last layers' outputs for activated hidden rows [B, W]."""

        def field_by_field(name: str) -> Float32:
            if name not in last:
                return np.empty((0, hidden.shape[0]), dtype=np.float32)
            weight, bias = last[name].weight, last[name].bias
            # A narrow product in single precision is twice as fast this way round.
            return _array(torch.addmm(bias[:, None], weight, hidden.to(weight.dtype).T))

        return RawFields(field_by_field("numbers"), field_by_field("codes"))


def _split(
    network: TabularGenerator, trunk: ResidualGenerator, dtype: torch.dtype
) -> tuple[TabularGenerator, dict[str, nn.Linear]]:
    """Return a copy of the network that ends with its hidden rows, and copies of the last layers.

    All weights but those of the numbers, which run in full precision, are of `dtype`.
    """
    body, last = copy.deepcopy(network), copy.deepcopy(trunk.last)
    body.trunk = copy.deepcopy(trunk.body).to(dtype)
    if "numbers" in last:
        _fold(cast(nn.Linear, last["numbers"]), trunk.mixing)
    if "codes" in last:
        last["codes"].to(dtype)
    return body, {name: cast(nn.Linear, layer) for name, layer in last.items()}


@torch.no_grad()
def _fold(layer: nn.Linear, mixing: Tensor) -> None:
    """Make a layer's outputs what they would be after a product with `mixing`."""
    layer.weight.copy_(mixing.T @ layer.weight)
    layer.bias.copy_(layer.bias @ mixing)


def _array(tensor: Tensor) -> Float32:
    array: Float32 = tensor.float().cpu().numpy()
    return array
