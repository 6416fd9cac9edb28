"""The state of a run: what it holds, and that copies are copies."""

import pytest
import torch

from fingan.training import new_state
from tests.training.toys import CPU, LAYOUT, digest, make_run, make_source, make_state, settings


def trained(steps="20"):
    run = make_run(settings(f"training.steps={steps}", "training.lr=0.01"))
    run.train()
    return run.state


def test_the_first_weights_are_a_function_of_the_seed():
    config = settings()
    assert digest(make_state(config).tensors()) == digest(make_state(config).tensors())
    assert digest(make_state(config).tensors()) != digest(make_state(settings("seed=1")).tensors())


def test_precision_and_average():
    state = new_state(LAYOUT, settings(), CPU, torch.float64)
    assert {p.dtype for p in state.generator.parameters()} == {torch.float64}
    assert not any(p.requires_grad for p in state.average.parameters())
    for left, right in zip(state.average.parameters(), state.generator.parameters(), strict=True):
        assert torch.equal(left, right)
        assert left.data_ptr() != right.data_ptr()


def test_the_average_has_the_generators_only_buffer():
    """The average follows parameters alone, so a buffer must be there from the start and never change."""
    config = settings()
    mixing = make_source(config).along
    state = new_state(LAYOUT, config, CPU, torch.float64, mixing=mixing)
    for network in (state.generator, state.average):
        buffers = set(network.state_dict()) - {n for n, _ in network.named_parameters()}
        assert buffers == {"trunk.mixing"}
        torch.testing.assert_close(network.state_dict()["trunk.mixing"], mixing.double())
    assert not set(state.discriminator.state_dict()) - {n for n, _ in state.discriminator.named_parameters()}


def test_a_snapshot_brings_everything_back():
    state = trained()
    before, kept = digest(state.tensors()), state.snapshot()
    assert any(name.startswith("best.") for name in kept)
    assert sum("optimizer" in name for name in kept) > 20
    for name, tensor in state.tensors().items():
        if not name.startswith("best."):  # shared with the snapshot: it is only ever replaced
            tensor.detach().add_(1.0)
    state.keep_best()
    assert digest(state.tensors()) != before
    state.load_tensors(kept)
    assert digest(state.tensors()) == before


def test_a_snapshot_can_be_loaded_twice():
    """What is loaded may be trained on without changing the snapshot."""
    state = trained()
    kept = state.snapshot()
    before = digest(kept)
    state.load_tensors(kept)
    for network in (state.generator, state.discriminator):
        for parameter in network.parameters():
            parameter.grad = torch.ones_like(parameter)
    state.generator_optimizer.step()
    state.discriminator_optimizer.step()
    state.keep_best()
    assert digest(kept) == before
    state.load_tensors(kept)
    assert digest(state.tensors()) == before


def test_a_fresh_snapshot_forgets_moments():
    state = make_state(settings())
    fresh = state.snapshot()
    state.load_tensors(trained().snapshot())
    assert state.generator_optimizer.state_dict()["state"]
    state.load_tensors(fresh)
    assert not state.generator_optimizer.state_dict()["state"]
    assert digest(state.tensors()) == digest(fresh)


def test_another_architecture_is_refused():
    kept = make_state(settings("network.width=16")).snapshot()
    with pytest.raises(RuntimeError, match="size mismatch"):
        make_state(settings()).load_tensors(kept)


def test_the_rates_reach_their_optimisers_after_loading_too():
    state = trained()
    state.load_tensors(state.snapshot())
    state.set_rates(generator=0.2, discriminator=0.1)
    groups = state.generator_optimizer.param_groups + state.discriminator_optimizer.param_groups
    assert [g["lr"] for g in groups] == [0.2, 0.1]
