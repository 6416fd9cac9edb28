"""`manifest.json`: what a bundle holds, byte for byte."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fingan import __version__
from fingan.errors import BundleError
from fingan.files import FileEntry
from fingan.registry.failures import broken
from fingan.registry.names import FILE_NAME
from fingan.types import Json

MANIFEST = "manifest.json"
MANIFEST_LIMIT = 16 << 20
FORMAT = 1

FileName = Annotated[str, Field(pattern=FILE_NAME)]
DType = Literal[
    "float16", "float32", "float64", "int8", "int16", "int32", "int64",
    "uint8", "uint16", "uint32", "uint64", "bool",
]  # fmt: skip


class TensorEntry(BaseModel):
    """What the manifest says of one tensor."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dtype: DType
    shape: tuple[Annotated[int, Field(ge=0)], ...]

    @classmethod
    def of(cls, array: np.ndarray) -> TensorEntry:
        """Return the entry of `array`; a ValidationError if its type has no place in a bundle."""
        return cls.model_validate({"dtype": array.dtype.name, "shape": array.shape})


class Manifest(BaseModel):
    """The content of `manifest.json`.

    Attributes:
        format: version of the bundle's layout.
        fingan: version of the library that wrote it.
        created: when, ISO 8601, UTC.
        files: size and SHA-256 of every file but the manifest.
        tensors: type and shape of every tensor, by group (`generator` is `generator.safetensors`).
        fields: what the writer wished to add, such as the kind of model.
        digest: SHA-256 of all of the above; it names the bundle's content.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: int
    fingan: str
    created: str
    files: dict[FileName, FileEntry]
    tensors: dict[str, dict[str, TensorEntry]]
    fields: Json
    digest: str = ""

    def sealed(self) -> Manifest:
        """Return this manifest with its digest filled in."""
        canonical = dump_json(MANIFEST, self.model_dump(exclude={"digest"}), sort_keys=True)
        return self.model_copy(update={"digest": hashlib.sha256(canonical).hexdigest()})


def make_manifest(
    files: Mapping[str, bytes], tensors: Mapping[str, Mapping[str, np.ndarray]], fields: Json
) -> Manifest:
    """Return the sealed manifest of a bundle that is about to be written."""
    return Manifest(
        format=FORMAT,
        fingan=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        files={name: FileEntry.of(data) for name, data in files.items()},
        tensors={
            group: {name: TensorEntry.of(array) for name, array in arrays.items()}
            for group, arrays in tensors.items()
        },
        fields=fields,
    ).sealed()


def parse_manifest(where: str, data: bytes) -> Manifest:
    """Read `manifest.json`.

    Args:
        where: the bundle's path or URL, for the message.
        data: the file's content.

    Raises:
        BundleError: it is not a manifest, of another format, or not what its digest says.
    """
    content = load_json(where, MANIFEST, data)
    written = content.get("format")
    if type(written) is int and written != FORMAT:
        problem = f"has format {written}, this fingan reads format {FORMAT}"
        raise broken(where, MANIFEST, problem, "Read it with the fingan that wrote it, or upgrade this one.")
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise broken(where, MANIFEST, f"is not a bundle's manifest: {problem}") from error
    if manifest.sealed().digest != manifest.digest:
        raise broken(where, MANIFEST, "has been altered: its content does not match its digest")
    groups = {f"{group}.safetensors" for group in manifest.tensors}
    for name in groups.symmetric_difference(n for n in manifest.files if n.endswith(".safetensors")):
        raise broken(where, MANIFEST, f"does not list {name!r} both as a file and as tensors")
    return manifest


def dump_json(file: str, content: Any, *, sort_keys: bool = False) -> bytes:
    """Return `content` as UTF-8 JSON.

    Raises:
        BundleError: it holds NaN, infinity, or something that JSON cannot express.
    """
    try:
        return json.dumps(
            content, ensure_ascii=False, allow_nan=False, indent=1, sort_keys=sort_keys
        ).encode()
    except (ValueError, TypeError, RecursionError) as error:
        remedy = "Use plain dict, list, str, int, finite float, bool and None."
        raise BundleError(f"{file} cannot be written as JSON: {error}. {remedy}") from error


def load_json(where: str, file: str, data: bytes) -> Json:
    """Read a JSON object strictly: UTF-8, no NaN or infinity, no key twice.

    Raises:
        BundleError: anything else.
    """
    try:
        content = json.loads(
            data.decode(), object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        raise broken(where, file, f"is not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise broken(where, file, f"holds a {type(content).__name__}, not a JSON object")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return content


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
