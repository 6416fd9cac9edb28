import math

import pytest
import torch

from fingan.networks import Scores
from fingan.objective import WassersteinGP
from fingan.objective.wasserstein import unit_slope
from tests.networks.toy import MIXED, keyed, make_batch

BATCH = make_batch(MIXED, 32, noise=4).to(dtype=torch.float64)
FAKE = make_batch(MIXED, 32, noise=4, seed=1).rows.double()
WEIGHT = torch.randn(MIXED.dense, generator=keyed(9), dtype=torch.float64)


def linear(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
    return Scores.of(rows @ WEIGHT)


def test_losses_are_differences_of_means():
    loss, terms = WassersteinGP(penalised=False).discriminator_loss(linear, BATCH, FAKE, 0, 10.0)
    assert loss.item() == pytest.approx(((FAKE - BATCH.rows) @ WEIGHT).mean().item())
    assert terms["penalty"].item() == 0.0
    loss, _ = WassersteinGP().generator_loss(linear, BATCH, FAKE, 0)
    assert loss.item() == pytest.approx(-(FAKE @ WEIGHT).mean().item())


def test_penalty_of_a_linear_score():
    loss, terms = WassersteinGP(every=2).discriminator_loss(linear, BATCH, FAKE, 0, 10.0)
    expected = 2 * 10.0 * (WEIGHT.norm().item() - 1) ** 2
    assert terms["penalty"].item() == pytest.approx(expected)
    assert loss.item() == pytest.approx(((FAKE - BATCH.rows) @ WEIGHT).mean().item() + expected)
    assert WassersteinGP(every=2).discriminator_loss(linear, BATCH, FAKE, 1, 10.0)[1]["penalty"].item() == 0.0


def test_slopes_are_taken_between_each_pair():
    seen = []

    def spy(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
        seen.append(rows.detach())
        return linear(rows, mask)

    unit_slope(spy, BATCH, FAKE)
    assert torch.allclose(seen[0], BATCH.mix * BATCH.rows + (1 - BATCH.mix) * FAKE)


def test_a_flat_score_has_a_finite_gradient():
    weight = torch.zeros(MIXED.dense, dtype=torch.float64, requires_grad=True)
    unit_slope(lambda rows, mask: Scores.of(rows @ weight), BATCH, FAKE).backward()
    assert weight.grad is not None
    assert torch.isfinite(weight.grad).all()


def test_a_score_of_slope_one_pays_nothing():
    weight = torch.full((MIXED.dense,), 1 / math.sqrt(MIXED.dense), dtype=torch.float64)
    assert unit_slope(lambda rows, mask: Scores.of(rows @ weight), BATCH, FAKE).item() == pytest.approx(0.0)
