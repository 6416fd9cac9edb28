"""Objectives: what the two networks are trained to do."""

from __future__ import annotations

from fingan.config import ObjectiveConfig
from fingan.objective.base import Discriminator, Judged, Objective, Penalty, Terms
from fingan.objective.marginals import Marginals
from fingan.objective.minimax import Minimax
from fingan.objective.penalties import ZeroCentred
from fingan.objective.relativistic import Relativistic
from fingan.objective.terms import describe
from fingan.objective.wasserstein import UnitSlope, Wasserstein

__all__ = [
    "Discriminator",
    "Judged",
    "Marginals",
    "Minimax",
    "Objective",
    "Penalty",
    "Relativistic",
    "Terms",
    "UnitSlope",
    "Wasserstein",
    "ZeroCentred",
    "build_objective",
    "describe",
]


def build_objective(config: ObjectiveConfig) -> Objective:
    """Build the configured objective.

    `penalty` chooses how zero-centred penalties are computed. `wasserstein_gp`
    brings its own, always exact; there only `none` has an effect.
    """
    if config.name == "wasserstein_gp":
        bare = config.penalty == "none"
        return Wasserstein(ZeroCentred("none") if bare else UnitSlope(config.penalty_every))
    penalty = ZeroCentred(config.penalty, config.penalty_every)
    return Minimax(penalty) if config.name == "minimax" else Relativistic(penalty)
