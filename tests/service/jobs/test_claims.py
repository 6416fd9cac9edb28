"""Several fronts that look at the same moment: one takes a job up, and nobody spoils the work of another."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from fingan.cluster.bulk import JobWriter
from fingan.cluster.bulk.partitions import PartFolder
from fingan.config import LimitsConfig, ServiceConfig
from fingan.data.location import Location
from fingan.errors import ConfigError
from fingan.registry import Registry
from fingan.service import folder, work
from fingan.service.folder import Folder
from fingan.service.jobs import ALIVE_SECONDS, JobBook
from serve import app
from tests.service.jobs.bucket import Bucket
from tests.service.jobs.desk import PATIENCE, WANTED, Desk, Writer, cancel, crashed, idle, status, until

ROUNDS, FRONTS = 30, 3
LIMITS = LimitsConfig(jobs=1, jobs_waiting=1000)
ENTRY = {"caller": "anna", "created": "2023-11-14T22:13:20+00:00", "wanted": WANTED}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> str:
    """Let places in buckets be in memory; return one."""
    store = pafs.PyFileSystem(pafs.FSSpecHandler(Bucket(skip_instance_cache=True)))
    place = f"bucket-{uuid.uuid4().hex}/jobs"
    monkeypatch.setattr(folder, "locate", lambda place: Location(store, place.removeprefix("s3://"), place))
    return f"s3://{place}"


def left(place: str, number: int) -> str:
    """Leave a job as a front does that ended; return its name."""
    job, files = f"20231114-{number:016x}", Folder(place)
    files.write(json.dumps({"status": "queued", "seen": 0.0}).encode(), job, "_status.json")
    files.write(json.dumps({"id": job, **ENTRY}).encode(), job, "_job.json")
    return job


def at_once(calls: list[Callable[[], int]]) -> list[int]:
    """Call all of them at the same moment; return what they gave."""
    gate = threading.Barrier(len(calls))

    def call(one: Callable[[], int]) -> int:
        gate.wait(PATIENCE)
        return one()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [found.result() for found in [pool.submit(call, one) for one in calls]]


def race(place: str) -> None:
    """Let fronts look at the same moment, again and again: every job has one taker, in the end."""
    taken: list[str] = []

    def writer(wanted: object, place: str, on_progress: object, should_stop: object) -> bool:
        taken.append(place)
        return True

    for number in range(ROUNDS):
        job, before = left(place, number), len(taken)
        books = [JobBook(place, writer, LIMITS) for _ in range(FRONTS)]
        try:
            counts = at_once([book.take_up for book in books])
            # In an object store all may have stepped back from each other; then they look once more.
            again = 0 if sum(counts) else books[0].take_up()
            assert sum(counts) + again == 1, f"round {number}: {counts}"
            until(books[0], job, "done")
        finally:
            for book in books:
                book.close()
        assert len(taken) == before + 1


def test_one_of_many_fronts_on_a_file_system(tmp_path: Path) -> None:
    race(str(tmp_path / "jobs"))


def test_one_of_many_fronts_on_an_object_store(bucket: str) -> None:
    race(bucket)


def test_a_claim_whose_front_died_before_it_began_is_passed_over_once_it_is_old(desk: Desk) -> None:
    job = crashed(desk)
    desk.clock.now = time.time()
    desk.file(job, "_turn-1").touch()
    book = desk.book()
    assert book.take_up() == 0
    old = desk.clock.now - ALIVE_SECONDS - 1.0
    os.utime(desk.file(job, "_turn-1"), (old, old))
    assert book.take_up() == 1
    until(book, job, "done")
    assert desk.file(job, "_turn-2").exists()


def test_a_claim_is_of_no_use_once_the_job_went_on_meanwhile(desk: Desk) -> None:
    job = crashed(desk)
    read = work.read_status(Folder(str(desk.folder)), job)
    work.write_status(Folder(str(desk.folder)), job, desk.clock() + 1, status="running", turn=3)
    assert work.claim_turn(Folder(str(desk.folder)), job, read, desk.clock()) is None


def test_a_front_that_was_silent_for_long_leaves_its_job_to_the_one_that_took_it_up(desk: Desk) -> None:
    silent, other = Writer(), Writer()
    silent.open.clear()
    other.open.clear()
    first, second = desk.book(silent), desk.book(other)
    work.write_status(
        Folder(str(desk.folder)), job := left(str(desk.folder), 1), 0.0, status="queued", seen=0
    )
    assert first.take_up() == 1
    assert silent.begun.acquire(timeout=PATIENCE)
    desk.clock.now += ALIVE_SECONDS
    assert second.take_up() == 1
    assert other.begun.acquire(timeout=PATIENCE)
    silent.error = RuntimeError("a failure that is of no account")
    silent.open.set()
    deadline = time.monotonic() + PATIENCE
    while first._own:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    assert until(second, job, "running")["problem"] is None
    other.open.set()
    assert until(second, job, "done")["rows_done"] == 300


def test_a_job_whose_version_was_replaced_before_it_began_makes_no_rows(
    registry: Path, tmp_path: Path
) -> None:
    """A number may be used again once a model was removed; the rows would be those of another model."""
    wanted = {"model": "tiny:1", "rows": 300, "seed": 7, "offset": 0, "where": None, "columns": None}
    wanted |= {"candidates": None, "partition_rows": 100, "digest": "0" * 64}
    writer = JobWriter(str(registry), workers=0)
    with pytest.raises(ConfigError, match=r"digest: tiny:1 was replaced.*0{12}…; ask for the rows anew"):
        writer(wanted, str(tmp_path / "rows"), lambda *counts: None, lambda: False)
    assert not (tmp_path / "rows").exists()
    wanted["digest"] = Registry(registry).verify("tiny:1").digest
    assert writer(wanted, str(tmp_path / "rows"), lambda *counts: None, lambda: False)


def test_a_front_on_a_cluster_makes_so_many_parts_at_a_time_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Callable[[], object]] = []
    monkeypatch.setattr(app, "application", lambda config, jobs: made.append(jobs))
    monkeypatch.setattr(app.JobBook, "of", lambda config, writer: writer)
    app.build(ServiceConfig())
    app.build(ServiceConfig.model_validate({"limits.job_parts": 9}))
    assert [one().workers for one in made] == [4, 9]  # type: ignore[attr-defined]


def test_a_folder_that_another_holds_leaves_the_job_to_be_taken_up(registry: Path, tmp_path: Path) -> None:
    """The real writer, and the real lock on the folder of its rows."""
    place = tmp_path / "jobs"
    wanted = {"model": "tiny:1", "rows": 300, "seed": 7, "offset": 0, "where": None, "columns": None}
    wanted |= {"candidates": None, "partition_rows": 100}
    book = JobBook(str(place), JobWriter(str(registry), workers=0), LIMITS)
    try:
        job = left(str(place), 1)
        (place / job / "_job.json").write_text(json.dumps({"id": job, **ENTRY, "wanted": wanted}))
        with PartFolder(place / job / "rows").folder.held():
            assert book.take_up() == 1
            idle(book)
            found = status(book, job)
            assert found is not None
            assert (found["status"], found["problem"]) == ("queued", None)
        assert book.take_up() == 1
        assert until(book, job, "done")["rows_done"] == 300
    finally:
        cancel(book, job)
        book.close()
