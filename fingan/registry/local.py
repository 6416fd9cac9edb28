"""A registry in a local folder: publishing is one rename, numbers are claimed by `mkdir`.

A publisher writes the bundle under a temporary name in the root, claims the next number by making
its folder (only one of several publishers can), and renames the bundle over that empty folder.
Killed before the rename, it leaves a temporary or an empty folder: no version, perhaps a skipped
number. Publishers share a lock on `root/.lock`; who can hold it alone knows that every
temporary belongs to a dead process, and deletes them. Where a file system has no locks, leftovers
stay; nothing else depends on the lock.

Symbolic links inside the root are refused, so that nothing is read or written outside of it;
the root itself may be one.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fingan.errors import BundleError
from fingan.files import (
    atomic_write_bytes,
    fsync_directory,
    locked,
    open_regular,
    remove_temporaries,
    temporary_directory,
    write_new,
)
from fingan.registry.failures import explained
from fingan.registry.manifest import MANIFEST
from fingan.registry.storage import ATTEMPTS, numbers

_LOCK = ".lock"
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF})


class LocalStorage:
    """Storage in a folder of a POSIX file system; see `Storage` for the methods.

    Args:
        root: the folder; made by the first publish.
    """

    is_local = True

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.abspath(root))

    def place(self, *parts: str) -> str:
        return str(self._root.joinpath(*parts))

    def entries(self, *parts: str) -> dict[str, bool]:
        path = self._inside(*parts)
        with explained(f"list {path}"):
            try:
                with os.scandir(path) as found:
                    return {entry.name: entry.is_dir(follow_symlinks=False) for entry in found}
            except FileNotFoundError:
                return {}

    def versions(self, name: str) -> list[int]:
        folders = {entry: True for entry, is_folder in self.entries(name).items() if is_folder}
        path = self._root / name
        with explained(f"list {path}"):
            return [number for number in numbers(folders) if (path / str(number) / MANIFEST).exists()]

    def read(self, *parts: str, limit: int) -> bytes:
        with open_regular(self._inside(*parts)) as file:
            return file.read(limit)

    def write(self, *parts: str, data: bytes) -> None:
        path = self._inside(*parts)
        with explained(f"write {path}"), self._writing():
            path.parent.mkdir(exist_ok=True)
            atomic_write_bytes(path, data)

    def delete(self, *parts: str) -> None:
        path = self._inside(*parts)
        with explained(f"delete {path}"):
            path.unlink()
            fsync_directory(path.parent)

    def publish(self, name: str, files: Mapping[str, bytes]) -> int:
        self._inside(name)
        with explained(f"publish {name!r} in {self._root}"):
            self._sweep(name)
            with self._writing(), temporary_directory(self._root) as temporary:
                for file, data in files.items():
                    write_new(temporary / file, data)
                fsync_directory(temporary)
                return self._rename_to_next(name, temporary)

    def remove_version(self, name: str, version: int) -> None:
        folder = self._inside(name, str(version))
        with explained(f"remove {folder}"), self._writing():
            _empty(folder)

    def remove_model(self, name: str) -> None:
        folder = self._inside(name)
        with explained(f"remove {folder}"), self._writing():
            found = self.entries(name)
            # The newest version last: cut short, this can be done again.
            for entry in ("aliases", *map(str, numbers(found))):
                if found.get(entry):
                    _empty(folder / entry)

    def _inside(self, *parts: str) -> Path:
        path = self._root
        for part in parts:
            path = path / part
            if path.is_symlink():
                remedy = "A registry holds plain folders and files only; put there what it points at."
                raise BundleError(f"{path} is a symbolic link. {remedy}")
        return path

    def _rename_to_next(self, name: str, temporary: Path) -> int:
        folder = self._root / name
        for _ in range(ATTEMPTS):
            folder.mkdir(exist_ok=True)
            number = max(numbers(self.entries(name)), default=0) + 1
            try:
                (folder / str(number)).mkdir()
                os.rename(temporary, folder / str(number))
            except FileExistsError:
                continue  # another publisher was faster
            except FileNotFoundError:
                if not temporary.exists():
                    raise
                continue  # the model's folder was deleted meanwhile
            fsync_directory(folder)
            fsync_directory(self._root)
            return number
        raise BundleError(f"cannot publish {name!r} in {self._root}: no free number. Try again.")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep others from deleting temporaries for as long as this process makes some."""
        self._root.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self._root / _LOCK, shared=True))
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            yield

    def _sweep(self, name: str) -> None:
        """Delete what dead processes left, unless a live one is writing now."""
        self._root.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self._root / _LOCK, wait=False):
                remove_temporaries(self._root)
                remove_temporaries(self._inside(name, "aliases"))
        except OSError as error:
            if not isinstance(error, BlockingIOError) and error.errno not in _NO_LOCKS:
                raise


def _empty(folder: Path) -> None:
    """Delete what a folder holds; the manifest first, for from that moment the version does not exist."""
    (folder / MANIFEST).unlink(missing_ok=True)
    fsync_directory(folder)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
