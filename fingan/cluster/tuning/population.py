"""A population on disk: its members, and who went on from whose state after each look.

`population.json` in the search's folder holds what was decided; a member's folder tells how far it
came and which decisions it has taken in. A search that died between two copies takes them again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from fingan.cluster.tuning.ledger import SearchFolder, TrialFolder
from fingan.cluster.tuning.searchers import StatelessSearcher, note_death, order_of
from fingan.files import atomic_write_bytes
from fingan.search import Params, SearchSpace, Trial
from fingan.search.population import Move, moves
from fingan.search.record import ENDED
from fingan.search.study import Study
from fingan.training import list_checkpoints
from fingan.types import Json


@dataclass(frozen=True)
class Population:
    """The members of a search that go on from each other's states.

    Attributes:
        folder: of the search.
        space: what varies.
    """

    folder: SearchFolder
    space: SearchSpace

    def begin(self, study: Study, first: Sequence[Params]) -> None:
        """Choose the members' first values, unless an earlier driver has: the base, `first`, then draws."""
        if self._path.exists():
            return
        given = [self.space.base_params(), *(params for params in first if self.space.covers(params))]
        members: list[Params] = []
        for number in range(self.space.base.tune.trials):
            if number < len(given):
                study.take(number, given[number])
            members.append(given[number] if number < len(given) else study.ask(number))
        self._write({"members": members, "moves": {}})

    def pending(self, share: float) -> list[tuple[int, Params]]:
        """Return number and values of the members that have neither ended nor come so far."""
        found = []
        for number, params in enumerate(self._read()["members"]):
            folder = self._member(number)
            known = folder.run.read()
            if known.get("status") not in ENDED and known.get("until", 0.0) < share:
                found.append((number, known.get("params", params)))
        return found

    def move(self, look: int) -> None:
        """Decide after a look who goes on from whose state, and let them."""
        known = self._read()
        decided = known["moves"].get(str(look))
        if decided is None:
            paused = [t for t in self.folder.trials("search") if t.status == "paused"]
            found = moves(paused, self.space, self.space.base.seed, look)
            decided = [[move.member, move.donor, move.params] for move in found]
            self._write({**known, "moves": {**known["moves"], str(look): decided}})
        for member, donor, params in decided:
            self._take(Move(member, donor, params), look)

    def _take(self, move: Move, look: int) -> None:
        """Give a member the donor's state and its new values. Noted last: a torn copy is taken again."""
        member, donor = self._member(move.member), self._member(move.donor)
        saved = list_checkpoints(donor.run.checkpoints)
        if member.run.read().get("moved", 0) >= look or not saved:
            return
        shutil.rmtree(member.run.checkpoints, ignore_errors=True)
        shutil.copytree(saved[-1], member.run.checkpoints / saved[-1].name)
        member.set_looks(donor.looks())
        member.run.note(params=move.params, moved=look, donor=move.donor)

    def _member(self, number: int) -> TrialFolder:
        return self.folder.trial("search", number, 0)

    @property
    def _path(self) -> Path:
        return self.folder.path / "population.json"

    def _read(self) -> Json:
        values: Json = json.loads(self._path.read_text(encoding="utf-8"))
        return values

    def _write(self, values: Json) -> None:
        atomic_write_bytes(self._path, json.dumps(values, indent=1).encode())


class MembersSearcher(StatelessSearcher):
    """Hands out members, each once.

    Args:
        folder: of the search.
        members: number and values.
    """

    def __init__(self, folder: SearchFolder, members: Iterable[tuple[int, Params]]) -> None:
        super().__init__()
        self._folder, self._waiting = folder, list(members)
        self._given: dict[str, Trial] = {}

    def suggest(self, trial_id: str) -> Any:
        """Return the next member's configuration, or that there is none."""
        if not self._waiting or self._folder.halts("search"):
            return Searcher.FINISHED
        number, params = self._waiting.pop(0)
        self._given[trial_id] = Trial(number, params)
        return order_of(number, 0, "search", params)

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """Note a member whose process died again and again as failed."""
        trial = self._given[trial_id]
        folder = self._folder.trial("search", trial.number, 0)
        if error and (folder.read() or trial).status not in ENDED:
            note_death(folder, folder.read() or trial)
