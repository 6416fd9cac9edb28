"""The registry: published bundles by name, version and alias."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fingan.errors import BundleError, ConfigError, NotFound, StorageError, nearest
from fingan.files import atomic_directory, write_new
from fingan.registry.bundle import (
    Read,
    checked_file,
    parse_files,
    read_files,
    read_manifest,
    verified_files,
)
from fingan.registry.failures import explained, failure
from fingan.registry.manifest import Manifest, load_json
from fingan.registry.names import LATEST, Ref, check_alias, check_name, is_name, split_reference
from fingan.registry.storage import open_storage
from fingan.types import Json

if TYPE_CHECKING:
    import pyarrow.fs

_ALIASES = "aliases"
_POINTER = re.compile(rb"([1-9][0-9]{0,8})\n")
_METRICS = "metrics.json"


class Registry:
    """Models in a folder or an object store.

    A reference is `name`, `name:version` or `name:alias`; `name` alone is `name:latest`, the newest
    version whose manifest is sound. Version numbers grow and are never used twice, not even after the
    model was removed, though one may be skipped; a version is published whole or not at all, also when
    several publish at once.

    Args:
        root: a folder, or any URL that `pyarrow.fs` knows (`s3://bucket/folder`, `file:///folder`).
        filesystem: a `pyarrow.fs` file system in which `root` is a path, instead of a URL.

    Raises:
        ConfigError: the URL cannot be opened.
    """

    def __init__(self, root: str | Path, *, filesystem: pyarrow.fs.FileSystem | None = None) -> None:
        self._storage = open_storage(root, filesystem)
        self._copies = None if self._storage.is_local else _vanishing_directory(self)

    def publish(self, name: str, bundle: str | Path) -> int:
        """Verify the bundle in folder `bundle`, store it as the next version of `name`, return the number.

        Raises:
            ConfigError: `name` cannot name a model.
            NotFound: there is no such folder.
            BundleError: the bundle is not sound, or cannot be stored; then nothing of it is left.
        """
        check_name(name)
        manifest, files = read_files(Path(bundle))
        parse_files(str(bundle), manifest, files)
        return self._storage.publish(name, files)

    def resolve(self, reference: str) -> Ref:
        """Return the version that `reference` means.

        Raises:
            ConfigError: it is malformed.
            NotFound: no such model, version or alias; names the nearest.
            BundleError: a damaged alias, or no version with a sound manifest.
            StorageError: what the answer depends on cannot be read now.
        """
        name, selector = split_reference(reference)
        versions = self.versions(name)
        if selector == LATEST:
            return Ref(name, self._newest_sound(name, versions))
        version = int(selector) if selector.isdecimal() else self._alias(name, selector)
        if version not in versions:
            known = ", ".join(map(str, versions[-10:]))
            raise NotFound(f"model {name!r} has no version {version}. It has: {known}.")
        return Ref(name, version)

    def fetch(self, ref: Ref | str) -> Path:
        """Return a local folder with the verified bundle.

        A local registry gives its own folder, which must not be changed; a remote one gives a copy that
        lives as long as this object.

        Raises:
            BundleError: the bundle is not sound, or cannot be read.
        """
        ref = self._ref(ref)
        if self._copies is None:
            self.verify(ref)
            return Path(self._place(ref))
        copy = self._copies / self._manifest(ref).digest
        if not copy.exists():
            _, files = self._verified(ref)
            # another thread may have made the same copy meanwhile
            with explained(f"copy {ref}"), suppress(FileExistsError), atomic_directory(copy) as temporary:
                for name, data in files.items():
                    write_new(temporary / name, data)
        return copy

    @contextmanager
    def lent(self, ref: Ref | str) -> Iterator[Path]:
        """Give what `fetch` does while inside, for those who load many versions: a copy is gone afterwards.

        Raises:
            BundleError: the bundle is not sound, or cannot be read.
        """
        ref = self._ref(ref)
        if self._copies is None:
            yield self.fetch(ref)
            return
        _, files = self._verified(ref)
        with ExitStack() as copies:
            with explained(f"copy {ref}"):
                # of its own: others who load the same may be done earlier
                copy = Path(copies.enter_context(tempfile.TemporaryDirectory(dir=self._copies)))
                for name, data in files.items():
                    write_new(copy / name, data)
            yield copy

    def verify(self, ref: Ref | str) -> Manifest:
        """Read and check every byte of a version where it is stored; return its manifest.

        Raises:
            BundleError: a file is missing, extra or altered; names it.
        """
        return self._verified(self._ref(ref))[0]

    def names(self) -> list[str]:
        """Return the models that have a version, in alphabetical order."""
        folders = (name for name, is_folder in self._storage.entries().items() if is_folder)
        return sorted(name for name in folders if is_name(name) and self._storage.versions(name))

    def versions(self, name: str) -> list[int]:
        """Return the versions of a model, ascending.

        Raises:
            NotFound: there is no such model; names the nearest.
        """
        versions = self._storage.versions(check_name(name))
        if not versions:
            known = self.names()
            remedy = nearest(name, known) if known else " It is empty; publish a model first."
            raise NotFound(f"registry {self._storage.place()} has no model {name!r}.{remedy}")
        return versions

    def aliases(self, name: str) -> dict[str, int]:
        """Return the aliases of a model and the versions they point at, without `latest`.

        Those that cannot be read are left out; `unreadable` tells of them.
        """
        return {alias: to for alias, to in self._pointers(name).items() if isinstance(to, int)}

    def unreadable(self, name: str) -> dict[str, str]:
        """Return the aliases of a model that cannot be read, and of each what is wrong and what to do."""
        return {alias: str(to) for alias, to in self._pointers(name).items() if isinstance(to, BundleError)}

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let `alias` point at `version`, in one step, wherever it pointed before.

        Raises:
            ConfigError: `alias` is malformed, a number, or `latest`.
            NotFound: no such model or version.
        """
        check_alias(alias)
        ref = self.resolve(f"{check_name(name)}:{int(version)}")
        self._storage.write(name, _ALIASES, alias, data=b"%d\n" % ref.version)

    def remove_alias(self, name: str, alias: str) -> None:
        """Forget an alias; NotFound if there is none."""
        # One that is torn can be forgotten too.
        with suppress(BundleError):
            self._alias(check_name(name), check_alias(alias))
        self._storage.delete(name, _ALIASES, alias)

    def remove(self, reference: str) -> None:
        """Remove one version (`name:version`, `name:alias`) or, for a bare name, the whole model.

        Their numbers are not given again: a model that is published later goes on counting.

        Raises:
            NotFound: no such model, version or alias.
            ConfigError: an alias points at the version.
            BundleError: an alias cannot be read, so that it may point there.
        """
        if ":" not in reference:
            self.versions(reference)
            self._storage.remove_model(reference)
            return
        ref = self.resolve(reference)
        for alias, to in self._pointers(ref.name).items():
            if isinstance(to, BundleError):
                raise to
            if to == ref.version:
                raise ConfigError(f"alias {alias!r} points at {ref}: move or remove the alias first.")
        self._storage.remove_version(*ref)

    def show(self, ref: Ref | str) -> Json:
        """Return a version's `name`, `version`, `aliases`, `manifest` and `metrics` (None if it has none).

        `unreadable` holds the model's aliases that cannot be read, and why. Of the version's files two
        are read; `verify` reads them all.
        """
        ref = self._ref(ref)
        where = self._place(ref)
        manifest = self._manifest(ref)
        metrics = None
        if _METRICS in manifest.files:
            data = checked_file(where, _METRICS, manifest.files[_METRICS], self._reader(ref))
            metrics = load_json(where, _METRICS, data)
        pointers = self._pointers(ref.name)
        return {
            **ref._asdict(),
            "aliases": [alias for alias, to in pointers.items() if to == ref.version],
            "unreadable": {alias: str(to) for alias, to in pointers.items() if isinstance(to, BundleError)},
            "manifest": manifest.model_dump(mode="json"),
            "metrics": metrics,
        }

    def _ref(self, ref: Ref | str) -> Ref:
        # a Ref goes through its text too: nothing reaches a path unchecked
        return self.resolve(str(ref))

    def _place(self, ref: Ref) -> str:
        return self._storage.place(ref.name, str(ref.version))

    def _reader(self, ref: Ref) -> Read:
        return lambda file, limit: self._storage.read(ref.name, str(ref.version), file, limit=limit)

    def _manifest(self, ref: Ref) -> Manifest:
        return read_manifest(self._place(ref), self._reader(ref))[0]

    def _verified(self, ref: Ref) -> tuple[Manifest, dict[str, bytes]]:
        names = self._storage.entries(ref.name, str(ref.version))
        manifest, files = verified_files(self._place(ref), names, self._reader(ref))
        parse_files(self._place(ref), manifest, files)
        return manifest, files

    def _newest_sound(self, name: str, versions: list[int]) -> int:
        problems = []
        for version in reversed(versions):
            try:
                self._manifest(Ref(name, version))
            except StorageError:
                # It may be sound: an older one must not pass for the newest because the storage failed.
                raise
            except BundleError as error:
                problems.append(str(error))
            else:
                return version
        raise BundleError(f"no version of {name!r} has a sound manifest. The newest: {problems[0]}")

    def _pointers(self, name: str) -> dict[str, int | BundleError]:
        """Return where the aliases of a model point, or why that cannot be read: one harms no other."""
        found: dict[str, int | BundleError] = {}
        for alias in sorted(filter(is_name, self._storage.entries(check_name(name), _ALIASES))):
            try:
                found[alias] = self._alias(name, alias)
            except NotFound:
                continue  # it was removed meanwhile
            except BundleError as error:
                found[alias] = error
        return found

    def _alias(self, name: str, alias: str) -> int:
        place = self._storage.place(name, _ALIASES, alias)
        try:
            pointer = _POINTER.fullmatch(self._storage.read(name, _ALIASES, alias, limit=16))
        except FileNotFoundError:
            known = [LATEST, *self._storage.entries(name, _ALIASES)]
            raise NotFound(f"model {name!r} has no alias {alias!r}.{nearest(alias, known)}") from None
        except OSError as error:
            raise failure(f"read {place}", error) from error
        if pointer is None:
            raise BundleError(
                f"alias {alias!r} of model {name!r} cannot be read: {place} does not hold a version number. "
                "Set the alias again, or remove it."
            )
        return int(pointer[1])


def _vanishing_directory(owner: object) -> Path:
    """Return a new temporary folder that is deleted with `owner`, at the latest with the process."""
    path = tempfile.mkdtemp(prefix="fingan-")
    weakref.finalize(owner, shutil.rmtree, path, ignore_errors=True)
    return Path(path)
