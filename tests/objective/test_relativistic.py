import pytest
import torch

from fingan.objective import Relativistic, ZeroCentred
from tests.networks.toy import keyed

OBJECTIVE = Relativistic(ZeroCentred("none"))
REAL = torch.randn(32, generator=keyed(0))
MADE = torch.randn(32, generator=keyed(1))


def test_losses_equal_their_formulas():
    told, wanted = OBJECTIVE.discriminator(REAL, MADE), OBJECTIVE.generator(REAL, MADE)
    torch.testing.assert_close(told, torch.log1p(torch.exp(-(REAL - MADE))))
    torch.testing.assert_close(wanted, torch.log1p(torch.exp(-(MADE - REAL))))


def test_a_constant_added_to_all_scores_cancels():
    for loss in (OBJECTIVE.discriminator, OBJECTIVE.generator):
        torch.testing.assert_close(loss(REAL + 100.0, MADE + 100.0), loss(REAL, MADE), rtol=1e-4, atol=1e-5)


def test_rows_given_whole_cannot_be_told_apart():
    assert OBJECTIVE.discriminator(REAL, REAL).mean().item() == pytest.approx(0.6931, abs=1e-4)


def test_logits_far_apart_neither_overflow_nor_lose_the_gradient():
    made = (1e6 * MADE).requires_grad_()
    loss = OBJECTIVE.generator(1e6 * REAL, made).sum()
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(made.grad).all()
    assert (made.grad != 0).any()
