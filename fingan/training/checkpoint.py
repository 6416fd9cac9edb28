"""Checkpoints: the state of a run as safetensors and JSON, whole or absent.

Each checkpoint is a directory with a manifest of sha256 sums, written beside its final name,
flushed, and renamed. The newest one that matches its manifest wins.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import secrets
import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from fingan.errors import CheckpointCorrupt
from fingan.files import FileEntry, atomic_directory, check_manifest, manifest_of, remove_temporaries
from fingan.training.state import Progress, Tensors, TrainState

STATE = "state.safetensors"
PROGRESS = "progress.json"
MANIFEST = "manifest.json"
log = logging.getLogger(__name__)


def save_checkpoint(folder: Path, state: TrainState, keep: int) -> Path:
    """Write the state as `folder/step-…` and remove what is superseded.

    That is all but the newest `keep`, and any that lies at or ahead of this step: it failed
    its manifest, or training went back behind it. Only one process may write to a folder.

    Raises:
        OSError: the device is full or not writable; earlier checkpoints are untouched.
    """
    name = f"step-{state.progress.step:09d}"
    path = folder / name
    if path.exists():
        # The old one stays until the new one is whole.
        path = folder / f"{name}-{secrets.token_hex(4)}"
    if folder.is_dir():
        remove_temporaries(folder)
    with atomic_directory(path) as draft:
        _write_tensors(draft / STATE, state.tensors())
        (draft / PROGRESS).write_text(json.dumps(dataclasses.asdict(state.progress)), encoding="utf-8")
        entries = {file: dataclasses.asdict(entry) for file, entry in manifest_of(draft).items()}
        (draft / MANIFEST).write_text(json.dumps(entries), encoding="utf-8")
    others = [p for p in list_checkpoints(folder) if p != path]
    older = [p for p in others if p.name < name]
    for old in [p for p in others if p.name >= name] + older[: max(0, len(older) - keep + 1)]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def _write_tensors(path: Path, tensors: Tensors) -> None:
    try:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, path)
    except SafetensorError as error:
        size = sum(v.nbytes for v in tensors.values())
        raise OSError(f"cannot write {path} ({size:,} bytes): {error}") from error


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, oldest first."""
    return sorted(folder.glob("step-*")) if folder.is_dir() else []


def step_of(path: Path) -> int:
    """Return the step at which a checkpoint was taken, by its name."""
    return int(path.name.split("-")[1])


def verify_checkpoint(path: Path) -> None:
    """Compare a checkpoint with its manifest.

    Raises:
        CheckpointCorrupt: a file is missing, extra or altered; the message names it.
    """
    try:
        document = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        entries = {name: FileEntry(**entry) for name, entry in document.items()}
        problems = check_manifest(path, entries)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointCorrupt(f"checkpoint {path} has no readable {MANIFEST}: {error}") from error
    if problems:
        raise CheckpointCorrupt(f"checkpoint {path} is torn: {'; '.join(problems)}")


def load_checkpoint(path: Path, state: TrainState) -> None:
    """Put a checkpoint's values into `state`, in place.

    Raises:
        CheckpointCorrupt: it fails its manifest or belongs to another architecture; in the
            latter case `state` may hold a part of it.
    """
    verify_checkpoint(path)
    try:
        state.load_tensors(load_file(path / STATE))
        state.progress = Progress(**json.loads((path / PROGRESS).read_text(encoding="utf-8")))
    except (SafetensorError, OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointCorrupt(f"checkpoint {path} does not fit this configuration: {error}") from error


def load_newest(folder: Path, state: TrainState) -> tuple[Path | None, list[str]]:
    """Load the newest valid checkpoint; warn of newer ones that are not valid.

    Returns:
        Its path (None when the folder has no checkpoint at all) and what was wrong with newer ones.

    Raises:
        CheckpointCorrupt: there are checkpoints and none is valid.
    """
    problems: list[str] = []
    for path in reversed(list_checkpoints(folder)):
        try:
            load_checkpoint(path, state)
        except CheckpointCorrupt as error:
            problems.append(str(error))
            log.warning("%s; trying the one before", error)
            continue
        return path, problems
    if problems:
        raise CheckpointCorrupt(
            f"no checkpoint in {folder} is valid: {problems[0]}; delete the folder to start from scratch"
        )
    return None, problems
