"""Jobs whose front is gone: taken up by one other, whatever their files hold."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from fingan.config import ServiceConfig
from fingan.service import jobs, work
from fingan.service.jobs import ALIVE_SECONDS, JobBook
from fingan.service.problems import Refused
from tests.service.jobs.desk import (
    BOTH,
    PATIENCE,
    WANTED,
    Desk,
    crashed,
    listed,
    start,
    status,
    until,
)


@BOTH
def test_a_job_of_a_front_that_was_killed_is_taken_up_when_it_is_silent(desk: Desk) -> None:
    job = crashed(desk)
    book = desk.book()
    desk.clock.now += ALIVE_SECONDS - 1
    assert book.take_up() == 0
    desk.clock.now += 1
    assert book.take_up() == 1
    assert book.take_up() == 0
    done = until(book, job, "done")
    assert done["rows_done"] == 300
    assert desk.writer.wanted == [WANTED]
    assert desk.writer.calls[0].endswith(f"{job}/rows")


def test_a_front_goes_on_looking_for_jobs_that_others_leave(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ALIVE_SECONDS", 0.05)
    elsewhere = Desk(tmp_path / "elsewhere", url=False)
    left = [crashed(elsewhere), crashed(elsewhere)]
    elsewhere.close()
    desk.folder.mkdir()
    book = JobBook.of(ServiceConfig(jobs_place=str(desk.folder)), desk.writer)
    try:
        for job in left:
            (elsewhere.folder / job).rename(desk.folder / job)
            until(book, job, "done")
    finally:
        book.close()


def test_of_several_fronts_one_takes_up_a_job(desk: Desk) -> None:
    desk.writer.open.clear()
    job = crashed(desk)
    desk.clock.now += ALIVE_SECONDS
    assert [desk.book().take_up() for _ in range(3)] == [1, 0, 0]
    assert desk.writer.begun.acquire(timeout=PATIENCE)
    assert len(desk.writer.calls) == 1
    assert desk.writer.calls[0].endswith(f"{job}/rows")


def test_a_cancelled_job_that_is_taken_up_does_not_run(desk: Desk) -> None:
    job = crashed(desk)
    desk.file(job, "_cancel").write_bytes(b"")
    desk.clock.now += ALIVE_SECONDS
    book = desk.book()
    assert book.take_up() == 1
    until(book, job, "cancelled")
    assert desk.writer.calls == []


def test_jobs_that_wait_are_not_taken_away_from_a_front_that_lives(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (jobs, work):
        monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    desk.writer.open.clear()
    book, other = desk.book(), desk.book()
    working, waiting = start(book), start(book)
    assert desk.writer.begun.acquire(timeout=PATIENCE)
    desk.clock.now += ALIVE_SECONDS + 1
    for job in (working, waiting):
        deadline = time.monotonic() + PATIENCE
        while json.loads(desk.file(job).read_text())["seen"] < desk.clock.now:
            assert time.monotonic() < deadline, "no sign of life"
            time.sleep(0.002)
    assert other.take_up() == 0
    assert [until(book, job, "queued", "running")["status"] for job in (working, waiting)] == [
        "running",
        "queued",
    ]
    desk.writer.open.set()
    until(book, waiting, "done")
    assert len(desk.writer.calls) == 2


def test_a_front_that_ends_leaves_its_jobs_to_the_next_at_once(desk: Desk) -> None:
    desk.writer.open.clear()
    book = desk.book()
    working, waiting = start(book), start(book)
    assert desk.writer.begun.acquire(timeout=PATIENCE)
    threading.Timer(0.05, desk.writer.open.set).start()
    book.close()
    assert not desk.file(working, "rows/part-1").exists()
    later = desk.book()
    for job in (working, waiting):
        found = status(later, job)
        assert found is not None
        assert (found["status"], found["finished"]) == ("queued", None)
    assert later.take_up() == 2
    for job in (working, waiting):
        assert until(later, job, "done")["rows_done"] == 300


def test_a_front_that_ends_begins_nothing(desk: Desk) -> None:
    book = desk.book()
    job = crashed(desk)
    desk.clock.now += ALIVE_SECONDS
    book.close()
    book.close()
    with pytest.raises(Refused) as caught:
        start(book)
    assert caught.value.status == 503
    assert book.take_up() == 0
    assert listed(book) == [job]


TORN = [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"status": "done"', b"[" * 5000]


@pytest.mark.parametrize("content", TORN)
def test_a_torn_status_hides_nothing_and_is_mended(desk: Desk, content: bytes) -> None:
    book = desk.book()
    job, torn = start(book), start(book)
    for one in (job, torn):
        until(book, one, "done")
    desk.file(torn).write_bytes(content)
    assert set(listed(book)) == {job, torn}
    found = status(book, torn)
    assert found is not None
    assert (found["status"], found["rows_done"]) == ("queued", 0)
    # What is written of it proves itself, so that it is found to be whole.
    later = desk.book()
    assert later.take_up() == 1
    assert until(later, torn, "done")["rows_done"] == 300


@pytest.mark.parametrize("content", [*TORN, b"{}", b'{"wanted": 1, "caller": "anna", "created": ""}'])
def test_a_torn_job_is_none_and_hides_no_other(desk: Desk, content: bytes) -> None:
    book = desk.book()
    job, torn = start(book), start(book)
    for one in (job, torn):
        until(book, one, "done")
    desk.file(torn, "_job.json").write_bytes(content)
    assert listed(book) == listed(book, None) == [job]
    assert status(book, torn, None) is None
    desk.file(torn).unlink()
    assert desk.book().take_up() == 0


def test_a_status_that_was_torn_meanwhile_does_not_stop_the_work(desk: Desk) -> None:
    desk.writer.open.clear()
    book = desk.book()
    first, second = start(book), start(book)
    assert desk.writer.begun.acquire(timeout=PATIENCE)
    for job in (first, second):
        desk.file(job).write_bytes(b"{")
    desk.writer.open.set()
    for job in (first, second):
        until(book, job, "done")


def test_other_things_in_the_place_are_passed_over(desk: Desk) -> None:
    book = desk.book()
    job = start(book)
    until(book, job, "done")
    (desk.folder / "notes").mkdir()
    (desk.folder / "20240101-0123456789abcdee").write_text("a file")
    (desk.folder / "20240101-0123456789abcdef").mkdir()
    assert listed(book, None) == [job]
    assert book.take_up() == 0
