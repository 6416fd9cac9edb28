import pytest
import torch

from fingan.networks import Scores
from fingan.objective import Relativistic, ZeroCentred
from tests.networks.toy import MIXED, make_batch

BATCH = make_batch(MIXED, 32, noise=4)
FAKE = make_batch(MIXED, 32, noise=4, seed=1).rows
OBJECTIVE = Relativistic(ZeroCentred("none", 1))


def sums(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
    return Scores.of(rows.sum(dim=1))


def shifted(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
    return Scores.of(rows.sum(dim=1) + 100.0)


def test_losses_equal_their_formulas():
    real, made = BATCH.rows.sum(dim=1), FAKE.sum(dim=1)
    loss, terms = OBJECTIVE.discriminator_loss(sums, BATCH, FAKE, 0, 1.0)
    assert loss.item() == pytest.approx(torch.log1p(torch.exp(-(real - made))).mean().item(), rel=1e-5)
    assert terms["accuracy"].item() == pytest.approx((real > made).float().mean().item())
    assert terms["real_logit"].item() == pytest.approx(real.mean().item(), abs=1e-6)
    assert terms["fake_logit"].item() == pytest.approx(made.mean().item(), abs=1e-6)
    assert terms["penalty"].item() == 0.0
    loss, terms = OBJECTIVE.generator_loss(sums, BATCH, FAKE, 0)
    assert loss.item() == pytest.approx(torch.log1p(torch.exp(-(made - real))).mean().item(), rel=1e-5)
    assert terms["loss"].item() == loss.item()


def test_a_constant_added_to_all_scores_cancels():
    for step in range(2):
        plain = OBJECTIVE.discriminator_loss(sums, BATCH, FAKE, step, 1.0)[0]
        assert OBJECTIVE.discriminator_loss(shifted, BATCH, FAKE, step, 1.0)[0].item() == pytest.approx(
            plain.item(), rel=1e-5
        )


def test_rows_given_whole_cannot_be_told_apart():
    loss, terms = OBJECTIVE.discriminator_loss(sums, BATCH, BATCH.rows, 0, 1.0)
    assert loss.item() == pytest.approx(torch.log(torch.tensor(2.0)).item())
    assert terms["accuracy"].item() == 0.5


def test_the_penalty_is_part_of_the_loss():
    objective = Relativistic(ZeroCentred("exact", 1))
    loss, terms = objective.discriminator_loss(sums, BATCH, FAKE, 0, 0.2)
    plain = OBJECTIVE.discriminator_loss(sums, BATCH, FAKE, 0, 0.2)[0]
    # The slope of the sum is one in each of the D positions.
    assert terms["penalty"].item() == pytest.approx(0.2 * MIXED.dense, rel=1e-5)
    assert (loss - plain).item() == pytest.approx(terms["penalty"].item(), rel=1e-5)


def test_real_rows_get_no_gradient_from_the_generators_loss():
    rows = BATCH.rows.clone().requires_grad_()
    batch = type(BATCH)(**{**BATCH._tensors(), "rows": rows}, global_size=32)
    fake = FAKE.clone().requires_grad_()
    OBJECTIVE.generator_loss(sums, batch, fake, 0)[0].backward()
    assert rows.grad is None
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0


def test_logits_far_apart_neither_overflow_nor_lose_the_gradient():
    def steep(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
        return Scores.of(rows.sum(dim=1) * 1e6)

    fake = FAKE.clone().requires_grad_()
    loss, _ = OBJECTIVE.generator_loss(steep, BATCH, fake, 0)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(fake.grad).all()
