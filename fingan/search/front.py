"""The front of several aims: what no other trial beats in all of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fingan.search.record import Trial


def aims(trial: Trial) -> tuple[float, float, float] | None:
    """Return what a trial is judged by, lower is better: score, excess memorisation, cost.

    Memorisation counts beyond its ideal of one half; cost is the seconds until the best score.

    Returns:
        None for a trial that failed, was not finished or not measured.
    """
    if trial.failed or trial.status != "finished" or trial.score is None or trial.memorisation is None:
        return None
    best = trial.score
    if not math.isfinite(best):
        return None
    cost = next(at for at, score in trial.curve if score <= best)
    return best, max(0.0, trial.memorisation - 0.5), cost


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that no other one dominates: none is as good in all aims and better in one."""
    judged = [(trial, own) for trial in trials if (own := aims(trial)) is not None]
    return [
        trial
        for trial, own in judged
        if not any(
            other != own and all(o <= v for o, v in zip(other, own, strict=True)) for _, other in judged
        )
    ]
