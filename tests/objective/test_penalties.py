import dataclasses

import pytest
import torch

from fingan.networks import Scores
from fingan.objective.penalties import (
    SIGMA,
    ZeroCentred,
    score,
    score_exact,
    score_first_order,
)
from tests.networks.toy import MIXED, keyed, make_batch

BATCH = make_batch(MIXED, 64, noise=4).to(dtype=torch.float64)
FAKE = make_batch(MIXED, 64, noise=4, seed=1).rows.double()
WEIGHT = torch.randn(MIXED.dense, generator=keyed(9), dtype=torch.float64)


def linear(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
    return Scores.of(rows @ WEIGHT + mask.sum(dim=1))


def quadratic(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
    return Scores.of(0.5 * (rows.square() @ WEIGHT))


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
    expected = (torch.cat([batch.rows[::3], FAKE[::3]]) * WEIGHT).square().sum()
    assert slopes.item() == pytest.approx(expected.item())


def test_first_order_penalty_of_a_linear_score_is_its_directional_slope():
    slopes = score_first_order(linear, BATCH, FAKE)[2]
    steps = torch.cat([BATCH.jitter_real, BATCH.jitter_fake])
    assert slopes.item() == pytest.approx((steps @ WEIGHT).square().sum().item())


@pytest.mark.statistical
@pytest.mark.parametrize("disc", [linear, quadratic])
def test_first_order_penalty_has_the_exact_ones_expectation(disc):
    rows, source = BATCH.rows.shape[0], keyed(3)
    estimates = []
    for _ in range(200):
        steps = torch.randn(2, rows, MIXED.dense, generator=source, dtype=torch.float64)
        batch = dataclasses.replace(BATCH, jitter_real=steps[0], jitter_fake=steps[1])
        estimates.append(score_first_order(disc, batch, FAKE)[2])
    estimate = torch.stack(estimates)
    error = estimate.std() / len(estimates) ** 0.5
    exact = score_exact(disc, BATCH, FAKE)[2]
    # For D = ½ Σ w x², the step's own curvature adds σ²/4 · E(Σ w ε²)² per row.
    curvature = (2 * WEIGHT.square().sum() + WEIGHT.sum() ** 2) * SIGMA**2 / 4
    bias = 2 * rows * curvature if disc is quadratic else 0.0
    assert abs(estimate.mean() - exact - bias) < 5 * error


def test_every_dense_position_of_a_paying_row_is_stepped_given_ones_too():
    seen = []

    def spy(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
        seen.append(rows)
        return linear(rows, mask)

    batch = make_batch(MIXED, 64, noise=4, every=4).to(dtype=torch.float64)
    score_first_order(spy, batch, FAKE)
    here = torch.cat([batch.rows[::4], FAKE[::4]])
    steps = torch.cat([batch.jitter_real, batch.jitter_fake])
    assert torch.allclose(seen[0][128:] - here, SIGMA * steps)
    assert (seen[0][128:] != here).all()


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
