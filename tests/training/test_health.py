"""Detectors, one by one."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from fingan.training.health import EXPLODING, PATIENCE, HealthMonitor, Vitals, spread_of, spread_sums
from tests.networks.toy import part
from tests.training.toys import CONDITIONING, FREE, LAYOUT, keyed, make_source, settings

WELL = Vitals(certainty=0.7, spread=0.9, weight_norm=30.0, discriminator_norm=1.0, generator_norm=0.5)
UNIT = torch.from_numpy(LAYOUT.unit_of_dense())


def windows(monitor: HealthMonitor, vitals: Vitals, count: int) -> list[str | None]:
    return [monitor.check(vitals) for _ in range(count)]


def test_health_is_not_an_ailment():
    assert windows(HealthMonitor(), WELL, 100) == [None] * 100


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Vitals)])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_anything_not_finite_counts_at_once(field, value):
    assert HealthMonitor().check(dataclasses.replace(WELL, **{field: value})) == "non_finite"


@pytest.mark.parametrize(
    ("ailment", "change"),
    [
        ("saturated", {"certainty": 1.0}),
        ("collapsed", {"spread": 0.01}),
        ("vanishing", {"generator_norm": 1e-12}),
    ],
)
def test_a_lasting_sign_counts_after_some_windows(ailment, change):
    ill, monitor = dataclasses.replace(WELL, **change), HealthMonitor()
    assert windows(monitor, ill, PATIENCE) == [None] * (PATIENCE - 1) + [ailment]
    assert not monitor.sound
    monitor.reset()
    assert monitor.sound
    for _ in range(10):  # a sign that comes and goes is none
        assert windows(monitor, ill, PATIENCE - 1) == [None] * (PATIENCE - 1)
        assert monitor.check(WELL) is None


def test_a_wasserstein_critic_may_be_always_right():
    ill = dataclasses.replace(WELL, certainty=1.0)
    assert windows(HealthMonitor(bounded_scores=False), ill, 20) == [None] * 20


@pytest.mark.parametrize("network", ["discriminator_norm", "generator_norm"])
def test_a_jump_of_the_gradient_is_an_explosion(network):
    monitor = HealthMonitor()
    windows(monitor, WELL, PATIENCE)
    assert monitor.check(dataclasses.replace(WELL, **{network: 0.9 * EXPLODING})) is None
    assert monitor.check(dataclasses.replace(WELL, **{network: 1.1 * EXPLODING})) == "exploding"


def test_without_a_past_nothing_explodes():
    big = dataclasses.replace(WELL, discriminator_norm=1e12)
    assert windows(HealthMonitor(), big, 10) == [None] * 10


def spread(conditioning, change):
    batch = make_source(settings("training.batch_size=400"), conditioning).batch(0)
    fake = torch.where(batch.mask.index_select(1, UNIT) > 0, batch.rows, change(batch.rows))
    return spread_of(spread_sums(batch, fake, UNIT))


def test_spread_of_copies_constants_and_wider_rows():
    assert spread(CONDITIONING, lambda rows: rows) == pytest.approx(1.0)
    assert spread(FREE, lambda rows: 2 * rows) == pytest.approx(4.0)
    # Given places repeat the real row; they must not hide that everything else is constant.
    assert spread(CONDITIONING, lambda rows: torch.full_like(rows, 0.3)) == pytest.approx(0.0, abs=1e-9)


def flags(rate: float, rows: int, source: torch.Generator) -> torch.Tensor:
    """Return one-hot rows of a flag."""
    raised = (torch.rand(rows, generator=source) < rate).float()
    return torch.stack([1 - raised, raised], dim=1)


def told(rate: float, made: float, rows: int, windows: int, seed: int) -> list[str | None]:
    """Return what a monitor says of windows with a flag at one rate in real rows, at another in made ones."""
    source, monitor = keyed(seed), HealthMonitor()
    found = []
    for _ in range(windows):
        batch = SimpleNamespace(rows=flags(rate, rows, source), mask=torch.zeros(rows, 1))
        sums = spread_sums(batch, flags(made, rows, source), torch.zeros(2, dtype=torch.int64))
        found.append(monitor.check(dataclasses.replace(WELL, spread=monitor.spread(sums))))
    return found


@pytest.mark.parametrize(("rate", "rows"), [(0.0017, 512), (0.02, 16), (0.3, 4)])
def test_a_rare_flag_that_a_few_batches_lack_is_no_collapse(rate, rows):
    """Of 0.17 % of the rows, 512 have none every other time."""
    for seed in range(20):
        assert told(rate, rate, rows, 150, seed) == [None] * 150


def test_a_rare_flag_that_is_never_made_is_a_collapse():
    assert "collapsed" in told(0.0017, 0.0, 512, 60, 0)
    assert told(0.3, 0.0, 512, PATIENCE, 0)[-1] == "collapsed"


def test_a_roll_back_forgets_what_was_made_before():
    sums = torch.tensor([100.0, 100.0, 50.0, 50.0, 50.0, 50.0, 100.0, 0.0, 100.0, 0.0], dtype=torch.float64)
    monitor = HealthMonitor()
    assert monitor.spread(sums) == 0.0
    monitor.reset()
    assert monitor.spread(sums / 100) == 1.0, "two rows tell nothing"


def test_spread_adds_up_over_workers():
    batch = make_source(settings()).batch(0)
    fake = batch.rows.roll(1, 0) * 0.5
    parts = [spread_sums(part(batch, a, b), fake[a:b], UNIT) for a, b in [(0, 20), (20, 21), (21, 62)]]
    whole = spread_sums(batch, fake, UNIT)
    torch.testing.assert_close(sum(parts), whole)
    assert spread_of(torch.zeros(5 * LAYOUT.dense)) == 1.0
