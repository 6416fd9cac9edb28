"""One step: who moves when, and what stays put."""

import math

import pytest
import torch

from fingan.objective import build_objective
from fingan.training import Alone
from fingan.training.step import Stepper, StepSettings
from tests.training.toys import digest, make_source, make_state, settings

AS_USUAL = StepSettings(gamma=0.5, decay=0.9)


def make_stepper(config, autocast=False, source=None):
    state = make_state(config)
    source = make_source(config) if source is None else source
    objective = build_objective(config.objective)
    parts = config.objective.discriminator_steps
    return state, Stepper(state, source, objective, Alone(), parts, autocast)


class Broken:
    """A source that spoils one part of the batch."""

    def __init__(self, config, part=0, name="rows"):
        self._source, self._part, self._name = make_source(config), part, name

    def batch(self, step, part=0, attempt=0):
        batch = self._source.batch(step, part, attempt)
        if part == self._part:
            getattr(batch, self._name)[0, 0] = math.nan
        return batch


def test_all_three_networks_move_and_the_average_as_told():
    state, stepper = make_stepper(settings())
    before = state.snapshot()
    report = stepper.step(0, 0, AS_USUAL)
    assert report.healthy
    assert report.discriminator_norm > 0
    assert report.generator_norm > 0
    assert report.fake.shape == report.batch.rows.shape == (62, 13)
    assert not report.fake.requires_grad
    after = state.tensors()
    for network in ("generator", "discriminator"):
        names = [n for n in before if n.startswith(f"{network}.") and "optimizer" not in n]
        assert any(not torch.equal(before[n], after[n]) for n in names)
    for name in (n for n in before if n.startswith("average.")):
        moved = 0.9 * before[name] + 0.1 * after[name.replace("average.", "generator.")]
        torch.testing.assert_close(after[name], moved)


def test_terms_are_named_detached_scalars():
    _, stepper = make_stepper(settings())
    terms = stepper.step(0, 0, AS_USUAL).terms
    assert {"discriminator_loss", "accuracy", "penalty", "generator_loss"} <= set(terms)
    assert all(v.ndim == 0 and not v.requires_grad and torch.isfinite(v) for v in terms.values())


def test_the_generator_update_leaves_no_gradient_in_the_discriminator():
    state, stepper = make_stepper(settings())
    stepper.step(0, 0, AS_USUAL)
    after_own = [p.grad.clone() for p in state.discriminator.parameters()]
    batch = make_source(settings()).batch(0)
    stepper._update_generator(batch, *stepper._generate(batch, graph=True), torch.zeros(62), 0.9)
    assert all(p.requires_grad for p in state.discriminator.parameters())
    for parameter, gradient in zip(state.discriminator.parameters(), after_own, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_several_discriminator_updates_per_generator_update():
    state, stepper = make_stepper(settings("objective.discriminator_steps=3"))
    stepper.step(0, 0, AS_USUAL)
    steps = [
        {float(slots["step"]) for slots in optimizer.state.values()}
        for optimizer in (state.discriminator_optimizer, state.generator_optimizer)
    ]
    assert steps == [{3.0}, {1.0}]


@pytest.mark.parametrize(("parts", "part", "name"), [(1, 0, "rows"), (3, 1, "rows"), (1, 0, "noise")])
def test_a_discriminator_update_that_is_not_finite_is_not_made(parts, part, name):
    config = settings(f"objective.discriminator_steps={parts}")
    state, stepper = make_stepper(config, source=Broken(config, part, name))
    report = stepper.step(0, 0, AS_USUAL)
    assert not report.healthy
    assert report.terms == {}
    assert not math.isfinite(report.discriminator_norm)
    assert all(torch.isfinite(t).all() for t in state.tensors().values())
    assert not state.generator_optimizer.state


def test_a_generator_update_that_is_not_finite_is_not_made():
    state, stepper = make_stepper(settings())
    before = digest(state.generator.state_dict())
    next(state.generator.parameters()).register_hook(lambda gradient: gradient * math.nan)
    report = stepper.step(0, 0, AS_USUAL)
    assert not report.healthy
    assert math.isfinite(report.discriminator_norm)
    assert not math.isfinite(report.generator_norm)
    assert digest(state.generator.state_dict()) == before == digest(state.average.state_dict())


@pytest.mark.parametrize("penalty", ["first_order", "none"])
def test_autocast_never_uses_a_stale_weight(monkeypatch, penalty):
    """Steps with autocast's weight cache equal steps without it, bit for bit."""
    config = settings("compute.precision=bf16", f"objective.penalty={penalty}", "training.lr=0.05")
    (cached, stepper), (plain, uncached) = make_stepper(config, True), make_stepper(config, True)
    monkeypatch.setattr(
        uncached,
        "_precision",
        lambda batch: torch.autocast("cpu", torch.bfloat16, cache_enabled=False),
    )
    for step in range(5):
        stepper.step(step, 0, AS_USUAL)
        uncached.step(step, 0, AS_USUAL)
    assert digest(cached.tensors()) == digest(plain.tensors())


def test_bfloat16_stays_near_full_precision():
    rough, exact = settings("compute.precision=bf16"), settings("compute.precision=fp32")
    (left, stepper), (_right, reference) = make_stepper(rough, True), make_stepper(exact)
    reports = [s.step(0, 0, AS_USUAL) for s in (stepper, reference)]
    assert reports[0].discriminator_norm == pytest.approx(reports[1].discriminator_norm, rel=0.05)
    assert {p.dtype for p in left.generator.parameters()} == {torch.float32}
