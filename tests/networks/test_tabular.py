import numpy as np
import pytest
import torch

from fingan.config import NetworkConfig
from fingan.encoding.layout import Layout
from fingan.networks import Scores, build_discriminator, build_generator
from fingan.networks.tabular import image_side
from tests.networks.toy import LAYOUTS, MIXED, keyed, make_batch, part

ARCHITECTURES = ("residual", "dense", "conv")


def config(name: str, **changes: object) -> NetworkConfig:
    return NetworkConfig(generator=name, discriminator=name, width=32, noise=8, knots=5, **changes)


def pair(name: str, layout=MIXED, seed: int = 0):
    source = keyed(seed)
    settings = config(name)
    generator = build_generator(layout, settings, generator=source)
    return generator, build_discriminator(layout, settings, generator=source)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_shapes(name, layout):
    generator, discriminator = pair(name, layout)
    batch = make_batch(layout, 9, noise=8)
    fake = generator(batch.noise, batch.rows, batch.mask, batch.gumbel)
    assert fake.shape == (9, layout.dense)
    assert generator.logits(batch.noise, batch.rows, batch.mask).shape == (9, layout.dense)
    scores = discriminator(fake, batch.mask)
    assert isinstance(scores, Scores)
    assert scores.logits.shape == (9,)
    assert torch.equal(scores.probability, torch.sigmoid(scores.logits))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_given_values_come_back_bit_for_bit_and_others_do_not(name):
    generator, _ = pair(name)
    batch = make_batch(MIXED, 64, noise=8, given=0.5)
    fake = generator(batch.noise, batch.rows, batch.mask, batch.gumbel)
    given = (batch.mask > 0)[:, torch.from_numpy(MIXED.unit_of_dense())]
    assert torch.equal(fake[given], batch.rows[given])
    open_numbers = ~given[:, : MIXED.numeric]
    assert (fake[:, : MIXED.numeric] != batch.rows[:, : MIXED.numeric])[open_numbers].all()


def test_a_unit_covers_all_its_fields():
    generator, _ = pair("residual")
    batch = make_batch(MIXED, 16, noise=8)
    mask = torch.zeros_like(batch.mask)
    mask[:, 4] = 1.0  # the last two categorical fields
    fake = generator(batch.noise, batch.rows, mask, batch.gumbel)
    assert torch.equal(fake[:, 22:], batch.rows[:, 22:])
    assert not torch.equal(fake[:, 3:22], batch.rows[:, 3:22])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_values_that_are_not_given_have_no_influence(name):
    generator, _ = pair(name)
    batch = make_batch(MIXED, 8, noise=8)
    given = (batch.mask > 0)[:, torch.from_numpy(MIXED.unit_of_dense())]
    spoiled = torch.where(given, batch.rows, torch.nan)
    fake = generator(batch.noise, spoiled, batch.mask, batch.gumbel)
    assert torch.equal(fake, generator(batch.noise, batch.rows, batch.mask, batch.gumbel))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_logits_without_a_condition_equal_an_empty_mask(name):
    generator, _ = pair(name)
    batch = make_batch(MIXED, 8, noise=8)
    empty = generator.logits(batch.noise, batch.rows, torch.zeros_like(batch.mask))
    assert torch.allclose(generator.logits(batch.noise), empty, atol=1e-6)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_row_depends_on_itself_alone(name):
    generator, discriminator = pair(name)
    generator, discriminator = generator.double(), discriminator.double()
    batch = make_batch(MIXED, 8, noise=8).to(dtype=torch.float64)
    some = part(batch, 2, 5)
    fake = generator(batch.noise, batch.rows, batch.mask, batch.gumbel)
    few = generator(some.noise, some.rows, some.mask, some.gumbel)
    assert torch.allclose(few, fake[2:5], atol=1e-12)
    scores = discriminator(fake, batch.mask).logits
    assert torch.allclose(discriminator(few, some.mask).logits, scores[2:5], atol=1e-12)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_discriminator_sees_the_mask(name):
    _, discriminator = pair(name)
    batch = make_batch(MIXED, 8, noise=8)
    assert not torch.equal(
        discriminator(batch.rows, batch.mask).logits, discriminator(batch.rows, 1 - batch.mask).logits
    )


def test_residual_discriminator_has_no_final_bias():
    _, discriminator = pair("residual")
    assert discriminator.trunk.last.bias is None


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_initial_weights_are_keyed(name):
    state = torch.random.get_rng_state()
    first, second, other = pair(name, seed=1), pair(name, seed=1), pair(name, seed=2)
    for left, right, differs in zip(first, second, other, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(left.parameters(), right.parameters(), strict=True))
        assert any(
            not torch.equal(a, b) for a, b in zip(left.parameters(), differs.parameters(), strict=True)
        )
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_state_holds_parameters_and_the_mixing_only(name):
    for network in pair(name):
        extra = set(network.state_dict()) - {n for n, _ in network.named_parameters()}
        assert extra <= {"trunk.mixing"}


def test_a_generator_starts_with_the_correlation_it_is_told():
    root = torch.tensor([[0.8, 0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    generator, _ = pair("residual")
    generator.start_from([], root)
    numbers = generator.logits(torch.randn(20_000, 8, generator=keyed(3)))[:, :3]
    plain, _ = pair("residual")
    torch.testing.assert_close(
        numbers, plain.logits(torch.randn(20_000, 8, generator=keyed(3)))[:, :3] @ root
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_bfloat16_autocast_is_finite_and_keeps_full_precision_outputs(name, layout):
    generator, discriminator = pair(name, layout)
    batch = make_batch(layout, 33, noise=8)
    with torch.autocast("cpu", torch.bfloat16):
        fake = generator(batch.noise, batch.rows, batch.mask, batch.gumbel)
        scores = discriminator(fake, batch.mask)
    assert fake.dtype == scores.logits.dtype == torch.float32
    scores.logits.sum().backward()
    slopes = [p.grad for network in (generator, discriminator) for p in network.parameters()]
    assert all(g is not None and g.dtype == torch.float32 and torch.isfinite(g).all() for g in slopes)
    given = (batch.mask > 0)[:, torch.from_numpy(layout.unit_of_dense())]
    assert torch.equal(fake[given], batch.rows[given])


def test_autocast_numbers_are_not_rounded_to_bfloat16():
    generator, _ = pair("residual")
    batch = make_batch(MIXED, 64, noise=8, given=0.0)
    with torch.autocast("cpu", torch.bfloat16):
        numbers = generator(batch.noise, batch.rows, batch.mask, batch.gumbel)[:, : MIXED.numeric]
    assert (numbers.bfloat16().float() != numbers).float().mean() > 0.9


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_float64_stays_float64(name):
    generator, discriminator = (n.double() for n in pair(name))
    batch = make_batch(MIXED, 4, noise=8).to(dtype=torch.float64)
    fake = generator(batch.noise, batch.rows, batch.mask, batch.gumbel)
    assert fake.dtype == discriminator(fake, batch.mask).logits.dtype == torch.float64


def test_residual_width_and_blocks_follow_the_configuration():
    settings = NetworkConfig(width=48, blocks=3, noise=8)
    generator = build_generator(MIXED, settings, generator=keyed(0))
    body = generator.trunk.body
    assert body.first.weight.shape == (48, 8 + MIXED.units + MIXED.dense)
    assert len(body.blocks) == 3


@pytest.mark.parametrize(
    ("width", "side"), [(1, 4), (16, 4), (17, 8), (64, 8), (65, 12), (784, 28), (785, 32)]
)
def test_image_side_is_the_smallest_multiple_of_four(width, side):
    assert image_side(width) == side


def test_a_residual_generator_begins_at_the_training_shares() -> None:
    layout = Layout(1, (3, 2), 3, (0, 1, 2), (np.empty(0),))
    shares = [np.array([0.7, 0.25, 0.05]), np.array([0.9, 0.1])]
    generator = build_generator(layout, NetworkConfig(width=32), generator=torch.Generator().manual_seed(0))
    generator.start_from(shares)
    noise = torch.randn(20_000, 64, generator=torch.Generator().manual_seed(1))
    logits = generator.logits(noise).detach()
    for start, expected in ((1, shares[0]), (4, shares[1])):
        drawn = torch.softmax(logits[:, start : start + expected.size], dim=1)
        assert torch.allclose(drawn.mean(0), torch.from_numpy(expected).float(), atol=0.02)
        # Independent of the noise, nearly: no dependence between columns that is not there.
        assert drawn.std(0).max() < 0.1


def test_architectures_without_such_a_layer_keep_their_start() -> None:
    layout = Layout(1, (3,), 2, (0, 1), (np.empty(0),))
    config = NetworkConfig(generator="dense")
    one, two = (build_generator(layout, config, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    two.start_from([np.array([0.7, 0.25, 0.05])])
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
