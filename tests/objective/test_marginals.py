"""The term that keeps categories at their training shares."""

import numpy as np
import pytest
import torch

from fingan.objective.marginals import MEMORY, MOST, Marginals

SHARES = [np.array([0.7, 0.3]), np.array([0.2, 0.5, 0.3])]


def chances(logits: torch.Tensor) -> torch.Tensor:
    return torch.cat([part.softmax(1) for part in logits.split([2, 3], dim=1)], dim=1)


def slope(term: Marginals, logits: torch.Tensor) -> torch.Tensor:
    leaf = logits.clone().requires_grad_()
    term.loss(chances(leaf)).sum().backward()
    return leaf.grad


def test_no_slope_where_the_shares_agree():
    logits = torch.randn(50, 5, generator=torch.Generator().manual_seed(0))
    assert slope(Marginals(SHARES, 0.5), logits).abs().max() < 1e-6


def test_a_lost_category_comes_back():
    """Its probability is 1e-4 everywhere, where a straight-through gradient has all but vanished."""
    term = Marginals(SHARES, 0.5)
    logits = torch.zeros(200, 5)
    logits[:, 0] = 9.0
    for _ in range(1000):
        made = chances(logits)
        term.observe(made.sum(0), torch.tensor(200.0))
        logits -= 5.0 * slope(term, logits)
    torch.testing.assert_close(
        chances(logits).mean(0), torch.tensor([0.7, 0.3, 0.2, 0.5, 0.3]), atol=0.02, rtol=0
    )


def test_the_moving_mean_forgets_slowly_and_ignores_batches_without_free_rows():
    term = Marginals(SHARES, 0.5)
    before = term.mean.clone()
    term.observe(torch.zeros(5), torch.tensor(0.0))
    assert torch.equal(term.mean, before)
    total = torch.tensor([10.0, 0.0, 0.0, 10.0, 0.0])
    term.observe(total, torch.tensor(10.0))
    torch.testing.assert_close(term.mean, MEMORY * before + (1 - MEMORY) * total / 10)


def test_the_ratio_is_bounded():
    term = Marginals(SHARES, 1.0)
    term.mean.copy_(torch.tensor([1.0, 0.0, 0.2, 0.5, 0.3]))
    assert term.loss(torch.eye(5)).tolist() == pytest.approx([-0.7, -MOST, -1.0, -1.0, -1.0])


@pytest.mark.parametrize(("shares", "weight"), [([], 0.5), (SHARES, 0.0)])
def test_nothing_to_keep(shares, weight):
    assert not Marginals(shares, weight).active


def test_only_the_moving_mean_is_state():
    assert list(Marginals(SHARES, 0.5).state_dict()) == ["mean"]
