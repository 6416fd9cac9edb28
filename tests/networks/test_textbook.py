import pytest
import torch

from fingan.errors import ConfigError
from fingan.networks import ConvDiscriminator, ConvGenerator, DenseDiscriminator, DenseGenerator
from tests.networks.toy import keyed

IMAGE = (28, 28, 1)


def count(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_dense_pair_is_the_textbooks():
    generator = DenseGenerator(100, IMAGE, generator=keyed(0))
    discriminator = DenseDiscriminator(IMAGE, generator=keyed(1))
    assert count(generator) == (100 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 784 + 784) == 1_956_624
    assert count(discriminator) == (784 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 + 1) == 1_854_465
    assert generator.last.out_features == 784
    images = generator(torch.randn(5, 100, generator=keyed(2)))
    assert images.shape == (5, 28, 28, 1)
    scores = discriminator(images)
    assert scores.logits.shape == scores.probability.shape == (5,)
    assert torch.equal(scores.probability, torch.sigmoid(scores.logits))


def test_dense_output_is_linear_in_the_last_hidden_layer():
    generator = DenseGenerator(3, (2, 2), generator=keyed(0))
    noise = torch.randn(4, 3, generator=keyed(1))
    hidden = torch.nn.functional.leaky_relu(generator.first(noise), 0.2)
    hidden = torch.nn.functional.leaky_relu(generator.second(hidden), 0.2)
    assert torch.allclose(generator(noise), generator.last(hidden).view(4, 2, 2))


def test_conv_pair_shapes_and_parameters():
    generator = ConvGenerator(100, IMAGE, generator=keyed(0))
    discriminator = ConvDiscriminator(IMAGE, generator=keyed(1))
    side = 128 * 7 * 7
    assert count(generator) == (100 * side + side) + (128 * 64 * 16 + 64) + (64 * 16 + 1)
    assert count(discriminator) == (64 * 16 + 64) + (64 * 128 * 16 + 128) + (side + 1)
    images = generator(torch.randn(2, 100, generator=keyed(2)))
    assert images.shape == (2, 28, 28, 1)
    assert discriminator(images).logits.shape == (2,)


def test_conv_takes_rectangles_and_colours():
    generator = ConvGenerator(5, (8, 12, 3), generator=keyed(0), channels=4)
    images = generator(torch.randn(2, 5, generator=keyed(1)))
    assert images.shape == (2, 8, 12, 3)
    assert ConvDiscriminator((8, 12, 3), generator=keyed(2), channels=4)(images).logits.shape == (2,)


@pytest.mark.parametrize("shape", [(27, 28, 1), (28, 30, 1), (28, 28), (784,), (0, 4, 1)])
@pytest.mark.parametrize("network", [lambda s: ConvGenerator(5, s, generator=keyed(0)), None])
def test_conv_refuses_other_shapes(shape, network):
    build = network or (lambda s: ConvDiscriminator(s, generator=keyed(0)))
    with pytest.raises(ConfigError, match="multiples of 4"):
        build(shape)


@pytest.mark.parametrize("pair", ["dense", "conv"])
def test_activations_keep_their_scale_through_a_fresh_network(pair):
    build = {"dense": DenseGenerator, "conv": ConvGenerator}[pair]
    images = build(100, IMAGE, generator=keyed(0))(torch.randn(64, 100, generator=keyed(1)))
    assert 0.2 < images.std().item() < 2.0


def test_equal_generators_give_equal_networks():
    first, second = (ConvGenerator(5, (8, 8, 1), generator=keyed(3), channels=2) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
