"""A search on disk, from which it goes on after any end.

    <runs>/.searches/<name>/<search>/search.json     what was asked for, data, status, version
                                     stop            asks the trials to stop
                                     over            the time for trying is over
                                     driver          word of the driver whose trials may write
                                     record.json     the record so far; `search.html` shows it
                                     population.json members and moves, in a population
                                     search/0007/    the run folder of trial 7, as of any run
                                     final/0007-2/   of its third seed
                                     search/0007/looks.jsonl   seconds, best score, step, number of each look

What Ray Tune notes of itself is not needed to go on: the scheduler and the searcher are told again
what the folders hold.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from fingan.cluster.runs import UNFINISHED, RunFolder
from fingan.errors import NotFound
from fingan.files import atomic_write_bytes, remove_empty
from fingan.search import Trial
from fingan.types import Json

STAGES = ("search", "final")


class Look(NamedTuple):
    """A look at a trial: seconds of training, best score so far, steps, and its number.

    The first is 1; 0 is a validation that is no look of the search's, as a finalist's are.
    """

    seconds: float
    score: float
    step: int
    number: int


@dataclass(frozen=True)
class TrialFolder:
    """The folder of one trial; its `run` is one as of `fingan train`."""

    run: RunFolder

    @property
    def _looks(self) -> Path:
        return self.run.path / "looks.jsonl"

    @property
    def weak(self) -> Path:
        """File whose presence asks the trial to end: it is not worth more."""
        return self.run.path / "weak"

    def begin(self, trial: Trial, config: Json) -> None:
        """Note what the trial is, unless it was begun before; its present values count."""
        self.run.path.mkdir(parents=True, exist_ok=True)
        entry = {"number": trial.number, "params": trial.params, "seed": trial.seed, "stage": trial.stage}
        self.run.write(
            {**self.run.read(), **entry, "workers": trial.workers, "status": "running", "config": config}
        )

    def look(self, seconds: float, score: float, step: int, number: int) -> None:
        """Add a look."""
        with self._looks.open("a", encoding="utf-8") as file:
            file.write(json.dumps([seconds, score, step, number]) + "\n")

    def looks(self) -> list[Look]:
        """Return all looks; a torn line is passed over."""
        found = []
        with suppress(OSError):
            for line in self._looks.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, TypeError):
                    seconds, score, step, number = json.loads(line)
                    found.append(Look(float(seconds), float(score), int(step), int(number)))
        return found

    def keep_looks(self, until: int) -> None:
        """Forget looks after a step: the trial goes on from a checkpoint of that step."""
        self.set_looks([look for look in self.looks() if look.step <= until])

    def set_looks(self, looks: Iterable[Look]) -> None:
        """Replace the looks: the trial goes on from a state with this past."""
        lines = [json.dumps(list(look)) + "\n" for look in looks]
        atomic_write_bytes(self._looks, "".join(lines).encode())

    def read(self) -> Trial | None:
        """Return the trial as it stands; None where its folder does not tell what it is."""
        entry, looks = self.run.read(), self.looks()
        if "number" not in entry:
            return None
        return Trial(
            number=entry["number"],
            params=entry["params"],
            seed=entry["seed"],
            stage=entry["stage"],
            status=entry["status"],
            curve=tuple((look.seconds, look.score) for look in looks),
            looks=tuple(look.number for look in looks),
            steps=max([entry.get("steps", 0), *(look.step for look in looks)]),
            rollbacks=entry.get("rollbacks", 0),
            memorisation=entry.get("memorisation"),
            error=entry.get("error", ""),
            workers=entry.get("workers", 1),
        )


@dataclass(frozen=True)
class SearchFolder:
    """The folder of one search."""

    path: Path

    @classmethod
    def create(cls, root: Path, name: str, values: Json) -> SearchFolder:
        """Make the folder of a new search."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        folder = cls(place(root, name) / f"{stamp}-{secrets.token_hex(3)}")
        folder.path.mkdir(parents=True)
        folder.note(status="running", seconds=0.0, **values)
        return folder

    @classmethod
    def newest_unfinished(cls, root: Path, name: str) -> SearchFolder:
        """Return the newest search of a name that has not finished.

        Raises:
            NotFound: there is none.
        """
        parent = place(root, name)
        for path in sorted(parent.iterdir(), reverse=True) if parent.is_dir() else []:
            if cls(path).read().get("status") in UNFINISHED:
                return cls(path)
        raise NotFound(f"no unfinished search of {name!r} in {parent}; tune without --resume to start one")

    @property
    def stop(self) -> Path:
        """File whose presence asks the trials to stop."""
        return self.path / "stop"

    @property
    def over(self) -> Path:
        """File whose presence tells that trials end which nobody found wanting."""
        return self.path / "over"

    @property
    def ending(self) -> bool:
        """Whether trials are being ended for a reason of the search's, not of their own."""
        return self.stop.exists() or self.over.exists()

    def halts(self, stage: str) -> bool:
        """Whether the trials of a stage are to end; finalists only where all do."""
        return self.ending if stage == "search" else self.stop.exists()

    @property
    def record(self) -> Path:
        """File of the record."""
        return self.path / "record.json"

    @property
    def page(self) -> Path:
        """File of the report."""
        return self.path / "search.html"

    def read(self) -> Json:
        """Return search.json; an empty object when there is none to read."""
        with suppress(OSError, ValueError):
            values = json.loads((self.path / "search.json").read_text(encoding="utf-8"))
            return values if isinstance(values, dict) else {}
        return {}

    def note(self, **values: Any) -> None:
        """Change some entries of search.json."""
        atomic_write_bytes(
            self.path / "search.json", json.dumps({**self.read(), **values}, indent=1).encode()
        )

    def renew(self) -> str:
        """Make ready to go on; return the word of this driver."""
        word = secrets.token_hex(8)
        atomic_write_bytes(self.path / "driver", word.encode())
        for path in (self.stop, self.over):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.path / "ray", ignore_errors=True)
        self.note(status="running")
        return word

    def driver(self) -> str:
        """Return the word of the driver whose trials may write; empty where it cannot be read."""
        with suppress(OSError, UnicodeDecodeError):
            return (self.path / "driver").read_text(encoding="ascii")
        return ""

    def trial(self, stage: str, number: int, seed: int) -> TrialFolder:
        """Return the folder of a trial; finalists have one for each seed."""
        name = f"{number:04d}" if stage == "search" else f"{number:04d}-{seed}"
        return TrialFolder(RunFolder(self.path / stage / name))

    def trials(self, stage: str) -> list[Trial]:
        """Return all trials of a stage as they stand, by number and seed."""
        parent = self.path / stage
        paths = sorted(parent.iterdir()) if parent.is_dir() else []
        found = [TrialFolder(RunFolder(path)).read() for path in paths]
        return [trial for trial in found if trial is not None]

    def all_trials(self) -> list[Trial]:
        """Return the trials of all stages as they stand."""
        return [trial for stage in STAGES for trial in self.trials(stage)]

    def interrupt(self, trials: Iterable[Trial]) -> None:
        """Note of trials that they were left where they were."""
        for trial in trials:
            if trial.status == "running":
                self.trial(trial.stage, trial.number, trial.seed).run.note(status="interrupted")

    def clear_state(self) -> None:
        """Remove what only an unfinished search needs: states and weights of the trials."""
        for stage in STAGES:
            for path in (self.path / stage).glob("*"):
                RunFolder(path).clear_state()
        for name in ("ray", "stop", "over", "driver", "population.json"):
            target = self.path / name
            shutil.rmtree(target, ignore_errors=True) if target.is_dir() else target.unlink(missing_ok=True)

    def abandon(self, status: str) -> None:
        """Note why the search ended early; remove it when no trial was begun."""
        with suppress(OSError):
            if any((self.path / "search").glob("*")):
                self.note(status=status)
                return
            shutil.rmtree(self.path)
        remove_empty(self.path.parent, self.path.parent.parent)


def place(root: Path, name: str) -> Path:
    """Return where the searches of a name lie; no model has a name that begins with a dot."""
    return root / ".searches" / name
