"""Learning rate and penalty weight as functions of progress."""

from __future__ import annotations

import math

from fingan.config import ObjectiveConfig, TrainingConfig

FLOOR = 0.02


def learning_rate(config: TrainingConfig, step: int, progress: float) -> float:
    """Return the rate: linear warm-up by step, then cosine decay by progress to 2 % of `lr`.

    Args:
        config: rate and warm-up.
        step: steps taken.
        progress: share of the run that is over, 0 … 1.
    """
    warm = min(1.0, (step + 1) / (config.warmup_steps + 1))
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return config.lr * warm * (FLOOR + (1.0 - FLOOR) * cosine)


def penalty_weight(config: ObjectiveConfig, progress: float) -> float:
    """Return gamma on its geometric path from `gamma` to `gamma_end` (linear if one is zero)."""
    share = min(1.0, max(0.0, progress))
    if config.gamma > 0.0 and config.gamma_end > 0.0:
        return config.gamma * math.pow(config.gamma_end / config.gamma, share)
    return config.gamma + (config.gamma_end - config.gamma) * share


def ema_decay(config: TrainingConfig, step: int) -> float:
    """Return the decay, short at first so that the average forgets the initial weights."""
    return min(config.ema, (1.0 + step) / (10.0 + step))
