"""Jobs: large samples that are written to files, started and watched over HTTP.

A job is a folder below one place that the operator chose:

    <id>/_job.json       what was asked for, by whom; written once
    <id>/_status.json    how far it is; rewritten whole
    <id>/_turn-<n>       a front has taken it up, the n-th that did (`fingan.service.work`)
    <id>/_cancel         somebody asked it to end
    <id>/rows/           the rows as Parquet parts, then `_manifest.json` (`fingan.cluster.bulk`)

What runs a job is given from outside. It continues a folder where it stopped, so a front takes up
the jobs that another one left; fronts that share the place see each other's jobs, and a job
belongs to the front that took it up last, for as long as it gives signs of life. A status that
cannot be read counts as none: its job is taken up again, and finds what it has written.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Protocol

import pyarrow as pa

from fingan.config import LimitsConfig, ServiceConfig
from fingan.data.location import redact
from fingan.errors import ConditionError, FinganError, InUse
from fingan.service.folder import Folder, below
from fingan.service.problems import Refused
from fingan.service.requests import JOB
from fingan.service.work import (
    ALIVE_SECONDS,
    BEAT_SECONDS,
    COUNTS,
    ENDED,
    Work,
    claim_turn,
    dumped,
    is_alive,
    read_status,
    write_status,
)
from fingan.types import Json

_ID = re.compile(JOB)
_JOB, _CANCEL = "_job.json", "_cancel"
_MOST_LISTED, _MOST_READ = 1000, 10_000
log = logging.getLogger(__name__)


class Writer(Protocol):
    """Writes the rows of a job into a folder, continuing what is there."""

    def __call__(
        self,
        wanted: Mapping[str, Any],
        place: str,
        on_progress: Callable[[int, int, int], None],
        should_stop: Callable[[], bool],
    ) -> bool:
        """Write all parts; return whether it came to the end.

        Args:
            wanted: `model`, `rows`, `seed`, `offset`, `where`, `columns`, `candidates`, `partition_rows`,
                and the `digest` that the version had when the job was asked for.
            place: folder or URL.
            on_progress: is told rows done, parts done and parts.
            should_stop: asked between parts.
        """


class JobBook:
    """The jobs of a service.

    Args:
        place: folder or URL below which they write.
        writer: writes the rows.
        limits: jobs at work and waiting, and how old a job is that a listing still has.
        clock: seconds since 1970.
    """

    def __init__(
        self, place: str, writer: Writer, limits: LimitsConfig, clock: Callable[[], float] = time.time
    ) -> None:
        self._place, self._writer, self._clock = place, writer, clock
        self._folder = Folder(place)
        self._pool = ThreadPoolExecutor(limits.jobs, thread_name_prefix="job")
        self._most = limits.jobs + limits.jobs_waiting
        self._listed_seconds = limits.jobs_listed
        # Who began which: written once, so that a listing reads the jobs of others only once.
        self._callers: dict[str, str] = {}
        self._own: dict[str, Work] = {}
        self._lock = threading.Lock()
        self._ended: set[str] = set()
        self._closing, self._is_beating = threading.Event(), False
        self._threads: list[threading.Thread] = []

    @classmethod
    def of(cls, config: ServiceConfig, writer: Writer) -> JobBook:
        """Return the jobs of a service, which takes up those that others leave, now and every minute.

        Args:
            config: of the service.
            writer: writes the rows.
        """
        book = cls(config.jobs_place or below(config.registry, ".samples"), writer, config.limits)
        book._begin(book._watch)
        return book

    async def start(self, wanted: Mapping[str, Any], caller: str) -> Json:
        """See `Jobs.start`."""
        return await asyncio.to_thread(self._start, wanted, caller)

    async def status(self, job: str, caller: str | None) -> Json | None:
        """See `Jobs.status`."""
        return await asyncio.to_thread(self._status, job, caller)

    async def listing(self, caller: str | None) -> list[Json]:
        """See `Jobs.listing`; the newest thousand, of the newest ten thousand of all callers."""
        return await asyncio.to_thread(self._listing, caller)

    async def cancel(self, job: str, caller: str | None) -> Json | None:
        """See `Jobs.cancel`; one that has not begun has ended at once."""
        return await asyncio.to_thread(self._cancel, job, caller)

    def take_up(self) -> int:
        """Go on with the jobs that nobody works at any more; return how many."""
        taken = 0
        for job in reversed(self._names()):
            entry = None if job in self._ended else self._entry(job)
            if entry is None:
                continue
            status = read_status(self._folder, job)
            if status.get("status") in ENDED:
                self._ended.add(job)
                continue
            with self._lock:
                if self._closing.is_set() or job in self._own or is_alive(status, self._clock()):
                    continue
                turn = claim_turn(self._folder, job, status, self._clock())
                if turn is None:
                    continue
                work = Work(self._folder, job, self._clock, turn)
                work.write(status="queued")
                self._submit(job, work, entry["wanted"])
                taken += 1
        return taken

    def close(self) -> None:
        """Stop the jobs at work after their current parts; a later service goes on with them at once."""
        with self._lock:
            self._closing.set()
            for work in self._own.values():
                work.stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        for work in self._own.values():
            work.release()
        for thread in self._threads:
            thread.join()

    def _start(self, wanted: Mapping[str, Any], caller: str) -> Json:
        with self._lock:
            if self._closing.is_set():
                raise Refused(503, "stopping", "the service is about to stop; start the job again", 10)
            if len(self._own) >= self._most:
                raise Refused(429, "too_many_jobs", f"{len(self._own)} jobs wait; start yours later", 60)
            now = datetime.fromtimestamp(self._clock(), UTC)
            # Names in the order of time, so that the newest are found without reading all.
            milliseconds = int(now.timestamp() * 1000) % 86_400_000
            job = f"{now:%Y%m%d}-{milliseconds:08x}{secrets.token_hex(4)}"
            entry: Json = {"id": job, "caller": caller, "created": now.isoformat(), "wanted": dict(wanted)}
            try:
                queued: Json = {"status": "queued", **dict.fromkeys(COUNTS, 0)}
                write_status(self._folder, job, self._clock(), **queued)
                work = Work(self._folder, job, self._clock)
                # Last: from now on there is such a job, whatever becomes of this process.
                self._folder.write(dumped(entry), job, _JOB)
            except (OSError, pa.ArrowException) as error:
                log.error("a job cannot be written down", exc_info=error)
                raise Refused(503, "no_place", "no job can be written down; ask later", 60) from error
            self._submit(job, work, entry["wanted"])
        # Not read back: a job whose status cannot be read now runs all the same.
        return self._told(job, entry, queued)

    def _submit(self, job: str, work: Work, wanted: Json) -> None:
        self._own[job] = work
        work.future = self._pool.submit(self._work, job, work, wanted)
        if not self._is_beating:
            self._is_beating = True
            self._begin(self._beat)

    def _begin(self, task: Callable[[], None]) -> None:
        self._threads.append(threading.Thread(target=task, name="jobs", daemon=True))
        self._threads[-1].start()

    def _watch(self) -> None:
        """Take up what others leave; a front that is killed shows so by its silence only."""
        while True:
            try:
                self.take_up()
            except (OSError, pa.ArrowException, FinganError) as error:
                log.error("the jobs that were left cannot be read", exc_info=error)
            if self._closing.wait(ALIVE_SECONDS):
                return

    def _beat(self) -> None:
        """Give signs of life for all jobs of this book, also of those that wait."""
        while not self._closing.wait(BEAT_SECONDS):
            with self._lock:
                own = list(self._own.values())
            for work in own:
                work.beat()

    def _work(self, job: str, work: Work, wanted: Json) -> None:
        try:
            if self._is_cancelled(job):
                work.write(status="cancelled")
                return
            work.write(status="running")
            whole = self._writer(
                wanted,
                below(below(self._place, job), "rows"),
                work.progress,
                lambda: work.stop.is_set() or self._is_cancelled(job),
            )
            if whole:
                work.write(status="done")
            elif self._is_cancelled(job):
                work.write(status="cancelled")
            else:
                work.release()
        except InUse as error:
            # Whoever holds the folder goes on with it; if he does not, the job is taken up again.
            log.warning("job %s is left: %s", job, error)
            work.release()
        except FinganError as error:
            log.error("job %s failed", job, exc_info=error)
            # These texts are made for callers; others may name places of the server.
            is_for_callers = isinstance(error, Refused | ConditionError)
            told = str(error) if is_for_callers else f"{type(error).__name__}; see the service's log"
            work.write(status="failed", problem=told)
        except Exception as error:
            log.exception("job %s failed", job)
            work.write(status="failed", problem=f"{type(error).__name__}; see the service's log")
        finally:
            with self._lock:
                self._own.pop(job, None)

    def _is_cancelled(self, job: str) -> bool:
        try:
            return self._folder.read(job, _CANCEL) is not None
        except (OSError, pa.ArrowException) as error:
            # Hours of work are not given up for a question that can be asked again.
            log.warning("cannot see whether job %s is cancelled", job, exc_info=error)
            return False

    def _entry(self, job: str) -> Json | None:
        """Return what was asked for, by whom; None where there is no such job."""
        entry = self._folder.read_object(job, _JOB) or {}
        wanted = entry.get("wanted")
        sound = isinstance(wanted, dict) and {"model", "rows"} <= wanted.keys()
        if not sound or not {"caller", "created"} <= entry.keys():
            return None
        if len(self._callers) >= 2 * _MOST_READ:
            self._callers.clear()
        self._callers[job] = entry["caller"]
        return entry

    def _status(self, job: str, caller: str | None) -> Json | None:
        entry = self._entry(job) if _ID.fullmatch(job) else None
        if entry is None or (caller is not None and entry["caller"] != caller):
            return None
        return self._told(job, entry, read_status(self._folder, job))

    def _told(self, job: str, entry: Json, status: Json) -> Json:
        """Return what a caller is told of a job."""
        return {
            "id": job,
            "model": entry["wanted"]["model"],
            "status": status.get("status", "queued"),
            "rows": entry["wanted"]["rows"],
            **{name: status.get(name, 0) for name in COUNTS},
            # The caller cannot reach a folder of this machine, and need not know where it lies.
            "place": job if self._folder.is_local else redact(below(self._place, job)),
            "created": entry["created"],
            "finished": status.get("finished"),
            "problem": status.get("problem"),
        }

    def _names(self) -> list[str]:
        """Return the jobs, the newest first."""
        return sorted((name for name in self._folder.folders() if _ID.fullmatch(name)), reverse=True)

    def _listing(self, caller: str | None) -> list[Json]:
        oldest = datetime.fromtimestamp(max(0.0, self._clock() - self._listed_seconds), UTC)
        recent = (job for job in self._names() if job >= f"{oldest:%Y%m%d}")
        own = (job for job in islice(recent, _MOST_READ) if caller in (None, self._callers.get(job, caller)))
        found = (self._status(job, caller) for job in own)
        newest = islice((status for status in found if status is not None), _MOST_LISTED)
        return sorted(newest, key=lambda status: str(status["created"]), reverse=True)

    def _cancel(self, job: str, caller: str | None) -> Json | None:
        status = self._status(job, caller)
        if status is None or status["status"] in ENDED:
            return status
        self._folder.write(b"", job, _CANCEL)
        with self._lock:
            work = self._own.get(job)
            begun = work is not None and work.future is not None and not work.future.cancel()
            if work is not None and not begun:
                del self._own[job]
        if work is not None and begun:
            work.stop.set()
        elif work is not None or not is_alive(read_status(self._folder, job), self._clock()):
            # Nobody works at it who would write that it has ended.
            (work or Work(self._folder, job, self._clock)).write(status="cancelled")
        return self._status(job, caller)
