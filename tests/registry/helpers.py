"""A small bundle, and ways to damage it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from fingan.files import manifest_of
from fingan.registry import Manifest, write_bundle
from fingan.registry.manifest import MANIFEST

DOCUMENTS: dict[str, Any] = {
    "schema": {"version": 1, "columns": [{"name": "prêt €", "kind": "number"}]},
    "metrics": {"detection_auc": 0.61},
    "MODEL_CARD.md": "# Demo\n\nLearns nothing, on purpose.\n",
}


def tensors(seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Two groups: the shapes and types that a generator and an encoder store."""
    rng = np.random.default_rng(seed)
    weights = {"blocks.0.weight": rng.normal(size=(8, 4)).astype(np.float32), "scale": np.array(2.5)}
    encoder = {
        "amount/low": np.arange(5, dtype=np.int64),
        "none": np.zeros((0, 3)),
        "flags": np.array([True]),
    }
    return {"generator": weights, "encoder": encoder}


def make_bundle(directory: Path, seed: int = 0) -> Path:
    """Write the small bundle to `directory` and return it."""
    write_bundle(directory, DOCUMENTS, tensors(seed), {"kind": "table", "seed": seed})
    return directory


def edit_manifest(directory: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Edit the manifest and seal it again: an attacker who knows the format."""
    path = directory / MANIFEST
    content = json.loads(path.read_text())
    edit(content)
    with suppress(ValueError):  # what is no manifest any more cannot be sealed
        content["digest"] = Manifest.model_validate_json(json.dumps(content)).sealed().digest
    path.write_text(json.dumps(content))


def forge(directory: Path, file: str, data: bytes) -> None:
    """Replace a file and make the manifest's size and hash match it."""
    (directory / file).write_bytes(data)
    entry = manifest_of(directory)[file]

    def update(content: dict[str, Any]) -> None:
        content["files"][file] = {"size": entry.size, "sha256": entry.sha256}

    edit_manifest(directory, update)


def alter(bundle: Path, group: str, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Alter a tensor and make the manifest match."""
    file = f"{group}.safetensors"
    tensors = safetensors.numpy.load((bundle / file).read_bytes())
    tensors[name] = change(tensors[name])
    forge(bundle, file, safetensors.numpy.save(tensors))


@contextmanager
def unprivileged() -> Iterator[None]:
    """Act as one whom permissions bind: to root they mean nothing, so root is nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)
