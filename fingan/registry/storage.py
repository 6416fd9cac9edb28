"""Where a registry keeps its files: a local folder or an object store, behind one protocol.

    root/<name>/<version>/            a bundle; it exists if and only if its manifest.json does
    root/<name>/aliases/<alias>       a version number and a newline

A version's folder outlives the version, and its whole model: it marks the number as used, so that
a number never comes to mean another model.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fingan.errors import ConfigError
from fingan.registry.names import VERSION

if TYPE_CHECKING:
    import pyarrow.fs

ATTEMPTS = 1000
"""Lost races after which a publisher gives up: far more than publishers that meet by chance."""


class Storage(Protocol):
    """Folders and files under one root. Parts are checked names, never paths.

    `read` raises OSError; every other failure is a BundleError that names the place.
    """

    is_local: bool

    def place(self, *parts: str) -> str:
        """Return the path or URL of something, for messages; without credentials."""
        ...

    def entries(self, *parts: str) -> dict[str, bool]:
        """Return what lies in a folder: name → whether it is itself a folder. Empty if there is none."""
        ...

    def versions(self, name: str) -> list[int]:
        """Return the versions of a model that have a manifest, ascending."""
        ...

    def read(self, *parts: str, limit: int) -> bytes:
        """Return at most the first `limit` bytes of a file."""
        ...

    def write(self, *parts: str, data: bytes) -> None:
        """Replace a file in one step."""
        ...

    def delete(self, *parts: str) -> None:
        """Delete a file."""
        ...

    def publish(self, name: str, files: Mapping[str, bytes]) -> int:
        """Store a verified bundle as a new version of `name`, whole or not at all; return its number."""
        ...

    def remove_version(self, name: str, version: int) -> None:
        """Remove a version; its number stays used."""
        ...

    def remove_model(self, name: str) -> None:
        """Remove a model with all versions and aliases; their numbers stay used."""
        ...


def numbers(names: Mapping[str, bool]) -> list[int]:
    """Return the version numbers among the names of a folder, used up or not, ascending."""
    return sorted(int(name) for name in names if VERSION.fullmatch(name))


def open_storage(root: str | Path, filesystem: pyarrow.fs.FileSystem | None = None) -> Storage:
    """Return the storage of a path, of any URL that `pyarrow.fs` knows, or of a path in `filesystem`.

    Raises:
        ConfigError: a URL that pyarrow cannot open.
    """
    from fingan.registry.local import LocalStorage

    if filesystem is None and (isinstance(root, Path) or not is_url(root)):
        return LocalStorage(Path(root))
    # imported here: a local registry, which is most of them, starts without pyarrow
    import pyarrow as pa
    import pyarrow.fs

    from fingan.registry.remote import RemoteStorage

    if filesystem is not None:
        return RemoteStorage(filesystem, str(root), f"{filesystem.type_name}:{root}")
    url = _without_credentials(str(root))
    try:
        filesystem, path = pyarrow.fs.FileSystem.from_uri(str(root))
    except (pa.ArrowException, OSError, ValueError) as error:
        remedy = "Use a folder, or a URL of pyarrow.fs such as s3://bucket/folder or file:///folder."
        raise ConfigError(f"cannot open the registry at {url}: {type(error).__name__}. {remedy}") from None
    if isinstance(filesystem, pyarrow.fs.LocalFileSystem):
        return LocalStorage(Path(path))
    return RemoteStorage(filesystem, path, url)


def is_url(root: str) -> bool:
    """Tell whether the root of a registry is a URL, not the path of a folder; `file:/folder` is one too."""
    return "://" in root or root.startswith("file:")


def _without_credentials(url: str) -> str:
    """Drop what may be secret: `user:password@` and the query."""
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
