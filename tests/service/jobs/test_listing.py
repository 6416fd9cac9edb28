"""What callers are told of many jobs, and how little is read for it."""

from __future__ import annotations

import pytest

from fingan.service import folder, jobs
from tests.service.jobs.desk import Desk, listed, start, status, until


def test_the_newest_jobs_of_a_caller_are_listed_first_whoever_else_has_many(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_MOST_LISTED", 3)
    book = desk.book(jobs_waiting=100)
    own = []
    for number in range(8):
        desk.clock.now += 0.01
        own.append(start(book, "anna"))
        if number % 2:
            start(book, "bert")
    for _ in range(5):
        start(book, "bert")
    assert listed(book, "anna") == own[:-4:-1]
    for job in own:
        until(book, job, "done")


def test_a_listing_reads_no_more_than_the_newest_and_what_it_does_not_know(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs of others are read once, old ones not at all; whoever knows the id is told of any."""
    book = desk.book()
    old = start(book, "anna")
    until(book, old, "done")
    desk.clock.now += 31 * 86_400.0
    mine = start(book, "anna")
    until(book, mine, "done")
    for _ in range(3):
        # Names tell the time, by which the newest are found.
        desk.clock.now += 1.0
        until(book, start(book, "bert"), "done")
    read, other = [], desk.book()
    read_file = folder.Folder.read

    def counted(self: folder.Folder, *names: str) -> bytes | None:
        read.append(names[0])
        return read_file(self, *names)

    monkeypatch.setattr(folder.Folder, "read", counted)
    assert listed(other, "anna") == [mine]
    assert old not in read
    assert len(set(read)) == 4
    read.clear()
    assert listed(other, "anna") == [mine]
    assert set(read) == {mine}
    found = status(other, old)
    assert found is not None
    assert (found["status"], desk.file(old, "rows/part-0").exists()) == ("done", True)
    monkeypatch.setattr(jobs, "_MOST_READ", 2)
    assert listed(desk.book(), "anna") == []
