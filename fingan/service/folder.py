"""Small files in a folder, local or of an object store."""

from __future__ import annotations

import json
import logging
import secrets
import time
from pathlib import Path

import pyarrow.fs as pafs

from fingan.data.location import locate
from fingan.files import atomic_write_bytes
from fingan.types import Json

_ATTEMPTS = 8
log = logging.getLogger(__name__)


class Folder:
    """Small files in a folder of any file system; each is written whole or not at all.

    Args:
        place: folder or URL.
    """

    def __init__(self, place: str) -> None:
        self._location = locate(place)
        self.is_local = self._location.is_local

    def read(self, *names: str) -> bytes | None:
        """Return a file's content; None where there is none."""
        try:
            with self._location.filesystem.open_input_stream(self._path(*names), compression=None) as file:
                content: bytes = file.read()
                return content
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, data: bytes, *names: str) -> None:
        """Write a file."""
        path = self._path(*names)
        if self.is_local:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            atomic_write_bytes(Path(path), data)
            return
        # Object stores show a file when it is closed.
        with self._location.filesystem.open_output_stream(path, compression=None) as file:
            file.write(data)

    def claim(self, *names: str) -> bool:
        """Make an empty file that marks something as one's own; return whether nobody else has made it.

        On a file system one call does it. An object store has no such call: there everybody writes a
        mark of his own (`name~token`) and lists them; who sees another's takes his own back. Of two,
        the one who wrote last sees the other's, so that never both go on; if both took theirs back,
        they try again after a random while.
        """
        path = self._path(*names)
        if self.is_local:
            try:
                Path(path).open("xb").close()
            except FileExistsError:
                return False
            return True
        for attempt in range(_ATTEMPTS):
            own = f"{names[-1]}~{secrets.token_hex(8)}"
            self.write(b"", *names[:-1], own)
            if self._marks(*names) == [own]:
                return True
            self._location.filesystem.delete_file(self._path(*names[:-1], own))
            time.sleep(0.001 * secrets.randbelow(20 << attempt))
            if self._marks(*names):
                return False
        return False

    def _marks(self, *names: str) -> list[str]:
        return [name for name in self.times(*names[:-1]) if name.startswith(f"{names[-1]}~")]

    def times(self, *names: str) -> dict[str, float]:
        """Return the files in a folder, and when each was written: seconds since 1970, 0 where unknown."""
        selector = pafs.FileSelector(self._path(*names), allow_not_found=True)
        found = self._location.filesystem.get_file_info(selector)
        return {info.base_name: (info.mtime_ns or 0) / 1e9 for info in found if info.is_file}

    def read_object(self, *names: str) -> Json | None:
        """Return a file's JSON object; None where there is none that can be read."""
        content = self.read(*names)
        if content is None:
            return None
        try:
            found = json.loads(content)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            log.error("%s is torn; it counts as none", "/".join(names))
            return None
        return found

    def folders(self) -> list[str]:
        """Return the names of the folders here."""
        selector = pafs.FileSelector(self._location.path, allow_not_found=True)
        found = self._location.filesystem.get_file_info(selector)
        return [info.base_name for info in found if info.type == pafs.FileType.Directory]

    def _path(self, *names: str) -> str:
        return "/".join((self._location.path.rstrip("/"), *names))


def below(place: str, name: str) -> str:
    """Return the place of a file or folder in another, which may be a URL with a query."""
    path, mark, query = place.partition("?") if "://" in place else (place, "", "")
    return f"{path.rstrip('/')}/{name}{mark}{query}"
