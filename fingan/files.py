"""Files that are either whole or absent, and folders that prove what they hold.

A crash can strike between any two system calls. So nothing is written under its final
name: data go to a temporary name beside it, are flushed to the device, and one rename
makes them visible (write, fsync, rename, fsync of the folder). What a crash leaves is a
temporary (`.tmp-…`) that nobody reads and `remove_temporaries` deletes.

POSIX only: it relies on atomic renames, `fsync` of folders and `flock`.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TEMPORARY = ".tmp-"
"""How the name of every temporary starts."""


@dataclass(frozen=True)
class FileEntry:
    """What a manifest says of one file: its size in bytes and its SHA-256 in hexadecimal."""

    size: int
    sha256: str

    @classmethod
    def of(cls, data: bytes) -> FileEntry:
        """Return the entry of a file that holds `data`."""
        return cls(len(data), hashlib.sha256(data).hexdigest())

    def difference(self, found: FileEntry) -> str:
        """Say how `found` differs from this entry; an empty string when it does not."""
        if found.size != self.size:
            return f"has {found.size:,} bytes, its manifest says {self.size:,}"
        if found.sha256 != self.sha256:
            return f"has sha256 {found.sha256[:12]}…, its manifest says {self.sha256[:12]}…"
        return ""


def fsync_directory(path: Path) -> None:
    """Flush the entries of folder `path` to the device, so that a rename in it survives power loss."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_new(path: Path, data: bytes) -> None:
    """Write `data` to a file that must not exist yet, and flush it to the device.

    Raises:
        OSError: with `path` as its filename when the file exists or the data do not fit.
    """
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # a failed write carries no file name of its own
        raise OSError(error.errno, f"{error.strerror} ({len(data):,} bytes)", str(path)) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary name whose file becomes `path` when the block ends, or vanishes when it raises.

    Readers of `path` see the old content or the new, never a part. The block must write the file.

    Raises:
        OSError: `path` cannot be written; the old content is still there.
    """
    temporary = _temporary_name(path.parent)
    try:
        yield temporary
        _fsync_file(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    fsync_directory(path.parent)


def atomic_write_bytes(path: Path, data: bytes) -> None:
    """Make `data` the content of file `path`, in one step, as `atomic_path` does.

    Raises:
        OSError: the data do not fit or `path` cannot be written; the old content is still there.
    """
    with atomic_path(path) as temporary:
        write_new(temporary, data)


@contextmanager
def temporary_directory(parent: Path) -> Iterator[Path]:
    """Give a new folder inside `parent`; whatever still lies under that name at the end is deleted.

    Unlike `tempfile.mkdtemp` it has the permissions that the umask grants, for it may be renamed
    into something that other users read.
    """
    temporary = _temporary_name(parent)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give a temporary folder that becomes `path` when the block ends, or vanishes when it raises.

    Every file in it is flushed to the device before the rename.

    Raises:
        FileExistsError: `path` exists and is not an empty folder, before or after the block.
    """
    _refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with temporary_directory(path.parent) as temporary:
        yield temporary
        _fsync_tree(temporary)
        try:
            os.rename(temporary, path)
        except OSError:
            _refuse_existing(path)
            raise
        fsync_directory(path.parent)


def remove_temporaries(directory: Path) -> None:
    """Delete the temporaries that crashed writers left in `directory`.

    The caller must know that no writer is at work there, for instance by holding the lock that
    the writers hold (`locked`).
    """
    for path in directory.glob(f"{TEMPORARY}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def remove_empty(*folders: Path) -> None:
    """Remove folders that hold nothing, one after the other."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def locked(path: Path, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold a lock on file `path` (made if need be) until the block ends.

    The kernel releases it when the process dies, however it dies, so a lock is never stale.

    Args:
        path: the lock file; it holds nothing and stays where it is.
        shared: share the lock with other shared holders; else hold it alone.
        wait: wait for the lock; else raise when another holds it.

    Raises:
        BlockingIOError: another holds the lock and `wait` is false.
        OSError: the file system has no locks (ENOLCK, EOPNOTSUPP, ENOSYS), on NFS no exclusive ones for
            those who may only read `path` (EBADF), or `path` cannot be made.
    """
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o666)
    except PermissionError:
        # Another user made it, who alone may write it; a lock asks for no more than reading.
        handle = os.open(path, os.O_RDONLY | flags)
    try:
        fcntl.flock(handle, mode if wait else mode | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def open_regular(path: Path) -> io.BufferedReader:
    """Open a plain file for reading; never follow a symbolic link, never wait for a pipe.

    Raises:
        OSError: `path` is not a plain file, or cannot be read.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(0, "is not a plain file", str(path))
    return os.fdopen(handle, "rb")


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a plain file in hexadecimal, in constant memory."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_of(directory: Path) -> dict[str, FileEntry]:
    """Return the entry of every file in a folder, by name in alphabetical order.

    Raises:
        OSError: the folder holds something other than plain files.
    """
    return {path.name: _entry(path) for path in sorted(directory.iterdir())}


def check_manifest(
    directory: Path, entries: Mapping[str, FileEntry], *, beside: Collection[str] = ("manifest.json",)
) -> list[str]:
    """Compare a folder with its manifest and say in words what differs.

    Args:
        directory: the folder.
        entries: the file names that it must hold, with size and SHA-256.
        beside: names that may be there too, such as the manifest itself.

    Returns:
        One sentence per file that is missing, extra, unreadable or altered; empty when all is well.
    """
    found = {path.name for path in directory.iterdir()} - set(beside)
    problems = [f"{name} is missing" for name in sorted(entries.keys() - found)]
    problems += [f"{name} is not in the manifest" for name in sorted(found - entries.keys())]
    for name in sorted(found & entries.keys()):
        try:
            difference = entries[name].difference(_entry(directory / name))
        except OSError as error:
            difference = f"cannot be read: {error.strerror}"
        if difference:
            problems.append(f"{name} {difference}")
    return problems


def _entry(path: Path) -> FileEntry:
    digest = sha256_file(path)
    return FileEntry(path.stat().st_size, digest)


def _temporary_name(parent: Path) -> Path:
    return parent / f"{TEMPORARY}{secrets.token_hex(8)}"


def _refuse_existing(path: Path) -> None:
    # a rename replaces an empty folder and nothing else, so an empty one may be there
    if path.is_symlink() or (path.exists() and not (path.is_dir() and not any(path.iterdir()))):
        raise FileExistsError(errno.EEXIST, "exists already", str(path))


def _fsync_tree(directory: Path) -> None:
    for folder, _, names in os.walk(directory):
        for name in names:
            _fsync_file(Path(folder, name))
        fsync_directory(Path(folder))


def _fsync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
