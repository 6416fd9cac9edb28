import math

import pytest
import torch

from fingan.networks import Scores
from fingan.objective import UnitSlope, Wasserstein
from fingan.objective.wasserstein import unit_slope
from tests.networks.toy import MIXED, keyed, make_batch

BATCH = make_batch(MIXED, 32, noise=4).to(dtype=torch.float64)
FAKE = make_batch(MIXED, 32, noise=4, seed=1).rows.double()
WEIGHT = torch.randn(MIXED.dense, generator=keyed(9), dtype=torch.float64)


def linear(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
    return Scores.of(rows @ WEIGHT)


def test_losses_are_differences_of_scores():
    objective = Wasserstein(UnitSlope())
    real, made = BATCH.rows @ WEIGHT, FAKE @ WEIGHT
    torch.testing.assert_close(objective.discriminator(real, made), made - real)
    torch.testing.assert_close(objective.generator(real, made), -made)


@pytest.mark.parametrize("every", [1, 2])
def test_penalty_of_a_linear_score(every):
    batch = make_batch(MIXED, 32, noise=4, every=every).to(dtype=torch.float64)
    judged = UnitSlope(every).judge(linear, batch, FAKE, 10.0)
    # Half of the rows at twice the weight come to the same.
    assert judged.penalty.item() == pytest.approx(10.0 * (WEIGHT.norm().item() - 1) ** 2)
    torch.testing.assert_close(judged.real, batch.rows @ WEIGHT)
    torch.testing.assert_close(judged.fake, FAKE @ WEIGHT)


def test_no_weight_costs_nothing():
    judged = UnitSlope().judge(linear, BATCH, FAKE, 0.0)
    assert judged.penalty.item() == 0.0


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
