"""A registry behind `pyarrow.fs`: object stores have no rename, so the manifest is written last.

Numbers are claimed without a compare-and-swap, which `pyarrow.fs` does not offer: a publisher
writes a claim of its own (`.claim-<token>`) into the number's folder, then lists the folder. If it
sees no other claim, the number is its own; else it takes its claim back, waits a random while and
starts again. Of two publishers the one whose claim is written last sees the other's, so they never
share a number on stores whose listings show every finished write (Amazon S3, Google Cloud Storage,
Azure, HDFS). On a store with late listings both may write to one number; then the manifest's
hashes make every reader refuse a mixture, and the publisher that reads back another manifest than
its own raises. Aliases are single objects: the last writer wins.

What a killed publisher leaves has no manifest, hence is no version; a later publish of that name
deletes it once it is a day old, where the store reports times of writing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileType

from fingan.errors import BundleError
from fingan.registry.failures import explained
from fingan.registry.manifest import MANIFEST
from fingan.registry.storage import ATTEMPTS, numbers

_CLAIM = ".claim-"
_ABANDONED = timedelta(days=1)


class RemoteStorage:
    """Storage in any `pyarrow.fs` file system; see `Storage` for the methods.

    Args:
        filesystem: the file system.
        root: path in it.
        url: what to call the root in messages.
    """

    is_local = False

    def __init__(self, filesystem: FileSystem, root: str, url: str) -> None:
        self._filesystem = filesystem
        self._root = root.rstrip("/")
        self._url = url.rstrip("/")

    def place(self, *parts: str) -> str:
        return "/".join([self._url, *parts])

    def entries(self, *parts: str) -> dict[str, bool]:
        return {
            info.base_name: info.type == FileType.Directory
            for info in self._list(*parts)
            if not info.base_name.startswith(".")
        }

    def versions(self, name: str) -> list[int]:
        paths = [info.path.split("/") for info in self._list(name, recursive=True)]
        return numbers({path[-2]: True for path in paths if path[-3::2] == [name, MANIFEST]})

    def read(self, *parts: str, limit: int) -> bytes:
        try:
            with self._filesystem.open_input_stream(self._path(*parts)) as file:
                return bytes(file.read(limit))
        except pa.ArrowException as error:
            raise OSError(str(error)) from error

    def write(self, *parts: str, data: bytes) -> None:
        with self._explained("write", *parts):
            self._filesystem.create_dir(self._path(*parts[:-1]), recursive=True)
        self._put(*parts, data=data)

    def delete(self, *parts: str) -> None:
        with self._explained("delete", *parts), suppress(FileNotFoundError):
            self._filesystem.delete_file(self._path(*parts))

    def publish(self, name: str, files: Mapping[str, bytes]) -> int:
        self._sweep(name)
        number, claim = self._claim(name)
        ordered = sorted(files, key=lambda file: file == MANIFEST)
        try:
            for file in ordered:
                self._put(name, str(number), file, data=files[file])
            self._read_back(name, number, files[MANIFEST])
        except BaseException:
            # in this order: nothing of ours is left when the number becomes free
            for file in [*reversed(ordered), claim]:
                with suppress(BundleError):
                    self.delete(name, str(number), file)
            raise
        return number

    def remove_version(self, name: str, version: int) -> None:
        # the claim stays for the number; one that was copied here from a folder has none
        self._put(name, str(version), f"{_CLAIM}removed", data=b"claimed\n")
        # the manifest first: from that moment the version does not exist
        files = self.entries(name, str(version))
        for file in sorted(files, key=lambda file: file != MANIFEST):
            self.delete(name, str(version), file)

    def remove_model(self, name: str) -> None:
        # the newest version last: cut short, this can be done again
        for alias in self.entries(name, "aliases"):
            self.delete(name, "aliases", alias)
        for version in self.versions(name):
            self.remove_version(name, version)

    def _path(self, *parts: str) -> str:
        return "/".join([self._root, *parts])

    def _put(self, *parts: str, data: bytes) -> None:
        with (
            self._explained("write", *parts),
            self._filesystem.open_output_stream(self._path(*parts)) as file,
        ):
            file.write(data)

    def _list(self, *parts: str, recursive: bool = False) -> list[FileInfo]:
        selector = FileSelector(self._path(*parts), allow_not_found=True, recursive=recursive)
        with self._explained("list", *parts):
            found: list[FileInfo] = self._filesystem.get_file_info(selector)
        return found

    def _claim(self, name: str) -> tuple[int, str]:
        claim = f"{_CLAIM}{secrets.token_hex(8)}"
        for attempt in range(ATTEMPTS):
            number = max(numbers(self.entries(name)), default=0) + 1
            self.write(name, str(number), claim, data=b"claimed\n")
            claims = [i.base_name for i in self._list(name, str(number)) if i.base_name.startswith(_CLAIM)]
            if claims == [claim]:
                return number, claim
            self.delete(name, str(number), claim)
            time.sleep(0.001 * secrets.randbelow(20 << min(attempt, 6)))
        raise BundleError(f"cannot publish {name!r} at {self._url}: too many publishers at once. Try again.")

    def _read_back(self, name: str, number: int, manifest: bytes) -> None:
        with self._explained("read back", name, str(number), MANIFEST):
            found = self.read(name, str(number), MANIFEST, limit=len(manifest) + 1)
        if found != manifest:
            reason = "another publisher wrote the same version; this store's listings are late"
            raise BundleError(f"cannot publish {name}:{number} at {self._url}: {reason}. Publish again.")

    def _sweep(self, name: str) -> None:
        """Delete uploads that never got their manifest and were last written a day ago."""
        published = set(self.versions(name))
        for number in set(numbers(self.entries(name))) - published:
            infos = self._list(name, str(number))
            times = [info.mtime for info in infos if info.mtime is not None]
            if not times or max(times).astimezone(UTC) > datetime.now(UTC) - _ABANDONED:
                continue
            for info in infos:
                if not info.base_name.startswith(_CLAIM):
                    self.delete(name, str(number), info.base_name)

    @contextmanager
    def _explained(self, action: str, *parts: str) -> Iterator[None]:
        with explained(f"{action} {self.place(*parts)}"):
            try:
                yield
            except pa.ArrowException as error:
                raise OSError(str(error)) from error
