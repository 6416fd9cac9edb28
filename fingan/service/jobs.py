"""Jobs: large samples that are written to files, started and watched over HTTP.

A job is a folder below one place that the operator chose:

    <id>/_job.json       what was asked for, by whom; written once
    <id>/_status.json    how far it is; rewritten whole
    <id>/_cancel         somebody asked it to end
    <id>/part-….parquet  the rows (see `fingan.cluster`), then `_manifest.json`

What runs a job is given from outside. It continues a folder where it stopped, so a front that
starts takes up the jobs that an earlier one left; fronts that share the place see each other's
jobs, and a job belongs to the front that last gave a sign of life.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.fs as pafs

from fingan.config import LimitsConfig
from fingan.data.location import locate
from fingan.errors import FinganError
from fingan.files import atomic_write_bytes
from fingan.service.problems import Refused
from fingan.service.requests import JOB
from fingan.types import Json

ALIVE_SECONDS = 60.0
"""A job at work gives a sign of life more often than that."""

_ID = re.compile(JOB)
_ENDED = ("done", "failed", "cancelled")
_JOB, _STATUS, _CANCEL = "_job.json", "_status.json", "_cancel"
_WRITE_SECONDS = 2.0
_MOST_LISTED = 1000
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
            wanted: `model`, `rows`, `seed`, `offset`, `where`, `columns`, `candidates`, `partition_rows`.
            place: folder or URL.
            on_progress: is told rows done, parts done and parts.
            should_stop: asked between parts.
        """


class Folder:
    """Small files in a folder of any file system; each is written whole or not at all."""

    def __init__(self, place: str) -> None:
        self._location = locate(place)

    def read(self, *names: str) -> bytes | None:
        """Return a file's content; None where there is none."""
        try:
            with self._location.filesystem.open_input_stream(self._path(*names), compression=None) as file:
                content: bytes = file.read()
                return content
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, data: bytes, *names: str) -> None:
        """Write a file."""
        path = self._path(*names)
        if self._location.is_local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(Path(path), data)
            return
        # Object stores show a file when it is closed.
        with self._location.filesystem.open_output_stream(path, compression=None) as file:
            file.write(data)

    def folders(self) -> list[str]:
        """Return the names of the folders here."""
        selector = pafs.FileSelector(self._location.path, allow_not_found=True)
        found = self._location.filesystem.get_file_info(selector)
        return [info.base_name for info in found if info.type == pafs.FileType.Directory]

    def _path(self, *names: str) -> str:
        return "/".join((self._location.path.rstrip("/"), *names))


class JobBook:
    """The jobs of a service.

    Args:
        place: folder or URL below which they write.
        writer: writes the rows.
        limits: jobs at work and waiting.
        clock: seconds since 1970.
    """

    def __init__(
        self, place: str, writer: Writer, limits: LimitsConfig, clock: Callable[[], float] = time.time
    ) -> None:
        self._place, self._writer, self._clock = place.rstrip("/"), writer, clock
        self._folder = Folder(place)
        self._pool = ThreadPoolExecutor(limits.jobs, thread_name_prefix="job")
        self._most = limits.jobs + limits.jobs_waiting
        self._own: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    async def start(self, wanted: Mapping[str, Any], caller: str) -> Json:
        """See `Jobs.start`."""
        return await asyncio.to_thread(self._start, wanted, caller)

    async def status(self, job: str, caller: str | None) -> Json | None:
        """See `Jobs.status`."""
        return await asyncio.to_thread(self._status, job, caller)

    async def listing(self, caller: str | None) -> list[Json]:
        """See `Jobs.listing`."""
        return await asyncio.to_thread(self._listing, caller)

    async def cancel(self, job: str, caller: str | None) -> Json | None:
        """See `Jobs.cancel`."""
        return await asyncio.to_thread(self._cancel, job, caller)

    def take_up(self) -> int:
        """Go on with the jobs that nobody works at any more; return how many."""
        left = [status for status in self._listing(None) if status["status"] in ("queued", "running")]
        taken = 0
        for status in left:
            with self._lock:
                if status["id"] in self._own or self._clock() - self._seen(status["id"]) < ALIVE_SECONDS:
                    continue
                self._submit(status["id"])
                taken += 1
        return taken

    def close(self) -> None:
        """Stop the jobs at work after their current parts; a later service goes on with them."""
        with self._lock:
            for event in self._own.values():
                event.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, wanted: Mapping[str, Any], caller: str) -> Json:
        with self._lock:
            if len(self._own) >= self._most:
                raise Refused(429, "too_many_jobs", f"{len(self._own)} jobs wait; start yours later", 60)
            now = datetime.fromtimestamp(self._clock(), UTC)
            job = f"{now:%Y%m%d}-{secrets.token_hex(8)}"
            entry = {"id": job, "caller": caller, "created": now.isoformat(), "wanted": dict(wanted)}
            self._folder.write(_dumped(entry), job, _JOB)
            self._write_status(job, status="queued", rows_done=0, parts_done=0, parts=0)
            self._submit(job)
        found = self._status(job, caller)
        if found is None:
            raise Refused(503, "job_lost", "the job's folder cannot be read; start it again", 10)
        return found

    def _submit(self, job: str) -> None:
        stop = self._own[job] = threading.Event()
        self._pool.submit(self._work, job, stop)

    def _work(self, job: str, stop: threading.Event) -> None:
        entry = _read(self._folder, job, _JOB) or {}
        progress = _Progress(self, job)
        try:
            progress.write(status="running")
            if self._cancelled(job):
                progress.write(status="cancelled")
                return
            whole = self._writer(
                entry["wanted"],
                f"{self._place}/{job}",
                progress,
                lambda: stop.is_set() or self._cancelled(job),
            )
            if whole:
                progress.write(status="done")
            elif self._cancelled(job):
                progress.write(status="cancelled")
            else:
                progress.write(status="queued")
        except FinganError as error:
            log.error("job %s failed", job, exc_info=error)
            # The texts of refusals are made for callers; others may name places of the server.
            told = (
                str(error) if isinstance(error, Refused) else f"{type(error).__name__}; see the service's log"
            )
            progress.write(status="failed", problem=told)
        except Exception as error:
            log.exception("job %s failed", job)
            progress.write(status="failed", problem=f"{type(error).__name__}; see the service's log")
        finally:
            with self._lock:
                self._own.pop(job, None)

    def _cancelled(self, job: str) -> bool:
        return self._folder.read(job, _CANCEL) is not None

    def _seen(self, job: str) -> float:
        return float((_read(self._folder, job, _STATUS) or {}).get("seen", 0.0))

    def _write_status(self, job: str, **facts: Any) -> None:
        facts["seen"] = self._clock()
        if facts.get("status") in _ENDED:
            facts["finished"] = datetime.fromtimestamp(self._clock(), UTC).isoformat()
        self._folder.write(_dumped(facts), job, _STATUS)

    def _status(self, job: str, caller: str | None) -> Json | None:
        if _ID.fullmatch(job) is None:
            return None
        entry = _read(self._folder, job, _JOB)
        if entry is None or (caller is not None and entry["caller"] != caller):
            return None
        status = _read(self._folder, job, _STATUS) or {}
        return {
            "id": job,
            "model": entry["wanted"]["model"],
            "status": status.get("status", "queued"),
            "rows": entry["wanted"]["rows"],
            "rows_done": status.get("rows_done", 0),
            "parts": status.get("parts", 0),
            "parts_done": status.get("parts_done", 0),
            "place": f"{self._place}/{job}" if "://" in self._place else job,
            "created": entry["created"],
            "finished": status.get("finished"),
            "problem": status.get("problem"),
        }

    def _listing(self, caller: str | None) -> list[Json]:
        names = sorted((name for name in self._folder.folders() if _ID.fullmatch(name)), reverse=True)
        found = (self._status(name, caller) for name in names[:_MOST_LISTED])
        known = [status for status in found if status is not None]
        return sorted(known, key=lambda status: str(status["created"]), reverse=True)

    def _cancel(self, job: str, caller: str | None) -> Json | None:
        status = self._status(job, caller)
        if status is None or status["status"] in _ENDED:
            return status
        self._folder.write(b"", job, _CANCEL)
        with self._lock:
            if job in self._own:
                self._own[job].set()
        return self._status(job, caller)


class _Progress:
    """Writes a job's status, not more often than needed."""

    def __init__(self, book: JobBook, job: str) -> None:
        self._book, self._job, self._written = book, job, float("-inf")
        found = _read(book._folder, job, _STATUS) or {}
        self._facts: Json = {name: found.get(name, 0) for name in ("rows_done", "parts_done", "parts")}

    def __call__(self, rows_done: int, parts_done: int, parts: int) -> None:
        self._facts |= {"rows_done": rows_done, "parts_done": parts_done, "parts": parts}
        if time.monotonic() - self._written >= _WRITE_SECONDS:
            self.write(status="running")

    def write(self, **facts: Any) -> None:
        """Write it now."""
        self._written = time.monotonic()
        try:
            self._book._write_status(self._job, **self._facts, **facts)
        except (OSError, pa.ArrowException) as error:
            log.error("the status of job %s cannot be written", self._job, exc_info=error)


def _read(folder: Folder, *names: str) -> Json | None:
    content = folder.read(*names)
    if content is None:
        return None
    found: Json = json.loads(content)
    return found


def _dumped(values: Json) -> bytes:
    return json.dumps(values, ensure_ascii=False).encode()
