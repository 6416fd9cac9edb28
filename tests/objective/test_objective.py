"""What holds for every objective, penalty and architecture together."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from fingan.config import NetworkConfig, ObjectiveConfig
from fingan.encoding.layout import Layout
from fingan.networks import Batch, build_discriminator, build_generator
from fingan.objective import (
    Minimax,
    Relativistic,
    UnitSlope,
    Wasserstein,
    ZeroCentred,
    build_objective,
    describe,
)
from tests.networks.toy import MIXED, gumbel, keyed, make_batch, part

ARCHITECTURES = ("residual", "dense", "conv")
OBJECTIVES = ("relativistic", "wasserstein_gp", "minimax")
PENALTIES = ("first_order", "exact", "none")
TOY = Layout(2, (3,), 3, (0, 1, 2), (np.zeros(0), np.array([0.3])))


def networks(architecture: str, layout: Layout = MIXED) -> tuple[torch.nn.Module, torch.nn.Module]:
    config = NetworkConfig(
        generator=architecture, discriminator=architecture, width=16, blocks=1, noise=4, knots=4
    )
    source = keyed(0)
    generator = build_generator(layout, config, generator=source)
    discriminator = build_discriminator(layout, config, generator=source)
    # Residual branches start at zero; the gradients that are compared should not.
    for name, parameter in discriminator.named_parameters():
        if "leave" in name:
            torch.nn.init.normal_(parameter, std=0.1, generator=source)
    return generator, discriminator


def gradients(loss: torch.Tensor, network: torch.nn.Module) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(network.parameters()), materialize_grads=True))


def losses(objective, generator, discriminator, batch: Batch, gamma: float = 0.3):
    """The discriminator's loss with its penalty, and the generator's, as the training step forms them."""
    fake = generator(batch.noise, batch.rows, batch.mask, batch.gumbel)
    judged = objective.penalty.judge(discriminator, batch, fake.detach(), gamma)
    told = objective.discriminator(judged.real, judged.fake).sum() / batch.global_size + judged.penalty
    made = discriminator(fake, batch.mask).logits
    wanted = objective.generator(judged.real.detach(), made).sum() / batch.global_size
    return told, wanted, judged


def both_gradients(objective, generator, discriminator, batch: Batch) -> list[torch.Tensor]:
    told, wanted, _ = losses(objective, generator, discriminator, batch)
    return gradients(told, discriminator) + gradients(wanted, generator)


@pytest.mark.parametrize(
    ("architecture", "name", "kind"), list(product(ARCHITECTURES, OBJECTIVES, PENALTIES))
)
def test_gradients_of_two_parts_add_up_to_the_whole(architecture, name, kind):
    generator, discriminator = (n.double() for n in networks(architecture))
    batch = make_batch(MIXED, 12, noise=4, every=3).to(dtype=torch.float64)
    objective = build_objective(ObjectiveConfig(name=name, penalty=kind))
    whole = both_gradients(objective, generator, discriminator, batch)
    parts = [both_gradients(objective, generator, discriminator, part(batch, *p)) for p in ((0, 5), (5, 12))]
    for left, right, total in zip(*parts, whole, strict=True):
        assert (left + right - total).abs().max().item() <= 1e-12 * max(1.0, total.abs().max().item())
    assert any(g.abs().max() > 1e-6 for g in whole)


@pytest.mark.parametrize(("name", "kind"), list(product(OBJECTIVES, PENALTIES)))
def test_terms_are_detached_scalars_that_add_up(name, kind):
    generator, discriminator = networks("residual")
    batch = make_batch(MIXED, 12, noise=4)
    objective = build_objective(ObjectiveConfig(name=name, penalty=kind))

    def terms(share: Batch) -> dict[str, torch.Tensor]:
        return describe(*losses(objective, generator, discriminator, share), share.global_size)

    whole, parts = terms(batch), [terms(part(batch, a, b)) for a, b in ((0, 4), (4, 12))]
    assert all(t.shape == () and not t.requires_grad for t in whole.values())
    assert 0 <= whole["accuracy"].item() <= 1
    for term in whole:
        assert (parts[0][term] + parts[1][term]).item() == pytest.approx(whole[term].item(), abs=1e-5)


@pytest.mark.parametrize(("name", "kind"), list(product(OBJECTIVES, PENALTIES)))
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_bfloat16_steps_are_finite_and_reach_every_weight(architecture, name, kind):
    generator, discriminator = networks(architecture)
    batch = make_batch(MIXED, 12, noise=4)
    objective = build_objective(ObjectiveConfig(name=name, penalty=kind))
    with torch.autocast("cpu", torch.bfloat16):
        told, made, _ = losses(objective, generator, discriminator, batch)
    assert made.dtype == told.dtype == torch.float32
    told.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in discriminator.parameters())
    assert all(torch.isfinite(g).all() for g in gradients(made, generator))


def test_bfloat16_gradients_point_where_the_exact_ones_do():
    generator, discriminator = networks("residual")
    batch = make_batch(MIXED, 256, noise=4)
    objective = build_objective(ObjectiveConfig())
    plain = both_gradients(objective, generator, discriminator, batch)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = both_gradients(objective, generator, discriminator, batch)
    left, right = (torch.cat([g.flatten() for g in gs]) for gs in (plain, rounded))
    assert torch.cosine_similarity(left, right, dim=0).item() > 0.99


def toy_batch(rows: int, step: int) -> Batch:
    """Two tight clusters far from a fresh generator's rows, and a category that depends on the cluster."""
    batch = make_batch(TOY, rows, noise=4, seed=1000 + step, given=0.0)
    source = keyed(step)
    side = (torch.rand(rows, generator=source) < 0.7).float()
    centre = torch.stack([2.0 * side, 1.0 + side], dim=1)
    numbers = centre + 0.2 * torch.randn(rows, 2, generator=source)
    category = torch.where(side > 0, 0, 2)
    dense = torch.cat([numbers, torch.eye(3)[category]], dim=1)
    return dataclasses.replace(batch, rows=dense)


def distance(generator: torch.nn.Module) -> float:
    """Sum over dense positions of the Wasserstein distance between real and generated values."""
    batch = toy_batch(1000, 99_999)
    with torch.no_grad():
        fake = generator(batch.noise, batch.rows, batch.mask, gumbel((1000, 3), keyed(5)))
    pairs = zip(batch.rows.T.numpy(), fake.T.numpy(), strict=True)
    return float(sum(wasserstein_distance(real, made) for real, made in pairs))


def update(network: torch.nn.Module, optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    for parameter, slope in zip(network.parameters(), gradients(loss, network), strict=True):
        parameter.grad = slope
    optimizer.step()


@pytest.mark.parametrize(("architecture", "name"), list(product(ARCHITECTURES, OBJECTIVES)))
def test_sixty_steps_bring_a_toy_mixture_closer(architecture, name):
    generator, discriminator = networks(architecture, TOY)
    objective = build_objective(ObjectiveConfig(name=name, penalty_every=1))
    rate = 0.001 if architecture == "dense" else 0.005
    make, tell = (
        torch.optim.Adam(n.parameters(), rate, betas=(0.0, 0.99)) for n in (generator, discriminator)
    )
    before = distance(generator)
    for step in range(60):
        batch = toy_batch(128, step)
        update(discriminator, tell, losses(objective, generator, discriminator, batch, 0.1)[0])
        update(generator, make, losses(objective, generator, discriminator, batch, 0.1)[1])
    assert distance(generator) < 0.5 * before


def test_build_objective_follows_the_configuration():
    default = build_objective(ObjectiveConfig())
    assert default == Relativistic(ZeroCentred("first_order", 4))
    assert build_objective(ObjectiveConfig(name="minimax", penalty="none", penalty_every=1)) == Minimax(
        ZeroCentred("none", 1)
    )
    wasserstein = build_objective(ObjectiveConfig(name="wasserstein_gp", penalty_every=3))
    assert wasserstein == Wasserstein(UnitSlope(3))
    bare = build_objective(ObjectiveConfig(name="wasserstein_gp", penalty="none"))
    assert bare == Wasserstein(ZeroCentred("none"))
