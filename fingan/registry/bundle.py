"""A bundle: the deployable artefact, one flat folder of safetensors, JSON and Markdown.

    manifest.json            size and SHA-256 of every file, type and shape of every tensor
    generator.safetensors    a group of tensors: `tensors["generator"]`
    encoder.json             a document: `documents["encoder"]`
    MODEL_CARD.md            a text document: `documents["MODEL_CARD.md"]`

Reading executes nothing (no pickle) and trusts nothing: each file is read once, in full, and
what is parsed are the very bytes whose hash was checked. The manifest proves that a bundle is
whole and unaltered since it was written; it does not prove who wrote it, so take bundles only
from registries that you trust.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from pydantic import ValidationError
from safetensors import SafetensorError

from fingan.errors import BundleError, NotFound, nearest
from fingan.files import FileEntry, atomic_directory, open_regular, write_new
from fingan.registry.failures import broken, explained, unreadable
from fingan.registry.manifest import (
    MANIFEST,
    MANIFEST_LIMIT,
    Manifest,
    TensorEntry,
    dump_json,
    load_json,
    make_manifest,
    parse_manifest,
)
from fingan.registry.names import FILE_NAME
from fingan.types import Json

FILE_LIMIT = 4 << 30
"""Largest file of a bundle, in bytes: far above any generator, far below a machine's memory."""
BUNDLE_LIMIT = 2 * FILE_LIMIT
"""Of all files together, for all are held at once."""
FILES_LIMIT = 1_000
_HEADER_LIMIT = 16 << 20
Read = Callable[[str, int], bytes]
"""Reads a file of a bundle by name, at most so many bytes (one more tells that there is more)."""


@dataclass(frozen=True)
class Bundle:
    """A bundle in memory, verified.

    Attributes:
        manifest: what the bundle says of itself.
        documents: JSON objects by stem (`schema`), texts by file name (`MODEL_CARD.md`).
        tensors: arrays by group, then by name.
    """

    manifest: Manifest
    documents: Mapping[str, Json | str]
    tensors: Mapping[str, Mapping[str, np.ndarray]]

    def document(self, name: str) -> Json:
        """Return the JSON document `name`; a BundleError if there is none."""
        content = self.documents.get(name)
        if not isinstance(content, dict):
            raise BundleError(f"this bundle has no {name}.json.{nearest(name, self.documents)}")
        return content

    def group(self, name: str) -> Mapping[str, np.ndarray]:
        """Return the tensors of group `name`; a BundleError if there are none."""
        if name not in self.tensors:
            raise BundleError(f"this bundle has no {name}.safetensors.{nearest(name, self.tensors)}")
        return self.tensors[name]


def write_bundle(
    directory: str | Path,
    documents: Mapping[str, Json | str],
    tensors: Mapping[str, Mapping[str, np.ndarray]],
    fields: Json | None = None,
) -> Manifest:
    """Write a bundle: `directory` appears whole, or not at all.

    Args:
        directory: where; must not exist, or be empty.
        documents: JSON objects by stem, texts by their whole file name (`.md`).
        tensors: by group, then by name: finite, of a fixed-width numeric type, any shape.
        fields: more for the manifest, JSON.

    Raises:
        BundleError: a name, document or tensor that has no place in a bundle, or a failed write.
    """
    groups = {group: _plain_arrays(group, arrays) for group, arrays in tensors.items()}
    files = {_document_file(name, content): _encode(name, content) for name, content in documents.items()}
    for group, arrays in groups.items():
        files[_checked(f"{group}.safetensors")] = safetensors.numpy.save(arrays)
    manifest = make_manifest(files, groups, {} if fields is None else fields)
    with explained(f"write bundle {directory}"), atomic_directory(Path(directory)) as temporary:
        for name, data in files.items():
            write_new(temporary / name, data)
        write_new(temporary / MANIFEST, dump_json(MANIFEST, manifest.model_dump(mode="json")))
    return manifest


def read_bundle(directory: str | Path) -> Bundle:
    """Read a bundle and verify all of it: file set, sizes, hashes, tensor names, types, shapes, finiteness.

    Raises:
        NotFound: there is no such folder.
        BundleError: the bundle is torn or altered; names the file and what differs.
    """
    return parse_files(str(directory), *read_files(Path(directory)))


def read_files(directory: Path) -> tuple[Manifest, dict[str, bytes]]:
    """Return a local bundle's manifest and its verified files, `manifest.json` included."""
    if not directory.is_dir():
        raise NotFound(f"there is no bundle at {directory}: no such folder.")

    def read(name: str, limit: int) -> bytes:
        with open_regular(directory / name) as file:
            return file.read(limit)

    with explained(f"read bundle {directory}"):
        names = [path.name for path in directory.iterdir()]
    return verified_files(str(directory), names, read)


def verified_files(where: str, names: Iterable[str], read: Read) -> tuple[Manifest, dict[str, bytes]]:
    """Read every file of a bundle through `read` and check it against the manifest.

    Args:
        where: the bundle's path or URL, for messages.
        names: everything that lies there.
        read: reads one of them.

    Raises:
        BundleError: a file is missing, extra, unreadable, or not what the manifest says.
    """
    found = set(names)
    manifest, data = read_manifest(where, read)
    for name in sorted(manifest.files.keys() - found):
        raise broken(where, name, "is missing")
    for name in sorted(found - manifest.files.keys() - {MANIFEST}):
        raise broken(where, name, "is not in the manifest")
    files = {MANIFEST: data}
    for name, entry in manifest.files.items():
        files[name] = checked_file(where, name, entry, read)
    return manifest, files


def read_manifest(where: str, read: Read) -> tuple[Manifest, bytes]:
    """Read and check the manifest alone; return it and its bytes."""
    data = _read(where, MANIFEST, MANIFEST_LIMIT, read)
    if len(data) > MANIFEST_LIMIT:
        raise broken(where, MANIFEST, f"is larger than the limit of {MANIFEST_LIMIT:,} bytes")
    manifest = parse_manifest(where, data)
    _check_sizes(where, manifest)
    return manifest, data


def checked_file(where: str, name: str, entry: FileEntry, read: Read) -> bytes:
    """Read one file and compare it with its entry; never more than the manifest says and one byte."""
    data = _read(where, name, entry.size, read)
    difference = entry.difference(FileEntry.of(data))
    if len(data) > entry.size:
        difference = f"has more than the {entry.size:,} bytes of its manifest"
    if difference:
        raise broken(where, name, difference)
    return data


def parse_files(where: str, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
    """Turn verified files into documents and tensors, and check the tensors' content."""
    documents: dict[str, Json | str] = {}
    for name in manifest.files:
        if name.endswith(".json"):
            documents[name.removesuffix(".json")] = load_json(where, name, files[name])
        elif name.endswith(".md"):
            documents[name] = _text(where, name, files[name])
    tensors = {
        group: _tensors(where, f"{group}.safetensors", files[f"{group}.safetensors"], entries)
        for group, entries in manifest.tensors.items()
    }
    return Bundle(manifest, documents, tensors)


def _check_sizes(where: str, manifest: Manifest) -> None:
    """Refuse a manifest by which more would be read than memory holds."""
    for name, entry in manifest.files.items():
        # To `read`, a negative number means all that there is.
        if not 0 <= entry.size <= FILE_LIMIT:
            raise broken(where, name, f"claims {entry.size:,} bytes; the limit is {FILE_LIMIT:,}")
    total = sum(entry.size for entry in manifest.files.values())
    if total > BUNDLE_LIMIT:
        raise broken(where, MANIFEST, f"claims {total:,} bytes in all; the limit is {BUNDLE_LIMIT:,}")
    if len(manifest.files) > FILES_LIMIT:
        raise broken(where, MANIFEST, f"lists {len(manifest.files):,} files; the limit is {FILES_LIMIT:,}")


def _read(where: str, name: str, limit: int, read: Read) -> bytes:
    try:
        return read(name, limit + 1)
    except FileNotFoundError as error:
        raise broken(where, name, "is missing") from error
    except OSError as error:
        raise unreadable(where, name, error) from error


def _tensors(where: str, file: str, data: bytes, entries: Mapping[str, TensorEntry]) -> dict[str, np.ndarray]:
    if int.from_bytes(data[:8], "little") > _HEADER_LIMIT:
        raise broken(where, file, f"has a header beyond the limit of {_HEADER_LIMIT:,} bytes")
    try:
        arrays = safetensors.numpy.load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise broken(where, file, f"is not a safetensors file: {error}") from error
    for name in sorted(arrays.keys() ^ entries.keys()):
        raise broken(where, file, f"and the manifest disagree on whether there is a tensor {name!r}")
    for name, entry in entries.items():
        found = f"{arrays[name].dtype.name}{list(arrays[name].shape)}"
        if found != f"{entry.dtype}{list(entry.shape)}":
            problem = f"holds {name!r} as {found}, the manifest says {entry.dtype}{list(entry.shape)}"
            raise broken(where, file, problem)
        if not _finite(arrays[name]):
            raise broken(where, file, f"holds NaN or infinity in {name!r}")
    return arrays


def _text(where: str, file: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise broken(where, file, f"is not UTF-8 text: {error}") from error


def _plain_arrays(group: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return native, contiguous copies where needed: what safetensors stores without reinterpreting."""
    plain: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if name == "__metadata__":
            raise BundleError(f"tensor {group}/{name!r} has a reserved name. Choose another.")
        plain[name] = np.require(array, dtype=array.dtype.newbyteorder("="), requirements="C")
        try:
            TensorEntry.of(plain[name])
        except ValidationError as error:
            remedy = "Store numbers here and everything else in a document."
            raise BundleError(f"tensor {group}/{name!r} has type {array.dtype}. {remedy}") from error
        if not _finite(plain[name]):
            remedy = "A bundle stores finite numbers only; mend the model first."
            raise BundleError(f"tensor {group}/{name!r} holds NaN or infinity. {remedy}")
    return plain


def _finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array).all())


def _encode(name: str, content: Json | str) -> bytes:
    if not isinstance(content, str):
        return dump_json(f"{name}.json", content)
    try:
        return content.encode()
    except UnicodeEncodeError as error:
        raise BundleError(f"{name} cannot be written as UTF-8: {error}. Replace that character.") from error


def _document_file(name: str, content: Json | str) -> str:
    if not isinstance(content, str):
        return _checked(f"{name}.json")
    if not name.endswith(".md"):
        raise BundleError(f"text document {name!r} must be named like 'MODEL_CARD.md'.")
    return _checked(name)


def _checked(file: str) -> str:
    if re.fullmatch(FILE_NAME, file) is None or file == MANIFEST:
        rule = "letters, digits, '_' and '-', at most 64, and not 'manifest'"
        raise BundleError(f"{file[:80]!r} cannot be a file of a bundle: use {rule}.")
    return file
