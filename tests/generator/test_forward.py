"""The network as sampling runs it gives what the network's own module gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fingan.config import NetworkConfig
from fingan.encoding.layout import Layout
from fingan.generator.forward import Forward, RawFields
from fingan.networks.tabular import TabularGenerator, build_generator

CPU = torch.device("cpu")
NOISE, ROWS = 8, 64
BOTH = Layout(
    numeric=3, widths=(3, 2), units=4, unit_of_field=(0, 1, 2, 3, 3), edges=tuple(np.empty(0) for _ in "123")
)
NUMBERS = Layout(numeric=2, widths=(), units=2, unit_of_field=(0, 1), edges=(np.empty(0), np.empty(0)))
CODES = Layout(numeric=0, widths=(3, 2), units=2, unit_of_field=(0, 1), edges=())


def network(layout: Layout, name: str = "residual") -> TabularGenerator:
    source = torch.Generator().manual_seed(1)
    config = NetworkConfig(generator=name, width=64, blocks=2, noise=NOISE)
    made = build_generator(layout, config, generator=source)
    with torch.no_grad():
        for weight in made.parameters():
            # A fresh network's branches return zero.
            weight.add_(torch.randn(weight.shape, generator=source), alpha=0.05)
    made.start_from([], torch.randn(layout.numeric, layout.numeric, generator=source))
    return made


def joined(fields: RawFields) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([fields.numbers, fields.logits]).T)


def inputs(layout: Layout) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(2)
    rows = torch.randn(ROWS, layout.dense, generator=source)
    mask = (torch.rand(ROWS, layout.units, generator=source) < 0.5).float()
    return torch.randn(ROWS, NOISE, generator=source), rows, mask


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("layout", [BOTH, NUMBERS, CODES])
@pytest.mark.parametrize("name", ["residual", "dense", "conv"])
def test_it_gives_what_the_module_gives(name, layout, autocast, given):
    made = network(layout, name)
    noise, rows, mask = inputs(layout)
    condition = (rows, mask) if given else (None, None)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        expected = made.logits(noise, *condition).float()
    found = joined(Forward(made, autocast, CPU)(noise, *condition))
    # The hidden rows are equal bit for bit; the last sums may be in another order.
    step = 2.0**-7 if autocast else 1e-5
    assert torch.allclose(found[:, : layout.numeric], expected[:, : layout.numeric], rtol=1e-4, atol=1e-5)
    assert torch.allclose(found[:, layout.numeric :], expected[:, layout.numeric :], rtol=step, atol=step)


def test_numbers_keep_single_precision_in_bf16():
    noise, _, _ = inputs(BOTH)
    numbers = Forward(network(BOTH), True, CPU)(noise, None, None).numbers
    rounded = torch.from_numpy(numbers).bfloat16().float().numpy()
    assert (numbers != rounded).mean() > 0.9


def test_it_leaves_the_network_alone():
    made = network(BOTH)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    noise, _, _ = inputs(BOTH)
    Forward(made, True, CPU)(noise, None, None)
    after = made.state_dict()
    assert all(
        after[name].dtype == value.dtype and after[name].equal(value) for name, value in before.items()
    )
    assert made.logits(noise).requires_grad


def test_double_precision_stays_double_inside():
    made = network(BOTH).double()
    noise, _, _ = inputs(BOTH)
    found = joined(Forward(made, False, CPU)(noise, None, None))
    assert torch.allclose(found, made.logits(noise.double()).float(), rtol=1e-6, atol=1e-6)
