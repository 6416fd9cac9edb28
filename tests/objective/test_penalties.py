import dataclasses

import pytest
import torch

from fingan.networks import Scores
from fingan.objective.penalties import (
    ZeroCentred,
    score,
    score_exact,
    score_first_order,
)
from tests.networks.toy import MIXED, NUMBERS, keyed, make_batch

BATCH = make_batch(MIXED, 64, noise=4).to(dtype=torch.float64)
FAKE = make_batch(MIXED, 64, noise=4, seed=1).rows.double()
WEIGHT = torch.randn(MIXED.dense, generator=keyed(9), dtype=torch.float64)


def linear(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
    return Scores.of(rows @ WEIGHT[: rows.shape[1]] + mask.sum(dim=1))


def quadratic(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
    return Scores.of(0.5 * (rows.square() @ WEIGHT[: rows.shape[1]]))


class Counting:
    """Counts the passes and rows that a discriminator is asked for."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __call__(self, rows: torch.Tensor, mask: torch.Tensor) -> Scores:
        assert mask.shape == (rows.shape[0], MIXED.units)
        self.rows.append(rows.shape[0])
        return linear(rows, mask)


@pytest.mark.parametrize("scored", [score, score_exact, score_first_order])
def test_every_pass_scores_both_sides_under_their_masks(scored):
    real, made = scored(linear, BATCH, FAKE)[:2]
    assert torch.allclose(real, linear(BATCH.rows, BATCH.mask).logits)
    assert torch.allclose(made, linear(FAKE, BATCH.mask).logits)


@pytest.mark.parametrize("every", [1, 4])
def test_exact_penalty_of_a_linear_score_is_its_squared_norm(every):
    batch = make_batch(MIXED, 64, noise=4, every=every).to(dtype=torch.float64)
    judged = ZeroCentred("exact", every).judge(linear, batch, FAKE, gamma=0.7)
    # R1 and R2 are γ/2 · ‖w‖² each, however many rows pay.
    assert judged.penalty.item() == pytest.approx(0.7 * WEIGHT.square().sum().item())


def test_exact_penalty_of_a_quadratic_score_over_the_paying_rows():
    batch = make_batch(MIXED, 64, noise=4, every=3).to(dtype=torch.float64)
    slopes = score_exact(quadratic, batch, FAKE)[2]
    expected = (batch.steps.taken(batch.rows[::3], FAKE[::3]) * WEIGHT).square().sum()
    assert slopes.item() == pytest.approx(expected.item())


def test_first_order_penalty_is_the_weighted_squared_change_along_the_steps():
    slopes = score_first_order(linear, BATCH, FAKE)[2]
    change = (BATCH.steps.taken(BATCH.rows, FAKE) - torch.cat([BATCH.rows, FAKE])) @ WEIGHT
    assert slopes.item() == pytest.approx((BATCH.steps.weights * change.square()).sum().item())


@pytest.mark.statistical
@pytest.mark.parametrize("disc", [linear, quadratic])
def test_first_order_penalty_of_numbers_has_the_exact_ones_expectation(disc):
    rows, source, sigma = 64, keyed(3), 0.1
    batch = make_batch(NUMBERS, rows, noise=4).to(dtype=torch.float64)
    fake = make_batch(NUMBERS, rows, noise=4, seed=1).rows.double()
    weight = WEIGHT[: NUMBERS.dense]
    still = dataclasses.replace(batch.steps, weights=torch.full((2 * rows,), 1 / sigma**2).double())
    estimates = []
    for _ in range(200):
        noise = torch.randn(2 * rows, NUMBERS.numeric, generator=source, dtype=torch.float64)
        steps = dataclasses.replace(still, numbers=sigma * noise)
        estimates.append(score_first_order(disc, dataclasses.replace(batch, steps=steps), fake)[2])
    estimate = torch.stack(estimates)
    error = estimate.std() / len(estimates) ** 0.5
    unmoved = dataclasses.replace(batch, steps=dataclasses.replace(still, numbers=0 * still.numbers))
    exact = score_exact(disc, unmoved, fake)[2]
    # For D = ½ Σ w x², the step's own curvature adds σ²/4 · E(Σ w ε²)² per row.
    curvature = (2 * weight.square().sum() + weight.sum() ** 2) * sigma**2 / 4
    bias = 2 * rows * curvature if disc is quadratic else 0.0
    assert abs(estimate.mean() - exact - bias) < 5 * error


def test_a_score_that_is_flat_at_the_corners_and_steep_between_pays():
    """Small steps would not see it, and the generator would get no gradient from it."""

    def steep(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
        return Scores.of(torch.sigmoid(50 * (rows[:, MIXED.numeric] - 0.5)))

    batch = make_batch(MIXED, 64, noise=4).to(dtype=torch.float64)
    steps = dataclasses.replace(batch.steps, weights=torch.ones(128, dtype=torch.float64))
    pays = score_first_order(steep, dataclasses.replace(batch, steps=steps), FAKE)[2]
    small = dataclasses.replace(steps, ways=0.1 * steps.ways)
    assert score_first_order(steep, dataclasses.replace(batch, steps=small), FAKE)[2] < 1e-6
    assert pays > 5.0


@pytest.mark.parametrize(("kind", "rows"), [("none", [128]), ("exact", [128, 32]), ("first_order", [160])])
def test_only_paying_rows_are_scored_again(kind, rows):
    disc = Counting()
    batch = make_batch(MIXED, 64, noise=4, every=4).to(dtype=torch.float64)
    ZeroCentred(kind, 4).judge(disc, batch, FAKE, gamma=1.0)
    assert disc.rows == rows


@pytest.mark.parametrize(("kind", "gamma"), [("none", 1.0), ("exact", 0.0), ("first_order", 0.0)])
def test_no_penalty_costs_nothing_and_weighs_nothing(kind, gamma):
    disc = Counting()
    judged = ZeroCentred(kind, 1).judge(disc, BATCH, FAKE, gamma)
    assert judged.penalty.item() == 0.0
    assert disc.rows == [128]


def test_exact_penalty_works_where_gradients_are_switched_off():
    with torch.no_grad():
        slopes = score_exact(linear, BATCH, FAKE)[2]
    assert slopes.item() == pytest.approx(128 * WEIGHT.square().sum().item())
