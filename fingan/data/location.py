"""Where tables are read and written: local paths and the URLs that Arrow's file systems know."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from fingan.errors import DataError

_URL = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+://|file:/)")
_USER = re.compile(r"(://)[^/?]*@")
_FORMATS = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}
_COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}


@dataclass(frozen=True)
class Location:
    """A file or folder: its file system, its path there, and a text for messages without secrets."""

    filesystem: pafs.FileSystem
    path: str
    text: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rsplit("/", 1)[-1]

    @property
    def is_local(self) -> bool:
        """Whether the file lies on this machine."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    @property
    def compression(self) -> str | None:
        """The compression that the last suffix names, as Arrow calls it."""
        return _COMPRESSIONS.get(Path(self.name).suffix.lower())

    @property
    def format(self) -> str | None:
        """`csv`, `parquet` or `arrow` by suffix; None for any other."""
        found = _FORMATS.get(Path(self.plain_name).suffix.lower())
        return found if self.compression is None or found == "csv" else None

    @property
    def plain_name(self) -> str:
        """The name without the suffix of a compression."""
        return self.name if self.compression is None else Path(self.name).stem


def locate(place: str | os.PathLike[str]) -> Location:
    """Find the file system of a local path or URL (`s3://`, `gs://`, `abfs://`, `hdfs://`, `file://` …).

    Raises:
        DataError: an empty path, an unknown scheme, or a store that cannot be reached.
    """
    text = os.fspath(place)
    if not text or "\x00" in text:
        raise DataError(f"{text!r} is no path; name a file")
    scheme = _URL.match(text)
    if scheme is None:
        path = os.path.abspath(os.path.expanduser(text))
        return Location(pafs.LocalFileSystem(), Path(path).as_posix(), text)
    shown = redact(text)
    try:
        filesystem, path = pafs.FileSystem.from_uri(text)
    except pa.ArrowInvalid:
        # Arrow's own message repeats the URL with its secrets.
        raise DataError(
            f"cannot use the URL {shown!r}: use a local path, file://, s3://, gs://, abfs:// or hdfs://; "
            "download a web address first, and write blanks as %20"
        ) from None
    except (OSError, ImportError, ValueError) as error:
        raise DataError(
            f"cannot reach {shown!r}: {reason(error)}; check address, network and credentials"
        ) from error
    return Location(filesystem, path, shown)


def redact(url: str) -> str:
    """Return a URL without user, password and query, which may hold keys."""
    return _USER.sub(r"\1", url).partition("?")[0]


def reason(error: BaseException) -> str:
    """Return the first line of an error's text, or its class where it has none."""
    if isinstance(error, OSError) and error.errno is not None and error.filename is None:
        return os.strerror(error.errno)
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
