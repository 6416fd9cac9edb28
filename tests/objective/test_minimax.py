import pytest
import torch
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from fingan.networks import Scores
from fingan.objective import Minimax, ZeroCentred
from tests.networks.toy import MIXED, make_batch

BATCH = make_batch(MIXED, 32, noise=4)
FAKE = make_batch(MIXED, 32, noise=4, seed=1).rows
ONES, ZEROS = torch.ones(32), torch.zeros(32)


def sums(rows: torch.Tensor, mask: torch.Tensor) -> Scores:
    return Scores.of(rows.sum(dim=1))


def test_losses_equal_binary_cross_entropy():
    real, made = sums(BATCH.rows, BATCH.mask), sums(FAKE, BATCH.mask)
    objective = Minimax(ZeroCentred("none", 1))
    loss, terms = objective.discriminator_loss(sums, BATCH, FAKE, 0, 1.0)
    expected = binary_cross_entropy_with_logits(real.logits, ONES)
    expected += binary_cross_entropy_with_logits(made.logits, ZEROS)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    by_probability = binary_cross_entropy(real.probability, ONES)
    by_probability += binary_cross_entropy(made.probability, ZEROS)
    assert loss.item() == pytest.approx(by_probability.item(), rel=1e-4)
    assert set(terms) == {"loss", "penalty", "real_logit", "fake_logit", "accuracy"}
    loss, terms = objective.generator_loss(sums, BATCH, FAKE, 0)
    assert loss.item() == pytest.approx(binary_cross_entropy_with_logits(made.logits, ONES).item(), rel=1e-5)
    assert set(terms) == {"loss", "fake_logit"}


def test_the_penalty_is_optional():
    loss, terms = Minimax(ZeroCentred("exact", 2)).discriminator_loss(sums, BATCH, FAKE, 4, 0.1)
    plain, _ = Minimax(ZeroCentred("none", 2)).discriminator_loss(sums, BATCH, FAKE, 4, 0.1)
    assert terms["penalty"].item() == pytest.approx(2 * 0.1 * MIXED.dense, rel=1e-5)
    assert (loss - plain).item() == pytest.approx(terms["penalty"].item(), rel=1e-4)
