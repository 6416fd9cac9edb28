"""Successive halving over seeds: which repetitions of which finalists are due.

Karnin, Koren & Somekh, 2013, with seeds as the resource. A function of the trials that have ended,
so a search that was interrupted goes on where it stood. Where none of those that are left can be relied on,
finalists that were dropped without failing come back, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from fingan.config import TuneConfig
from fingan.search.ranking import Finalist, ranked, reliable
from fingan.search.record import ENDED, Trial

BASE = 0
"""Number of the trial of the base setting: it is never dropped, so that the winner stands beside it."""

FIRST_ROUND = 2

Due = tuple[int, int]
"""(number of the setting, how-manieth seed)"""


def candidates(trials: Sequence[Trial], count: int) -> list[Trial]:
    """Return the best trials of the search, and the base setting's whatever its score.

    Equal settings count once. Where fewer came to their end than are asked for, those that went
    furthest follow.

    Args:
        trials: of the search.
        count: how many, besides the base.
    """
    ended = [t for t in trials if t.status in ("finished", "pruned", "paused") and t.curve and not t.failed]
    base = [t for t in trials if t.number == BASE]
    best: list[Trial] = []
    for trial in sorted(ended, key=_promise):
        if trial.number != BASE and all(trial.params != other.params for other in [*best, *base]):
            best.append(trial)
    return [*best[:count], *base]


def _promise(trial: Trial) -> tuple[bool, int, float, int]:
    """Return by what trials are put in order: the finished first, then by looks, then by score."""
    short = trial.status != "finished"
    return short, -max(trial.by_look, default=0) if short else 0, trial.curve[-1][1], trial.number


def rounds(seeds: int) -> list[int]:
    """Return how many seeds every survivor has after each round: 2, 4, 8 … and the last number."""
    counts, count = [], FIRST_ROUND
    while count < seeds:
        counts.append(count)
        count *= 2
    return [*counts, seeds]


def due(numbers: Sequence[int], ended: Sequence[Trial], config: TuneConfig) -> list[Due]:
    """Return the repetitions that are to be run now; empty at the end.

    Args:
        numbers: of the finalists, the base among them.
        ended: their repetitions so far; `seed` counts from 0 here.
        config: seeds, confidence and failures.
    """
    known = {(trial.number, trial.seed) for trial in ended if trial.status in ENDED}
    alive = list(numbers)
    sound: list[int] = []
    dropped: list[int] = []
    for count in rounds(config.seeds):
        missing = [(n, s) for n in alive for s in range(count) if (n, s) not in known]
        if missing:
            return missing
        order = standing([t for t in ended if t.seed < count and t.number in alive], config)
        sound, kept = _sound(order, config), _survivors(order)
        # Who came further stands before the others. Judged as they were dropped, not by what came later:
        # so the order in which repetitions end makes no difference.
        dropped = [n for n in sound if n not in kept] + dropped
        alive = [n for n in alive if n in kept]
    while dropped and not sound:
        number = dropped.pop(0)
        missing = [(number, s) for s in range(config.seeds) if (number, s) not in known]
        if missing:
            return missing
        sound = _sound(standing([t for t in ended if t.number == number], config), config)
    return []


def _sound(order: Sequence[Finalist], config: TuneConfig) -> list[int]:
    """Return the settings that can be relied on."""
    return [finalist.number for finalist in order if reliable(finalist, config.max_failures)]


def _survivors(order: Sequence[Finalist]) -> list[int]:
    """Return the better half of the settings, and the base."""
    rivals = [finalist.number for finalist in order if finalist.number != BASE]
    return [BASE, *rivals[: max(1, (len(rivals) + 1) // 2)]]


def standing(ended: Sequence[Trial], config: TuneConfig) -> list[Finalist]:
    """Return the finalists as they stand, best first.

    Those with more seeds come first: who was dropped on the way, and did not come back, cannot win.
    """
    over = [trial for trial in ended if trial.status in ENDED]
    order = ranked(over, config.confidence, config.max_failures)
    most = max((finalist.seeds for finalist in order), default=0)
    return sorted(order, key=lambda finalist: finalist.seeds < most)
