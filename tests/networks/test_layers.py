import math

import pytest
import torch

from fingan.networks.layers import (
    SLOPE,
    ResidualBlock,
    ResidualBody,
    activate,
    ema_update,
    full_precision,
    linear,
)
from tests.networks.toy import keyed


def test_linear_is_a_function_of_the_generator_alone():
    state = torch.random.get_rng_state()
    first, second = linear(7, 5, keyed(1)), linear(7, 5, keyed(1))
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, linear(7, 5, keyed(2)).weight)
    assert torch.equal(state, torch.random.get_rng_state())


def test_linear_weights_have_the_documented_deviation_and_zero_bias():
    layer = linear(400, 300, keyed(0))
    expected = math.sqrt(2 / (1 + SLOPE**2) / 400)
    assert layer.weight.std().item() == pytest.approx(expected, rel=0.02)
    assert not layer.bias.any()
    assert linear(3, 2, keyed(0), bias=False).bias is None


def test_gain_zero_gives_a_zero_layer():
    assert not linear(5, 4, keyed(0), gain=0.0).weight.any()


def test_activate_in_place_equals_out_of_place():
    values = torch.tensor([-2.0, 0.0, 3.0])
    assert torch.equal(activate(values), torch.tensor([-2.0 * SLOPE, 0.0, 3.0]))
    kept = values.clone()
    assert activate(kept, inplace=True).data_ptr() == kept.data_ptr()
    assert torch.equal(kept, activate(values))


def test_fresh_block_is_the_identity():
    hidden = torch.randn(6, 8, generator=keyed(0))
    assert torch.equal(ResidualBlock(8, keyed(1))(hidden), hidden)


def test_block_equals_its_formula_and_gradients_are_right():
    block = ResidualBlock(4, keyed(0)).double()
    torch.nn.init.normal_(block.leave.weight, generator=keyed(1))
    hidden = torch.randn(3, 4, generator=keyed(2), dtype=torch.float64, requires_grad=True)
    expected = hidden + block.leave(activate(block.enter(activate(hidden))))
    assert torch.allclose(block(hidden), expected, atol=1e-14)
    assert torch.autograd.gradcheck(block, (hidden,))
    assert torch.autograd.gradgradcheck(block, (hidden,))


def test_body_does_not_change_its_inputs():
    body = ResidualBody(5, 8, 2, keyed(0))
    inputs = torch.randn(3, 5, generator=keyed(1))
    before = inputs.clone()
    assert body(inputs).shape == (3, 8)
    assert torch.equal(inputs, before)


def test_body_takes_missing_inputs_for_zeros():
    body = ResidualBody(5, 8, 2, keyed(0))
    inputs = torch.randn(3, 2, generator=keyed(1))
    padded = torch.nn.functional.pad(inputs, (0, 3))
    assert torch.allclose(body(inputs), body(padded), atol=1e-6)


def test_full_precision_is_untouched_by_autocast():
    layer = linear(64, 3, keyed(0))
    inputs = torch.randn(5, 64, generator=keyed(1))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(inputs).dtype == torch.bfloat16
        outputs = full_precision(layer, inputs.bfloat16())
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, layer(inputs.bfloat16().float()))


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.999])
def test_ema_moves_by_its_formula(decay):
    target, source = linear(3, 2, keyed(0)), linear(3, 2, keyed(1))
    expected = decay * target.weight.detach() + (1 - decay) * source.weight.detach()
    ema_update(target, source, decay)
    assert torch.allclose(target.weight, expected, atol=1e-7)
    assert target.weight.requires_grad
    if decay == 0.0:
        assert torch.equal(target.weight, source.weight)
