"""When a run is over and when it validates: by steps, by the clock, or both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fingan.config import Config
from fingan.training.state import Progress

REASONS = ("", "finished", "time budget", "early stop", "interrupted", "pause", "epochs")

VALIDATION_SHARE = 0.1
"""Validations may take this share of a time budget at most."""

UNTIMED_STEPS = 10_000
"""Plan of a run that nothing but a time budget ends, before its first steps are timed."""


@dataclass(frozen=True)
class Verdict:
    """Rank 0's decision after a window, as numbers that can be broadcast.

    Attributes:
        reason: why training ends, one of `REASONS`; empty when it goes on.
        validate: whether a validation is due.
        planned: steps that the run is expected to take.
        elapsed: seconds of training so far, over all resumptions.
        look: number of the look that the validation is, the first is 1; 0 for none.
    """

    reason: str
    validate: bool
    planned: int
    elapsed: float
    look: int = 0

    def pack(self) -> list[float]:
        """Return the verdict as numbers."""
        return [REASONS.index(self.reason), self.validate, self.planned, self.elapsed, self.look]

    @classmethod
    def unpack(cls, numbers: Sequence[float]) -> Verdict:
        """Read what `pack` wrote."""
        reason, validate, planned, elapsed, look = numbers
        return cls(REASONS[int(reason)], bool(validate), int(planned), elapsed, int(look))


class Pace:
    """Measures the run and plans its end.

    With a time budget the number of steps is an estimate that improves as the run goes on,
    up to as many as the epochs make; with steps alone the plan is fixed, and so is every
    decision of the run.

    Args:
        config: of the run: steps, time budget, epochs, batches and validations.
        rows: of the training table.
        progress: where the run stands, kept up to date by the loop.
        clock: seconds since any moment, never going back.
        looks: shares of the run, ascending, at which it validates instead of at its own rhythm.
        until: share of the run at which it pauses; 1 for never.
    """

    def __init__(
        self,
        config: Config,
        rows: int,
        progress: Progress,
        clock: Callable[[], float],
        looks: Sequence[float] = (),
        until: float = 1.0,
    ) -> None:
        self._config, self._progress, self._clock, self._looks = config.training, progress, clock, looks
        self._until = until
        self._rows_per_step = config.rows_per_step
        self._most = _most_steps(config, rows)
        self._started = clock()
        self._before = progress.elapsed
        self._taken = 0
        self._validation_seconds = 0.0
        self._last_cost = 0.0
        self._last_validation = progress.elapsed

    @property
    def elapsed(self) -> float:
        """Seconds of training now, over all resumptions."""
        return self._before + self._clock() - self._started

    def stepped(self) -> None:
        """Count a step; one that is rolled back later took its time all the same."""
        self._taken += 1

    def _seconds_per_step(self) -> float:
        spent = self.elapsed - self._before - self._validation_seconds
        return spent / self._taken if self._taken else 0.0

    @property
    def rows_per_second(self) -> float:
        """Real rows per second of this process's life, validations apart."""
        per_step = self._seconds_per_step()
        return self._rows_per_step / per_step if per_step > 0.0 else 0.0

    def remaining(self) -> float:
        """Return the expected seconds until the end, validations apart."""
        return self._left(self._progress.planned)

    def _left(self, planned: int) -> float:
        by_steps = max(0, planned - self._progress.step) * self._seconds_per_step()
        budget = self._config.time_budget
        return by_steps if budget is None else min(by_steps, max(0.0, budget - self.elapsed))

    def _planned(self) -> int:
        """Return the steps that fit into the budget, no more than asked for."""
        config, step = self._config, self._progress.step
        limit = config.steps or int(min(self._most, UNTIMED_STEPS))
        if config.time_budget is None:
            return limit
        per_step = self._seconds_per_step()
        if per_step <= 0.0:
            return max(step, self._progress.planned) if self._progress.planned else limit
        left = max(0.0, config.time_budget - self.elapsed)
        by_time = step + int(left * (1.0 - VALIDATION_SHARE) / per_step)
        return int(min(self._most, by_time))

    def _validation_due(self, planned: int) -> bool:
        config, progress = self._config, self._progress
        if config.time_budget is None:
            return progress.step - progress.validated_step >= max(1, planned // config.validations)
        length = config.time_budget if planned < self._most else self.elapsed + self._left(planned)
        gap = max(length / config.validations, self._last_cost / VALIDATION_SHARE)
        return self.elapsed - self._last_validation >= gap

    def _stand(self, planned: int) -> tuple[float, float, float]:
        """Return where the last validation was, where the run stands, and its end.

        In steps where these end it, else in seconds.
        """
        progress, budget = self._progress, self._config.time_budget
        if budget is None or planned >= self._most:
            return progress.validated_step, progress.step, planned
        return self._last_validation, self.elapsed, budget

    def _look(self, planned: int) -> int:
        """Return the number of the last look that lies between the last validation and now; 0 for none."""
        before, now, end = self._stand(planned)
        due = (n for n, share in enumerate(self._looks, start=1) if before < share * end <= now)
        return max(due, default=0)

    def _reason(self, planned: int) -> str:
        config = self._config
        # What the last look at the generator will take belongs to the budget.
        if config.time_budget is not None and self.elapsed + self._last_cost >= config.time_budget:
            return "time budget"
        if self._progress.step < planned:
            return "pause" if self._pause_due(planned) else ""
        if self._progress.step < self._most:
            return "time budget"
        return "epochs" if config.steps is None else "finished"

    def _pause_due(self, planned: int) -> bool:
        _, now, end = self._stand(planned)
        return self._until < 1.0 and now >= self._until * end

    def verdict(self, stop: bool) -> Verdict:
        """Decide after a window whether to stop (`stop`: the user asks for it) and whether to validate."""
        planned = self._planned()
        reason = "interrupted" if stop else self._reason(planned)
        if not self._taken:
            return Verdict(reason, False, planned, self.elapsed)
        look = self._look(planned)
        due = look > 0 if self._looks else self._validation_due(planned)
        return Verdict(reason, due, planned, self.elapsed, look)

    def validated(self, seconds: float) -> None:
        """Book the cost of a validation that has just ended."""
        self._validation_seconds += seconds
        self._last_cost = seconds
        self._last_validation = self.elapsed
        self._progress.validated_step = self._progress.step


def _most_steps(config: Config, rows: int) -> float:
    """Return the steps at which a run is over whatever the clock says; infinity where there are none."""
    steps, epochs = config.training.steps, config.training.epochs
    if steps is not None:
        return steps
    return math.inf if epochs is None else math.ceil(epochs * rows / config.rows_per_step)
