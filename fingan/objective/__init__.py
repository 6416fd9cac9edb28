"""Objectives: what the two networks are trained to do."""

from __future__ import annotations

from fingan.config import ObjectiveConfig
from fingan.objective.base import Discriminator, Objective, Terms
from fingan.objective.minimax import Minimax
from fingan.objective.penalties import ZeroCentred
from fingan.objective.relativistic import Relativistic
from fingan.objective.wasserstein import WassersteinGP

__all__ = [
    "Discriminator",
    "Minimax",
    "Objective",
    "Relativistic",
    "Terms",
    "WassersteinGP",
    "ZeroCentred",
    "build_objective",
]


def build_objective(config: ObjectiveConfig) -> Objective:
    """Build the configured objective.

    `penalty` chooses how zero-centred penalties are computed. `wasserstein_gp`
    brings its own, always exact; there only `none` has an effect.
    """
    if config.name == "wasserstein_gp":
        return WassersteinGP(config.penalty != "none", config.penalty_every)
    penalty = ZeroCentred(config.penalty, config.penalty_every)
    if config.name == "minimax":
        return Minimax(penalty)
    return Relativistic(penalty)
