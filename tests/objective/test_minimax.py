import torch
from torch.nn.functional import binary_cross_entropy, binary_cross_entropy_with_logits

from fingan.objective import Minimax, ZeroCentred
from tests.networks.toy import keyed

OBJECTIVE = Minimax(ZeroCentred("none"))
REAL = torch.randn(32, generator=keyed(0))
MADE = torch.randn(32, generator=keyed(1))
ONES, ZEROS = torch.ones(32), torch.zeros(32)


def test_losses_equal_binary_cross_entropy():
    told = OBJECTIVE.discriminator(REAL, MADE).mean()
    by_logits = binary_cross_entropy_with_logits(REAL, ONES) + binary_cross_entropy_with_logits(MADE, ZEROS)
    torch.testing.assert_close(told, by_logits)
    by_probability = binary_cross_entropy(REAL.sigmoid(), ONES) + binary_cross_entropy(MADE.sigmoid(), ZEROS)
    torch.testing.assert_close(told, by_probability, rtol=1e-4, atol=1e-5)
    wanted = OBJECTIVE.generator(REAL, MADE).mean()
    torch.testing.assert_close(wanted, binary_cross_entropy_with_logits(MADE, ONES))


def test_the_generators_gradient_does_not_vanish_where_the_discriminator_is_sure():
    made = torch.full((4,), -30.0, requires_grad=True)
    OBJECTIVE.generator(REAL[:4], made).sum().backward()
    torch.testing.assert_close(made.grad, -torch.ones(4))
