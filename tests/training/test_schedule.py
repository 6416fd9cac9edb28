"""Rates, penalty weights and decays along a run."""

import pytest

from fingan.training.schedule import FLOOR, ema_decay, learning_rate, penalty_weight
from tests.training.toys import settings


def test_the_rate_warms_up_and_decays():
    config = settings("training.lr=0.01", "training.warmup_steps=9").training
    assert learning_rate(config, 0, 0.0) == pytest.approx(0.001)
    assert learning_rate(config, 4, 0.0) == pytest.approx(0.005)
    assert learning_rate(config, 9, 0.0) == learning_rate(config, 99, 0.0) == pytest.approx(0.01)
    assert learning_rate(config, 99, 0.5) == pytest.approx(0.01 * (1 + FLOOR) / 2)
    assert learning_rate(config, 99, 1.0) == learning_rate(config, 99, 1.7) == pytest.approx(0.01 * FLOOR)
    rates = [learning_rate(config, 99, p / 50) for p in range(51)]
    assert rates == sorted(rates, reverse=True)


def test_no_warm_up_starts_at_the_full_rate():
    assert learning_rate(settings("training.warmup_steps=0").training, 0, 0.0) == pytest.approx(1e-3)


def test_gamma_goes_geometrically_and_linearly_through_zero():
    geometric = settings("objective.gamma=0.9", "objective.gamma_end=0.1").objective
    assert penalty_weight(geometric, 0.0) == 0.9
    assert penalty_weight(geometric, 0.5) == pytest.approx(0.3)
    assert penalty_weight(geometric, 1.0) == penalty_weight(geometric, 9.0) == pytest.approx(0.1)
    linear = settings("objective.gamma=0.8", "objective.gamma_end=0").objective
    assert [penalty_weight(linear, p) for p in (0.0, 0.5, 1.0)] == pytest.approx([0.8, 0.4, 0.0])


def test_the_average_is_short_at_first():
    config = settings("training.ema=0.99").training
    assert ema_decay(config, 0) == pytest.approx(0.1)
    assert ema_decay(config, 90) == pytest.approx(0.91)
    assert ema_decay(config, 10_000) == 0.99
    assert ema_decay(settings("training.ema=0").training, 500) == 0.0
