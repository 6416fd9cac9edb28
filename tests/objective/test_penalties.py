import pytest
import torch

from fingan.networks import Scores
from fingan.objective.penalties import (
    SIGMA,
    ZeroCentred,
    judge,
    judge_exact,
    judge_first_order,
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


@pytest.mark.parametrize("score", [judge, judge_exact, judge_first_order])
def test_every_pass_scores_both_sides_under_their_masks(score):
    judged = score(linear, BATCH, FAKE)
    assert torch.allclose(judged.real, linear(BATCH.rows, BATCH.mask).logits)
    assert torch.allclose(judged.fake, linear(FAKE, BATCH.mask).logits)


def test_exact_penalty_of_a_linear_score_is_its_squared_norm():
    penalty = ZeroCentred("exact", 1)
    judged = penalty.judge(linear, BATCH, FAKE, step=0, gamma=0.7)
    # R1 and R2 are γ/2 · ‖w‖² each.
    assert penalty.weigh(judged, BATCH, 0.7).item() == pytest.approx(0.7 * WEIGHT.square().sum().item())


def test_exact_penalty_of_a_quadratic_score():
    slopes = judge_exact(quadratic, BATCH, FAKE).slopes
    expected = (torch.cat([BATCH.rows, FAKE]) * WEIGHT).square().sum()
    assert slopes.item() == pytest.approx(expected.item())


def test_first_order_penalty_of_a_linear_score_is_its_directional_slope():
    slopes = judge_first_order(linear, BATCH, FAKE).slopes
    steps = torch.cat([BATCH.jitter_real, BATCH.jitter_fake])
    assert slopes.item() == pytest.approx((steps @ WEIGHT).square().sum().item())


@pytest.mark.statistical
@pytest.mark.parametrize("disc", [linear, quadratic])
def test_first_order_penalty_has_the_exact_ones_expectation(disc):
    draws, rows = 2000, BATCH.rows.shape[0]
    source = keyed(3)
    many = make_batch(MIXED, rows, noise=1).to(dtype=torch.float64)
    estimates = []
    for _ in range(draws // 10):
        steps = torch.randn(2, rows, MIXED.dense, generator=source, dtype=torch.float64)
        fields = {**many._tensors(), "jitter_real": steps[0], "jitter_fake": steps[1], "rows": BATCH.rows}
        estimates.append(judge_first_order(disc, type(many)(**fields, global_size=rows), FAKE).slopes)
    estimate = torch.stack(estimates)
    error = estimate.std() / len(estimates) ** 0.5
    exact = judge_exact(disc, BATCH, FAKE).slopes
    # For D = ½ Σ w x², the step's own curvature adds σ²/4 · E(Σ w ε²)² per row.
    curvature = (2 * WEIGHT.square().sum() + WEIGHT.sum() ** 2) * SIGMA**2 / 4
    bias = 2 * rows * curvature if disc is quadratic else 0.0
    assert abs(estimate.mean() - exact - bias) < 5 * error


def test_every_dense_position_is_stepped_given_ones_too():
    seen = []

    def spy(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
        seen.append(rows)
        return linear(rows, mask)

    judge_first_order(spy, BATCH, FAKE)
    here, there = seen[0].chunk(2)
    steps = torch.cat([BATCH.jitter_real, BATCH.jitter_fake])
    assert torch.allclose(there - here, SIGMA * steps)
    assert (there != here).all()


@pytest.mark.parametrize(("kind", "rows"), [("none", [128]), ("exact", [128]), ("first_order", [256])])
def test_one_pass_serves_loss_and_penalty(kind, rows):
    disc = Counting()
    ZeroCentred(kind, 1).judge(disc, BATCH, FAKE, step=0, gamma=1.0)
    assert disc.rows == rows


def test_lazy_penalty_keeps_its_mean_over_steps():
    often, rarely = ZeroCentred("exact", 1), ZeroCentred("exact", 4)

    def total(penalty: ZeroCentred) -> float:
        judged = (penalty.judge(linear, BATCH, FAKE, step, 0.3) for step in range(8))
        return sum(penalty.weigh(j, BATCH, 0.3).item() for j in judged)

    assert [rarely.due(step, 1.0) for step in range(5)] == [True, False, False, False, True]
    assert total(rarely) == pytest.approx(total(often))


@pytest.mark.parametrize(("kind", "gamma"), [("none", 1.0), ("exact", 0.0), ("first_order", 0.0)])
def test_no_penalty_costs_nothing_and_weighs_nothing(kind, gamma):
    penalty = ZeroCentred(kind, 1)
    judged = penalty.judge(linear, BATCH, FAKE, 0, gamma)
    assert judged.slopes is None
    assert penalty.weigh(judged, BATCH, gamma).item() == 0.0


def test_exact_penalty_works_where_gradients_are_switched_off():
    with torch.no_grad():
        judged = judge_exact(linear, BATCH, FAKE)
    assert judged.slopes is not None
    assert judged.slopes.item() == pytest.approx(128 * WEIGHT.square().sum().item())
