"""An object store in memory, for threads: readers have a whole file, writers show it at the end."""

from __future__ import annotations

import io
import time
from typing import Any

from fsspec.implementations.memory import MemoryFile, MemoryFileSystem


class _Upload(io.BytesIO):
    def __init__(self, store: Bucket, path: str) -> None:
        super().__init__()
        self._store, self._path = store, path

    def close(self) -> None:
        if not self.closed:
            self._store.store[self._path] = MemoryFile(self._store, self._path, self.getvalue())
        super().close()


class Bucket(MemoryFileSystem):
    """Its own readers would share one position in a file, and find one empty that is being written.

    It reports times of writing: everything in it was written just now.
    """

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        path = self._strip_protocol(path)
        if mode == "wb":
            return _Upload(self, path)
        if mode != "rb" or path not in self.store:
            return super()._open(path, mode, **options)
        return io.BytesIO(self.store[path].getvalue())

    def find(self, path: str, **options: Any) -> Any:
        found = super().find(path, **options)
        return {name: {**info, "mtime": time.time()} for name, info in found.items()}
