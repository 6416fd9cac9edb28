"""A folder on this machine or in an object store whose files appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from fingan.data.location import locate, reason
from fingan.errors import DataError, InUse
from fingan.files import TEMPORARY, FileEntry, atomic_path

_LEFT_BEHIND = re.compile(rf"{re.escape(TEMPORARY)}.*|\..*\.[0-9a-f]{{8}}\.partial")
_NO_LOCKS = (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_READ_BYTES = 1 << 20


class Folder:
    """Files by name, at most one folder deep.

    Args:
        place: path, or a URL that `pyarrow.fs` knows.

    Attributes:
        place: the same for processes with another working directory.
        text: the same for messages, without secrets.
        is_local: whether it lies on this machine.

    Raises:
        DataError: an empty path, an unknown scheme, or a store that cannot be reached.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        location = locate(place)
        self.text = location.text.rstrip("/") or "/"
        self.is_local = location.is_local
        self._files = location.filesystem
        self._path = location.path.rstrip("/")
        self.place = (self._path or "/") if location.is_local else os.fspath(place)

    def inside(self, name: str) -> str:
        """Return the path or URL of a file in the folder."""
        if self.is_local:
            return self._at(name)
        base, mark, query = self.place.partition("?")
        return f"{base.rstrip('/')}/{name}{mark}{query}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make the folder, and keep others on this machine who call this out of it until the block ends.

        An object store has no locks, nor have some file systems; there nobody is kept out.

        Raises:
            InUse: somebody else holds it.
            DataError: it cannot be made.
        """
        self.make()
        if not self.is_local:
            yield
            return
        handle = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(handle, self.text)
            yield
        finally:
            os.close(handle)

    def make(self, inner: str = "") -> None:
        """Make the folder, or one inside it, unless it is there."""
        with self._explained("make the folder"):
            self._files.create_dir(self._at(inner), recursive=True)

    def sizes(self, inner: str = "") -> dict[str, int | None]:
        """Return the names in the folder, or in one inside it, with the sizes of files."""
        with self._explained("list"):
            selector = pafs.FileSelector(self._at(inner), allow_not_found=True)
            infos = self._files.get_file_info(selector)
        return {info.base_name: info.size if info.is_file else None for info in infos}

    def holds(self, name: str) -> bool:
        """Whether there is a file of that name."""
        with self._explained("read"):
            return bool(self._files.get_file_info(self._at(name)).is_file)

    def read(self, name: str, limit: int) -> bytes | None:
        """Return at most the first `limit` bytes of a file; None if there is none."""
        with (
            self._explained("read"),
            suppress(FileNotFoundError),
            self._files.open_input_stream(self._at(name), compression=None) as stream,
        ):
            return bytes(stream.read(limit))
        return None

    def entry(self, name: str) -> FileEntry | None:
        """Return size and SHA-256 of a file as it is stored; None if there is none."""
        digest, size = hashlib.sha256(), 0
        with self._explained("read"), suppress(FileNotFoundError):
            with self._files.open_input_stream(self._at(name), compression=None) as stream:
                while piece := stream.read(_READ_BYTES):
                    digest.update(piece)
                    size += len(piece)
            return FileEntry(size, digest.hexdigest())
        return None

    def write(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write or replace a file in one step."""
        path = self._at(name)
        with self._explained("write in"):
            if self.is_local:
                with atomic_path(Path(path)) as temporary, temporary.open("xb") as file:
                    file.writelines(pieces)
            else:
                self._upload(path, pieces)

    def _upload(self, path: str, pieces: Iterable[bytes]) -> None:
        parent, _, own = path.rpartition("/")
        # Not under its own name: Arrow completes the object even when a block ends with an error.
        partial = f"{parent}/.{own}.{secrets.token_hex(4)}.partial"
        try:
            with self._files.open_output_stream(partial, compression=None) as stream:
                for piece in pieces:
                    stream.write(piece)
            self._files.move(partial, path)
        except BaseException:
            with suppress(OSError, pa.ArrowException):
                self._files.delete_file(partial)
            raise

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        with self._explained("delete a file in"), suppress(FileNotFoundError):
            self._files.delete_file(self._at(name))

    def sweep(self, inner: str = "") -> None:
        """Delete what killed writers left, of this class or of `open_sink`; none may be at work."""
        for name in self.sizes(inner):
            if _LEFT_BEHIND.fullmatch(name):
                self.delete(f"{inner}/{name}" if inner else name)

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}" if name else self._path or "/"

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            remedy = "mend the cause or name another place"
            raise DataError(f"cannot {action} {self.text!r}: {reason(error)}; {remedy}") from error


def _lock(handle: int, text: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse(f"another run is writing to {text!r}; wait for its end or name another place") from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
