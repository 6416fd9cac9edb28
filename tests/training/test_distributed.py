"""Flat gradients, alone and in a pretended group; real groups are in tests/distributed."""

import math

import pytest
import torch
from torch import Tensor, nn

from fingan.training import Alone
from fingan.training.distributed import FlatGradients


class Twins(Alone):
    """Two workers that saw the same."""

    world = 2

    def sum_(self, tensor: Tensor) -> Tensor:
        return tensor.mul_(2.0)


@pytest.fixture
def network():
    source = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)).double()
    for parameter in module.parameters():
        parameter.data.normal_(generator=source)
    return module


@pytest.fixture
def inputs():
    return torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def expected(network, loss):
    return torch.autograd.grad(loss, list(network.parameters()))


def test_gradients_are_those_of_a_plain_backward(network, inputs):
    wanted = expected(network, network(inputs).sum())
    flat = FlatGradients(network, Alone())
    for _ in range(2):  # a second pass starts from zero again
        flat.clear()
        loss = network(inputs).sum()
        loss.backward()
        reduced = flat.reduce(loss)
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert reduced.loss == pytest.approx(loss.item())
    assert reduced.norm == pytest.approx(math.sqrt(sum(float(g.square().sum()) for g in wanted)))
    assert reduced.finite


def test_the_sum_over_workers_lands_in_the_parameters(network, inputs):
    wanted = expected(network, network(inputs).sum())
    flat = FlatGradients(network, Twins())
    flat.clear()
    loss = network(inputs).sum()
    loss.backward()
    assert flat.reduce(loss).loss == pytest.approx(2 * loss.item())
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        torch.testing.assert_close(parameter.grad, 2 * gradient)


def test_switching_gradients_off_and_on_keeps_the_views(network, inputs):
    flat = FlatGradients(network, Alone())
    flat.clear()
    places = [p.grad.data_ptr() for p in network.parameters()]
    network.requires_grad_(False)
    moved = inputs.clone().requires_grad_()
    network(moved).sum().backward()
    assert all((p.grad == 0).all() for p in network.parameters())
    network.requires_grad_(True)
    network(inputs).sum().backward()
    assert [p.grad.data_ptr() for p in network.parameters()] == places
    assert flat.reduce(torch.zeros(())).norm > 0.0


def test_a_double_backward_adds_in_place(network, inputs):
    flat = FlatGradients(network, Alone())
    rows = inputs.clone().requires_grad_()
    (slope,) = torch.autograd.grad(network(rows).sum(), rows, create_graph=True)
    wanted = torch.autograd.grad(
        slope.square().sum(), list(network.parameters()), retain_graph=True, allow_unused=True
    )
    flat.clear()
    places = [p.grad.data_ptr() for p in network.parameters()]
    slope.square().sum().backward()
    assert [p.grad.data_ptr() for p in network.parameters()] == places
    for parameter, gradient in zip(network.parameters(), wanted, strict=True):
        # A penalty does not reach the last bias: its gradient stays zero instead of missing.
        torch.testing.assert_close(
            parameter.grad, torch.zeros_like(parameter) if gradient is None else gradient
        )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_loss_and_gradients_are_both_looked_at(network, inputs, value):
    flat = FlatGradients(network, Alone())
    flat.clear()
    assert not flat.reduce(torch.tensor(value)).finite
    flat.clear()
    next(network.parameters()).grad[0, 0] = value
    assert not flat.reduce(torch.zeros(())).finite
    flat.clear()
    assert flat.reduce(torch.zeros(())).finite
