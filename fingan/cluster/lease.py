"""One live run of a name: a lease that its holder renews and that a dead holder loses.

The lease is a file on the storage that all drivers share. Its holder writes a new beat into it
every few seconds. Who finds a lease watches it: one that changes is alive; one that does not is
taken over, at once where its holder was a process of this machine that is gone. No clocks are
compared, so it does not matter whether they agree.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fingan.errors import UserError
from fingan.files import TEMPORARY, atomic_write_bytes, remove_empty, write_new

BEAT_SECONDS = 4.0
PATIENCE_SECONDS = 16.0
"""A lease that does not change for so long belongs to nobody."""

_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class _Claim:
    """What the file says.

    Attributes:
        holder: random, of this claim.
        run: what it is for.
        machine, pid, born: the process, as far as one on the same machine can tell it.
        beat: counts the renewals.
    """

    holder: str
    run: str
    machine: str
    pid: int
    born: str
    beat: int = 0

    @classmethod
    def mine(cls, run: str) -> _Claim:
        """Return a new claim of this process."""
        return cls(secrets.token_hex(8), run, _machine(), os.getpid(), _born(os.getpid()))

    @classmethod
    def read(cls, path: Path) -> _Claim | None:
        """Return the claim in a file; None where there is none, or none that can be read."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def data(self) -> bytes:
        """Return the file's content."""
        return json.dumps(asdict(self)).encode()

    def is_gone(self) -> bool:
        """Whether the holder certainly does not live any more."""
        return self.machine == _machine() and _born(self.pid) != self.born


def _machine() -> str:
    """Return what tells this machine, since its last start, and this container from all others."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    return secrets.token_hex(8)


def _born(pid: int) -> str:
    """Return when a process was started, in the kernel's ticks; empty where it is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return ""
    # A process that has ended but was not waited for holds nothing.
    return "" if fields[0] in "ZX" else fields[19]


class Lease:
    """A lease that is held; renewed in a thread of its own until it is released."""

    def __init__(self, path: Path, claim: _Claim) -> None:
        self._path, self._claim = path, claim
        self._over = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    @property
    def is_lost(self) -> bool:
        """Whether another process is known to have taken it over."""
        return self._lost

    def check(self) -> None:
        """Make sure that the lease is still this process's.

        Raises:
            UserError: another one took it over, because this one stood still for too long.
        """
        if self._lost:
            raise UserError(
                f"another process took over {self._claim.run!r} while this one stood still; "
                "what it publishes counts, this run ends"
            )

    def release(self) -> None:
        """Give the lease back."""
        self._over.set()
        self._thread.join()
        if not self._lost:
            with suppress(OSError):
                self._path.unlink()

    def _renew(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            found = _Claim.read(self._path)
            if found is not None and found.holder != self._claim.holder:
                self._lost = True
                return
            self._claim = replace(self._claim, beat=self._claim.beat + 1)
            # A full disk now may have room at the next beat.
            with suppress(OSError):
                atomic_write_bytes(self._path, self._claim.data())


@contextmanager
def leased(path: Path, run: str) -> Iterator[Lease]:
    """Hold the lease in file `path` until the block ends.

    Args:
        path: of the lease; folders that it needs are made, and go again if they are empty at the end.
        run: what it is for, in messages.

    Raises:
        UserError: a live process holds it.
        OSError: the folder is not writable.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    claim = _Claim.mine(run)
    try:
        _acquire(path, claim)
        lease = Lease(path, claim)
        try:
            yield lease
        finally:
            lease.release()
    finally:
        remove_empty(*made)


def is_held(path: Path) -> bool:
    """Whether another process holds the lease in a file, or may: one that cannot be told dead at a look."""
    claim = _Claim.read(path)
    if claim is None:
        return path.exists()
    return not claim.is_gone() and (claim.machine, claim.pid) != (_machine(), os.getpid())


def _create(path: Path, claim: _Claim) -> bool:
    """Write a new lease; return whether there was none."""
    draft = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}"
    try:
        write_new(draft, claim.data())
        os.link(draft, path)  # with its content, and only where there is no such file
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def _acquire(path: Path, claim: _Claim) -> None:
    """Make the claim the file's content, once no living holder's is.

    Raises:
        UserError: its holder lives.
    """
    while not _create(path, claim):
        dead = _watch(path, claim.run)
        if _take_over(path, dead, claim):
            return


def _watch(path: Path, run: str) -> _Claim | None:
    """Return the claim in a file once its holder is dead, or the file gone; None for an unreadable one.

    Raises:
        UserError: its holder lives.
    """
    first, begun = _Claim.read(path), time.monotonic()
    while path.exists():
        now = _Claim.read(path)
        if now != first:
            place = "" if now is None else f" (process {now.pid} on {now.machine.split()[0]})"
            raise UserError(
                f"a run of {run!r} is still going on{place}; "
                "wait for its end, stop it, or choose another --name"
            )
        if (now is not None and now.is_gone()) or time.monotonic() - begun > PATIENCE_SECONDS:
            break
        time.sleep(_LOOK_SECONDS)
    return first


def _take_over(path: Path, dead: _Claim | None, claim: _Claim) -> bool:
    """Put the claim in a dead one's place; return whether it was still there to be replaced.

    The right to replace a certain claim is a file of its name, which only one process can make. A
    process that judged the same claim dead, but comes later, finds another in its place.
    """
    right = path.parent / f"{TEMPORARY}{'torn' if dead is None else dead.holder}"
    if not _create(right, claim):
        _outlast(right)
        return False
    try:
        if not path.exists() or _Claim.read(path) != dead:
            return False
        atomic_write_bytes(path, claim.data())
        return True
    finally:
        right.unlink(missing_ok=True)


def _outlast(right: Path) -> None:
    """Wait until a take-over, the matter of a moment, is done; remove what a killed one left."""
    begun = time.monotonic()
    while right.exists():
        if time.monotonic() - begun > PATIENCE_SECONDS:
            right.unlink(missing_ok=True)
        time.sleep(_LOOK_SECONDS)
