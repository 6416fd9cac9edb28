"""Which setting can be relied on: finalists over seeds, ranked by what a new seed keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fingan.search.record import Trial
from fingan.search.space import Params
from fingan.types import Json

PRIOR = 4.0
"""Degrees of freedom that the finalists' common variance counts for, where it has as many."""

FLOOR = 1e-3
"""Least standard deviation: what a validation on a few thousand rows does not tell apart."""


@dataclass(frozen=True)
class Finalist:
    """A setting over its seeds.

    Attributes:
        number: of the trial it comes from.
        params: its values.
        scores: validation scores of the seeds that did not fail; lower is better.
        failures: seeds that did.
        mean, spread: of the scores (standard deviation with n − 1); spread is 0 for a single score.
        worst: highest score; infinite where a seed failed.
        bound: the score that a new seed does not exceed with the chance `confidence`.
        seconds: training of all seeds.
        memorisation: median over seeds; None where it was not measured.
    """

    number: int
    params: Params
    scores: tuple[float, ...]
    failures: int
    mean: float
    spread: float
    worst: float
    bound: float
    seconds: float
    memorisation: float | None

    @property
    def seeds(self) -> int:
        """Seeds that were tried."""
        return len(self.scores) + self.failures

    def to_json(self, confidence: float) -> Json:
        """Return plain values, null for what is infinite, with the bound on the chance of a failure."""
        values = {key: getattr(self, key) for key in self.__dataclass_fields__}
        for key in ("mean", "worst", "bound"):
            values[key] = values[key] if math.isfinite(values[key]) else None
        most = failure_bound(self.failures, self.seeds, confidence)
        return {**values, "scores": list(self.scores), "failures_at_most": most}


def failure_bound(failures: int, seeds: int, confidence: float) -> float:
    """Return the chance of failure that so many failures do not exclude.

    One-sided upper bound of Clopper and Pearson (1934).
    """
    if failures >= seeds:
        return 1.0
    return float(stats.beta.ppf(confidence, failures + 1, seeds - failures))


def ranked(trials: Sequence[Trial], confidence: float, max_failures: float) -> list[Finalist]:
    """Rank settings by their repetitions, best first.

    Those whose share of failures exceeds `max_failures` come last. The others are ordered by the
    upper prediction bound of a new seed's score, mean + t · s · √(1 + 1/n). With few seeds a
    setting's own variance says little, so it is moderated by the finalists' common one (Smyth,
    2004): s² = (d₀ s₀² + (n − 1) s_i²) / (d₀ + n − 1), t with d₀ + n − 1 degrees of freedom.

    Args:
        trials: ended repetitions of all finalists.
        confidence: of the bound.
        max_failures: share of seeds that may fail.
    """
    groups: dict[int, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.number, []).append(trial)
    scored = {number: _scores(own) for number, own in groups.items()}
    common, freedom = _common_variance(list(scored.values()))
    prior = min(PRIOR, max(1.0, float(freedom)))
    found = [_finalist(own, scored[number], common, prior, confidence) for number, own in groups.items()]
    return sorted(found, key=lambda f: (not reliable(f, max_failures), f.bound, f.number))


def reliable(finalist: Finalist, max_failures: float) -> bool:
    """Whether some seeds came through and no more failed than may."""
    return bool(finalist.scores) and finalist.failures <= max_failures * finalist.seeds + 1e-9


def _scores(trials: Sequence[Trial]) -> list[float]:
    return [t.score for t in trials if t.score is not None and not t.failed and math.isfinite(t.score)]


def _common_variance(groups: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the pooled variance within groups, at least `FLOOR` squared, and its degrees of freedom."""
    squares = sum(float(np.var(own, ddof=0)) * len(own) for own in groups if len(own) > 1)
    freedom = sum(len(own) - 1 for own in groups if len(own) > 1)
    return max(FLOOR**2, squares / freedom if freedom else 0.0), freedom


def _finalist(
    trials: Sequence[Trial], scores: Sequence[float], common: float, prior: float, confidence: float
) -> Finalist:
    count, failures = len(scores), len(trials) - len(scores)
    shares = [t.memorisation for t in trials if t.memorisation is not None]
    mean = float(np.mean(scores)) if count else math.inf
    own = float(np.var(scores, ddof=1)) if count > 1 else 0.0
    freedom = prior + max(0, count - 1)
    variance = (prior * common + max(0, count - 1) * own) / freedom
    reach = float(stats.t.ppf(confidence, freedom)) * math.sqrt(variance * (1.0 + 1.0 / max(1, count)))
    return Finalist(
        number=trials[0].number,
        params=trials[0].params,
        scores=tuple(scores),
        failures=failures,
        mean=mean,
        spread=math.sqrt(own),
        worst=math.inf if failures or not count else max(scores),
        bound=mean + reach,
        seconds=sum(t.seconds for t in trials),
        memorisation=float(np.median(shares)) if shares else None,
    )
