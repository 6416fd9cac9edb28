"""A place for jobs, the fronts that share it, and a writer that tests stop and break."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from fingan.config import LimitsConfig
from fingan.service.jobs import JobBook
from fingan.types import Json

NOW = 1_700_000_000.0
WANTED = {"model": "tiny:1", "rows": 300, "seed": 7, "where": {"city": "Köln \ud800"}, "partition_rows": 100}
PATIENCE = 5.0


class Clock:
    """Seconds since 1970 that pass when a test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class Killed(BaseException):
    """The process is gone: nothing more is written."""


class Writer:
    """Writes three parts, one file each, and goes on where a folder ends.

    Attributes:
        open: parts are written while it is set.
        error: is raised after the first part, while there is one.
        calls: folders it was called with.
    """

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.begun = threading.Semaphore(0)
        self.error: BaseException | None = None
        self.calls: list[str] = []
        self.wanted: list[Mapping[str, Any]] = []

    def __call__(
        self,
        wanted: Mapping[str, Any],
        place: str,
        on_progress: Callable[[int, int, int], None],
        should_stop: Callable[[], bool],
    ) -> bool:
        self.calls.append(place)
        self.wanted.append(wanted)
        folder = Path(place.removeprefix("file://"))
        folder.mkdir(exist_ok=True)
        for number in range(3):
            if number == 1:
                self.begun.release()
                assert self.open.wait(PATIENCE)
            if should_stop():
                return False
            (folder / f"part-{number}").write_text("rows")
            on_progress(100 * (number + 1), number + 1, 3)
            if self.error is not None:
                raise self.error
        return True


class Desk:
    """A place for jobs, the fronts that share it, and the tests' view of both."""

    def __init__(self, folder: Path, url: bool) -> None:
        self.folder, self.clock, self.writer = folder / "jobs", Clock(), Writer()
        self._place = self.folder.as_uri() if url else str(self.folder)
        self._books: list[JobBook] = []

    def book(self, writer: Writer | None = None, **limits: int) -> JobBook:
        wanted = LimitsConfig(**{"jobs": 1, "jobs_waiting": 3, **limits})
        self._books.append(JobBook(self._place, writer or self.writer, wanted, self.clock))
        return self._books[-1]

    def close(self) -> None:
        self.writer.open.set()
        for book in self._books:
            book.close()

    def file(self, job: str, name: str = "_status.json") -> Path:
        return self.folder / job / name


BOTH = pytest.mark.parametrize("desk", ["folder", "url"], indirect=True)


def start(book: JobBook, caller: str = "anna", **wanted: Any) -> str:
    return str(asyncio.run(book.start({**WANTED, **wanted}, caller))["id"])


def status(book: JobBook, job: str, caller: str | None = "anna") -> Json | None:
    return asyncio.run(book.status(job, caller))


def cancel(book: JobBook, job: str, caller: str | None = "anna") -> Json | None:
    return asyncio.run(book.cancel(job, caller))


def listed(book: JobBook, caller: str | None = "anna") -> list[str]:
    return [entry["id"] for entry in asyncio.run(book.listing(caller))]


def until(book: JobBook, job: str, *wanted: str) -> Json:
    """Return a job's status once it is one of these."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = status(book, job, None)
        if found is not None and found["status"] in wanted:
            return found
        assert time.monotonic() < deadline, f"{job} is {found}"
        time.sleep(0.002)


def idle(book: JobBook) -> None:
    """Wait until a front works at nothing."""
    deadline = time.monotonic() + PATIENCE
    while book._own:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def crashed(desk: Desk, **wanted: Any) -> str:
    """Leave a job as a front leaves it that is killed in the midst of it."""
    writer = Writer()
    writer.error = Killed()
    book = desk.book(writer)
    job = start(book, **wanted)
    idle(book)
    found = status(book, job)
    assert found is not None
    assert found["status"] == "running"
    return job
