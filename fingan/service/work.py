"""The status of a job at work: written as it goes on, and left alone once another front has taken it up.

Every taking up has a number, its turn. A front claims a turn before it begins, so that of several
which find a job left only one goes on with it; and a front that was silent for so long that
another took its job up notices the later turn, and stops.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pyarrow as pa

from fingan.service.folder import Folder
from fingan.types import Json

ALIVE_SECONDS = 60.0
"""A job that a front works at, or will, gives a sign of life more often than that."""

BEAT_SECONDS = ALIVE_SECONDS / 4

ENDED = ("done", "failed", "cancelled")
COUNTS = ("rows_done", "parts_done", "parts")
_STATUS, _TURN = "_status.json", "_turn-"
_WRITE_SECONDS = 2.0
log = logging.getLogger(__name__)


def read_status(folder: Folder, job: str) -> Json:
    """Return a job's status as it was last written; empty where it cannot be read."""
    return folder.read_object(job, _STATUS) or {}


def write_status(folder: Folder, job: str, now: float, **facts: Any) -> None:
    """Write a job's status; `seen` is its sign of life, now unless given."""
    facts.setdefault("seen", now)
    if facts.get("status") in ENDED:
        facts["finished"] = datetime.fromtimestamp(now, UTC).isoformat()
    folder.write(dumped(facts), job, _STATUS)


def is_alive(status: Json, now: float) -> bool:
    """Tell whether the front that works at a job gave a sign of life lately."""
    seen = status.get("seen")
    return isinstance(seen, int | float) and now - seen < ALIVE_SECONDS


def claim_turn(folder: Folder, job: str, status: Json, now: float) -> int | None:
    """Claim the turn after that of a status; None where another front has it.

    A claim outlives the front that made it. One that is old, while the status still has an earlier
    turn, was left by a front that died before it began: the turn after it is free.
    """
    for number in count(_turn(status) + 1):
        name = f"{_TURN}{number}"
        claims = [at for claim, at in folder.times(job).items() if claim.split("~")[0] == name]
        if not claims:
            # The status is looked at once more: the claims of a job that went on meanwhile may be old too.
            won = folder.claim(job, name) and read_status(folder, job) == status
            return number if won else None
        if now - max(claims) < ALIVE_SECONDS:
            return None
    return None


class Work:
    """A job that a book works at, or will: its status as last written, and the order to stop.

    Args:
        folder: of the jobs.
        job: which.
        clock: seconds since 1970.
        turn: that was claimed; None for the one of its status.
    """

    def __init__(self, folder: Folder, job: str, clock: Callable[[], float], turn: int | None = None) -> None:
        self.stop = threading.Event()
        self.future: Future[None] | None = None
        self._folder, self._job, self._clock, self._at = folder, job, clock, float("-inf")
        found = read_status(folder, job)
        self._facts: Json = {"status": "queued", **{name: found.get(name, 0) for name in COUNTS}}
        self._facts["turn"] = _turn(found) if turn is None else turn
        self._lock, self._over = threading.Lock(), False

    def progress(self, rows_done: int, parts_done: int, parts: int) -> None:
        """Note how far it is; write it, not more often than needed."""
        with self._lock:
            self._facts |= {"rows_done": rows_done, "parts_done": parts_done, "parts": parts}
            if time.monotonic() - self._at >= _WRITE_SECONDS:
                self._write()

    def beat(self) -> None:
        """Give a sign of life, unless it did lately."""
        with self._lock:
            if not self._over and time.monotonic() - self._at >= BEAT_SECONDS:
                self._write()

    def write(self, **facts: Any) -> None:
        """Write a new status now."""
        with self._lock:
            self._facts |= facts
            self._over = self._facts["status"] in ENDED
            self._write()

    def release(self) -> None:
        """Leave it to whoever comes first."""
        with self._lock:
            self._facts["status"] = "queued"
            self._over = True
            self._write(seen=0.0)

    def _write(self, **facts: Any) -> None:
        self._at = time.monotonic()
        try:
            if _turn(read_status(self._folder, self._job)) > self._facts["turn"]:
                log.warning("job %s was taken up by another front; this one leaves it", self._job)
                self._over = True
                self.stop.set()
                return
            write_status(self._folder, self._job, self._clock(), **self._facts, **facts)
        except (OSError, pa.ArrowException) as error:
            log.error("the status of job %s cannot be written", self._job, exc_info=error)


def dumped(values: Json) -> bytes:
    """Return an object as JSON."""
    return json.dumps(values, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _turn(status: Json) -> int:
    turn = status.get("turn")
    return turn if isinstance(turn, int) else 0
