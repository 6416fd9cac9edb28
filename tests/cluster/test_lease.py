"""A lease: one live holder, lost with its process, taken over from a silent one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fingan.cluster import lease
from fingan.cluster.lease import leased
from fingan.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
HOLD = """
import sys, pathlib
from fingan.cluster.lease import leased
with leased(pathlib.Path(sys.argv[1]), "m"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(lease, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(lease, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(lease, "_LOOK_SECONDS", 0.05)
    return tmp_path / "runs" / "m" / "lease.json"


def write(path: Path, **changes: object) -> None:
    """Leave a lease of another machine's process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    claim = {"holder": "h", "run": "m", "machine": "far away", "pid": 1, "born": "1", "beat": 0}
    path.write_text(json.dumps({**claim, **changes}))


def test_a_lease_is_held_beaten_and_given_back(path):
    with leased(path, "m") as held:
        first = json.loads(path.read_text())["beat"]
        time.sleep(0.5)
        assert json.loads(path.read_text())["beat"] > first
        held.check()
    assert not path.parent.parent.exists(), "folders that the lease made and nobody filled must go"


def test_a_live_holder_refuses_the_second_who_learns_where_it_is(path):
    with leased(path, "m"):
        begun = time.monotonic()
        with pytest.raises(UserError, match=rf"'m' is still going on \(process {os.getpid()} on "):
            leased(path, "m").__enter__()
        assert time.monotonic() - begun < 1.0
    with leased(path, "m"):
        pass


def test_only_what_another_may_hold_counts_as_held(path):
    assert not lease.is_held(path)
    with leased(path, "m"):
        assert not lease.is_held(path), "it is this process's own"
    write(path)
    assert lease.is_held(path)
    write(path, machine=lease._machine(), pid=2**22 + 1)
    assert not lease.is_held(path)
    path.write_text("{torn")
    assert lease.is_held(path)


def test_the_lease_of_a_killed_process_of_this_machine_is_free_at_once(path):
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, cwd=ROOT) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        other.send_signal(signal.SIGKILL)
        other.wait()
        begun = time.monotonic()
        with leased(path, "m"):
            assert time.monotonic() - begun < 0.5


def test_the_lease_of_a_silent_process_elsewhere_is_taken_over_after_a_while(path):
    write(path)
    begun = time.monotonic()
    with leased(path, "m"):
        assert 1.0 <= time.monotonic() - begun < 3.0


@pytest.mark.parametrize("content", ["", "{torn", "[]", '{"holder": "h"}'])
def test_a_torn_lease_is_taken_over(path, content):
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with leased(path, "m"):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_one_that_beats_elsewhere_is_refused(path):
    write(path)
    threading.Timer(0.3, lambda: write(path, beat=1)).start()
    with pytest.raises(UserError, match=r"\(process 1 on far\)"):
        leased(path, "m").__enter__()


def test_the_first_learns_that_it_was_taken_over_and_leaves_the_lease_alone(path):
    with leased(path, "m") as held:
        write(path, holder="another")
        time.sleep(0.3)
        with pytest.raises(UserError, match="took over 'm'"):
            held.check()
    assert json.loads(path.read_text())["holder"] == "another"


def test_of_many_who_find_a_dead_lease_one_gets_it(path):
    write(path)
    held, refused = [], []

    def try_it(number: int) -> None:
        try:
            with leased(path, "m"):
                held.append(number)
                time.sleep(2.0)
        except UserError:
            refused.append(number)

    threads = [threading.Thread(target=try_it, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(held), len(refused)) == (1, 5)


def test_a_lease_that_was_renewed_before_it_was_taken_over_stays(path):
    write(path, beat=1)
    seen = lease._Claim.read(path)
    write(path, beat=2)
    assert not lease._take_over(path, seen, lease._Claim.mine("m"))
    assert json.loads(path.read_text())["beat"] == 2
    assert [p.name for p in path.parent.iterdir()] == ["lease.json"]


def test_a_take_over_that_was_killed_half_way_is_no_obstacle(path):
    write(path)
    seen = lease._Claim.read(path)
    assert seen is not None
    assert lease._create(path.parent / f"{lease.TEMPORARY}{seen.holder}", lease._Claim.mine("m"))
    with leased(path, "m"):
        assert [p.name for p in path.parent.iterdir()] == ["lease.json"]
