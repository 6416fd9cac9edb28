"""Jobs: written down before they begin, ended as they are told, and seen by their caller only."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from fingan.config import LimitsConfig, ServiceConfig
from fingan.data.location import Location
from fingan.errors import ConditionError, DataError
from fingan.service import folder, jobs, work
from fingan.service.jobs import ALIVE_SECONDS, JobBook
from fingan.service.problems import Refused
from fingan.types import Json
from tests.service.jobs.bucket import Bucket
from tests.service.jobs.desk import (
    BOTH,
    PATIENCE,
    WANTED,
    Clock,
    Desk,
    Writer,
    cancel,
    crashed,
    listed,
    start,
    status,
    until,
)


@BOTH
def test_a_job_is_queued_runs_and_is_done(desk: Desk) -> None:
    desk.writer.open.clear()
    book = desk.book()
    begun = asyncio.run(book.start(WANTED, "anna"))
    assert {**begun, "id": "", "place": "", "status": ""} == {
        "id": "",
        "model": "tiny:1",
        "status": "",
        "rows": 300,
        "rows_done": 0,
        "parts": 0,
        "parts_done": 0,
        "place": "",
        "created": "2023-11-14T22:13:20+00:00",
        "finished": None,
        "problem": None,
    }
    job = begun["id"]
    until(book, job, "running")
    desk.clock.now += 5.0
    desk.writer.open.set()
    done = until(book, job, "done")
    assert (done["rows_done"], done["parts_done"], done["parts"]) == (300, 3, 3)
    assert (done["finished"], done["problem"]) == ("2023-11-14T22:13:25+00:00", None)
    assert desk.writer.wanted == [WANTED]
    assert sorted(path.name for path in (desk.folder / job).iterdir()) == [
        "_job.json",
        "_status.json",
        "rows",
    ]
    assert sorted(path.name for path in (desk.folder / job / "rows").iterdir()) == [
        "part-0",
        "part-1",
        "part-2",
    ]


@BOTH
def test_the_server_does_not_tell_where_its_folders_are(desk: Desk) -> None:
    book = desk.book()
    job = start(book)
    found = until(book, job, "done")
    assert found["place"] == job
    assert str(desk.folder) not in json.dumps(found)


def test_progress_is_told_while_it_runs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "_WRITE_SECONDS", 0.0)
    desk.writer.open.clear()
    book = desk.book()
    job = start(book)
    assert desk.writer.begun.acquire(timeout=PATIENCE)
    found = until(book, job, "running")
    assert (found["rows_done"], found["parts_done"], found["parts"]) == (100, 1, 3)


@BOTH
def test_other_callers_do_not_see_it(desk: Desk) -> None:
    book = desk.book()
    job = start(book, "anna")
    assert status(book, job, "bert") is None
    assert cancel(book, job, "bert") is None
    assert listed(book, "bert") == []
    assert listed(book, "anna") == listed(book, None) == [job]
    assert until(book, job, "done")["problem"] is None


NO_IDS = [
    "",
    ".",
    "..",
    "../x",
    "20240101-0123456789abcdef/../x",
    "20240101-0123456789ABCDEF",
    "20240101-0123456789abcdef\n",
    "20240101-0123456789abcdef ",
    "٢٠٢٤٠١٠١-0123456789abcdef",
    "20240101-0123456789abcdef0",
    "a\0b",
    "_job.json",
]


@BOTH
@pytest.mark.parametrize("job", NO_IDS)
def test_what_is_no_id_touches_no_file(desk: Desk, job: str) -> None:
    book = desk.book()
    outside = desk.folder.parent / "x"
    outside.mkdir()
    (outside / "_job.json").write_text(json.dumps({"caller": "anna", "created": "", "wanted": WANTED}))
    assert status(book, job, None) is None
    assert cancel(book, job, None) is None
    assert [path.name for path in outside.iterdir()] == ["_job.json"]
    assert not desk.folder.exists()


def test_an_id_that_there_is_not_is_none(desk: Desk) -> None:
    book = desk.book()
    assert status(book, "20240101-0123456789abcdef") is None
    assert cancel(book, "20240101-0123456789abcdef") is None
    assert listed(book) == []
    assert not desk.folder.exists()


@BOTH
def test_a_running_job_is_cancelled_after_its_part_and_keeps_it(desk: Desk) -> None:
    desk.writer.open.clear()
    book = desk.book()
    job = start(book)
    assert desk.writer.begun.acquire(timeout=PATIENCE)
    asked = cancel(book, job)
    assert asked is not None
    assert asked["status"] == "running"
    desk.writer.open.set()
    ended = until(book, job, "cancelled")
    assert (ended["rows_done"], ended["parts_done"]) == (100, 1)
    assert ended["finished"] is not None
    assert desk.file(job, "rows/part-0").exists()
    assert not desk.file(job, "rows/part-1").exists()


def test_a_job_that_has_not_begun_is_cancelled_at_once_and_makes_room(desk: Desk) -> None:
    desk.writer.open.clear()
    book = desk.book(jobs=1, jobs_waiting=1)
    first, second = start(book), start(book)
    assert desk.writer.begun.acquire(timeout=PATIENCE)
    ended = cancel(book, second)
    assert ended is not None
    assert (ended["status"], ended["rows_done"]) == ("cancelled", 0)
    third = start(book)
    desk.writer.open.set()
    for job in (first, third):
        until(book, job, "done")
    assert len(desk.writer.calls) == 2
    assert until(book, second, "cancelled")["finished"] is not None


def test_what_has_ended_stays_as_it_ended(desk: Desk) -> None:
    book = desk.book()
    job = start(book)
    before = until(book, job, "done")
    assert cancel(book, job) == before
    assert not desk.file(job, "_cancel").exists()


def test_another_front_can_cancel(desk: Desk) -> None:
    desk.writer.open.clear()
    book, other = desk.book(), desk.book()
    job = start(book)
    assert desk.writer.begun.acquire(timeout=PATIENCE)
    asked = cancel(other, job)
    assert asked is not None
    assert asked["status"] == "running"
    desk.writer.open.set()
    until(other, job, "cancelled")


def test_a_job_that_nobody_works_at_can_be_cancelled(desk: Desk) -> None:
    job = crashed(desk)
    desk.clock.now += ALIVE_SECONDS
    book = desk.book()
    ended = cancel(book, job)
    assert ended is not None
    assert ended["status"] == "cancelled"
    assert book.take_up() == 0


@pytest.mark.parametrize(
    "error",
    [DataError("cannot write '/srv/jobs/x'"), OSError(28, "No space left", "/srv/jobs"), KeyError("/srv")],
)
def test_a_failure_is_told_without_a_path(desk: Desk, error: Exception) -> None:
    book = desk.book()
    desk.writer.error = error
    failed = until(book, start(book), "failed")
    assert failed["problem"] == f"{type(error).__name__}; see the service's log"
    assert failed["finished"] is not None
    assert failed["rows_done"] == 100


def test_a_refusal_is_told_in_full(desk: Desk) -> None:
    book = desk.book()
    desk.writer.error = Refused(503, "model_broken", "version 1 is damaged")
    assert until(book, start(book), "failed")["problem"] == "version 1 is damaged"


def test_a_condition_that_no_row_meets_is_told_in_full(desk: Desk) -> None:
    book = desk.book()
    desk.writer.error = ConditionError("where: no row has city 'Bonn' and label 'bad'; give one of them")
    assert until(book, start(book), "failed")["problem"] == str(desk.writer.error)


def test_a_job_that_runs_is_told_whether_or_not_it_can_be_read_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = desk.book()
    read = book._folder.read_object

    def unreadable(*names: str) -> Json | None:
        if desk.file(names[0], "_job.json").exists():
            raise OSError("network")
        return read(*names)

    desk.writer.open.clear()
    with monkeypatch.context() as failing:
        failing.setattr(book._folder, "read_object", unreadable)
        begun = asyncio.run(book.start(WANTED, "anna"))
    desk.writer.open.set()
    assert (begun["status"], begun["rows"], begun["model"]) == ("queued", 300, "tiny:1")
    assert until(book, begun["id"], "done")["created"] == begun["created"]


def test_the_next_job_runs_after_one_that_failed(desk: Desk) -> None:
    book = desk.book(jobs_waiting=0)
    desk.writer.error = RuntimeError("x")
    until(book, start(book), "failed")
    desk.writer.error = None
    deadline = time.monotonic() + PATIENCE
    while book._own:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    until(book, start(book), "done")


def test_so_many_jobs_wait_and_no_more(desk: Desk) -> None:
    desk.writer.open.clear()
    book = desk.book(jobs=2, jobs_waiting=1)
    for _ in range(3):
        start(book)
    with pytest.raises(Refused) as caught:
        start(book)
    assert (caught.value.status, caught.value.code, caught.value.retry_after) == (429, "too_many_jobs", 60)
    assert len(listed(book)) == len(list(desk.folder.iterdir())) == 3
    for _ in range(2):
        assert desk.writer.begun.acquire(timeout=PATIENCE)
    assert not desk.writer.begun.acquire(blocking=False), "more run at a time than may"
    desk.writer.open.set()
    for job in listed(book):
        until(book, job, "done")


def test_jobs_lie_in_the_registry_unless_another_place_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[str] = []
    monkeypatch.setattr(jobs, "Folder", lambda place: places.append(place) or folder.Folder(str(tmp_path)))
    for config in (
        ServiceConfig(registry="models/"),
        ServiceConfig(registry="s3://bucket/models?region=eu-central-1"),
        ServiceConfig(registry="models", jobs_place="s3://bucket/jobs"),
    ):
        JobBook.of(config, Writer()).close()
    assert places == [
        "models/.samples",
        "s3://bucket/models/.samples?region=eu-central-1",
        "s3://bucket/jobs",
    ]


@BOTH
def test_no_place_to_write_is_told_without_its_path_and_leaves_no_job(desk: Desk) -> None:
    desk.folder.parent.mkdir(exist_ok=True)
    desk.folder.write_text("this is no folder")
    book = desk.book()
    with pytest.raises(Refused) as caught:
        start(book)
    assert caught.value.status == 503
    assert str(desk.folder) not in caught.value.detail
    desk.folder.unlink()
    assert book.take_up() == 0
    until(book, start(book), "done")


def test_a_job_that_could_not_be_written_down_does_not_run_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = desk.book()
    write = jobs.Folder.write

    def full(self: jobs.Folder, data: bytes, *names: str) -> None:
        if names[-1] == "_job.json":
            raise OSError(28, "No space left on device")
        write(self, data, *names)

    monkeypatch.setattr(jobs.Folder, "write", full)
    with pytest.raises(Refused):
        start(book)
    monkeypatch.undo()
    desk.clock.now += ALIVE_SECONDS
    assert desk.book().take_up() == 0
    assert listed(book, None) == []
    assert desk.writer.calls == []


def test_a_cancellation_that_cannot_be_looked_for_does_not_end_the_work(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = jobs.Folder.read

    def flaky(self: jobs.Folder, *names: str) -> bytes | None:
        if names[-1] == "_cancel":
            raise OSError(5, "503 Slow Down")
        return read(self, *names)

    monkeypatch.setattr(jobs.Folder, "read", flaky)
    book = desk.book()
    assert until(book, start(book), "done")["rows_done"] == 300


def test_a_job_whose_order_cannot_be_read_when_it_begins_runs_all_the_same(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, read = desk.book(), jobs.Folder.read

    def torn(self: jobs.Folder, *names: str) -> bytes | None:
        at_work = threading.current_thread().name.startswith("job")
        return b"{" if at_work and names[-1] == "_job.json" else read(self, *names)

    monkeypatch.setattr(jobs.Folder, "read", torn)
    assert until(book, start(book), "done")["rows_done"] == 300


def test_an_object_store_is_named_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    store = pafs.PyFileSystem(pafs.FSSpecHandler(Bucket(skip_instance_cache=True)))
    url = "s3://key:secret@bucket/jobs/?endpoint_override=minio:9000"
    places: list[str] = []

    def locate(place: str) -> Location:
        return Location(store, "bucket/jobs", place)

    def writer(wanted: object, place: str, on_progress: object, should_stop: object) -> bool:
        places.append(place)
        return True

    monkeypatch.setattr(folder, "locate", locate)
    book = JobBook(url, writer, LimitsConfig(), Clock())
    try:
        job = start(book)
        done = until(book, job, "done")
        assert done["place"] == f"s3://bucket/jobs/{job}"
        assert places == [f"s3://key:secret@bucket/jobs/{job}/rows?endpoint_override=minio:9000"]
        assert listed(book) == [job]
    finally:
        book.close()
