"""What Ray Tune asks for the next trial: the study's, or the finalists' repetitions that are due."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.tune.search import Searcher

from fingan.cluster.tuning.ledger import SearchFolder, TrialFolder
from fingan.cluster.tuning.schedulers import METRIC, MODE
from fingan.config import TuneConfig
from fingan.search import Params, SearchSpace, Trial
from fingan.search.finals import due
from fingan.search.record import ENDED
from fingan.search.study import Study


class StatelessSearcher(Searcher):
    """A searcher whose state is the search's folder: Tune need not keep it."""

    def __init__(self) -> None:
        super().__init__(metric=METRIC, mode=MODE)

    def __getstate__(self) -> dict[str, Any]:
        """Keep nothing: Tune writes a copy of what it was given, which nobody reads."""
        return {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: Any, **spec: Any) -> bool:
        """Take no orders: space, metric and direction are our own."""
        return True

    def on_trial_result(self, trial_id: str, result: Any) -> None:
        """Learn at the end."""

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Learn nothing."""

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing."""

    def restore(self, checkpoint_path: str) -> None:
        """Have nothing to restore."""


def order_of(number: int, seed: int, stage: str, params: Params) -> dict[str, Any]:
    """Return the configuration by which Tune starts a trial."""
    return {**params, "number": number, "seed": seed, "stage": stage}


def note_death(folder: TrialFolder, trial: Trial) -> Trial:
    """Note of a trial that its process died, more often than is put up with; return it as noted."""
    folder.begin(trial, folder.run.read().get("config", {}))
    folder.run.note(status="failed", error="its process died again and again")
    return folder.read() or trial


class StudySearcher(StatelessSearcher):
    """Unfinished trials first, then settings to begin with, then what the study proposes.

    Args:
        folder: of the search; what has ended in it is known to the study.
        space: what varies.
        study: proposes.
        first: settings to begin with, after the base's.
    """

    def __init__(
        self, folder: SearchFolder, space: SearchSpace, study: Study, first: Sequence[Params] = ()
    ) -> None:
        super().__init__()
        self._folder, self._study, self._trials = folder, study, space.base.tune.trials
        self._first = [space.base_params(), *(params for params in first if space.covers(params))]
        self._numbers: dict[str, int] = {}
        self._params: dict[int, Params] = {}
        known = folder.trials("search")
        self._unfinished = [trial for trial in known if trial.status not in ENDED]
        self._next = 1 + max((trial.number for trial in known), default=-1)
        for trial in known:
            if trial.status in ENDED:
                study.tell(trial)

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's configuration, or that there is none."""
        if self._folder.halts("search"):
            return Searcher.FINISHED
        if self._unfinished:
            trial = self._unfinished.pop(0)
            number, params = trial.number, trial.params
            self._study.take(number, params)
        elif self._next >= self._trials:
            return Searcher.FINISHED
        else:
            number, params = self._next, self._propose(self._next)
            self._next += 1
        self._numbers[trial_id] = number
        self._params[number] = params
        return order_of(number, 0, "search", params)

    def _propose(self, number: int) -> Params:
        if number < len(self._first):
            self._study.take(number, self._first[number])
            return self._first[number]
        return self._study.ask(number)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Tell the study how a trial ended; one whose process died has failed."""
        number = self._numbers[trial_id]
        folder = self._folder.trial("search", number, 0)
        trial = folder.read() or Trial(number, self._params[number])
        if error and trial.status not in ENDED:
            trial = note_death(folder, trial)
        elif trial.status == "running" and not self._folder.ending:
            # Ended by the scheduler, and its process was gone before it could say so.
            folder.run.note(status="pruned")
            trial = folder.read() or trial
        if trial.status in ENDED:
            self._study.tell(trial)


class FinalsSearcher(StatelessSearcher):
    """The finalists' repetitions, round by round."""

    def __init__(self, folder: SearchFolder, settings: dict[int, Params], config: TuneConfig) -> None:
        super().__init__()
        self._folder, self._settings, self._config = folder, settings, config
        self._given: set[tuple[int, int]] = set()
        self._orders: dict[str, tuple[int, int]] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next repetition; None while a round is not over."""
        waiting = due(list(self._settings), self._folder.trials("final"), self._config)
        if not waiting or self._folder.halts("final"):
            return Searcher.FINISHED
        for number, seed in waiting:
            if (number, seed) not in self._given:
                self._given.add((number, seed))
                self._orders[trial_id] = (number, seed)
                return order_of(number, seed, "final", self._settings[number])
        return None

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Note a repetition whose process died as failed: its round must end."""
        number, seed = self._orders[trial_id]
        folder = self._folder.trial("final", number, seed)
        if error and (trial := folder.read() or self._lost(number, seed)).status not in ENDED:
            note_death(folder, trial)

    def _lost(self, number: int, seed: int) -> Trial:
        return Trial(number, self._settings[number], seed, "final")
