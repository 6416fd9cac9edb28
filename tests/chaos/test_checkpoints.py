"""Writers killed at any moment, and every kind of damage: what is loaded is whole, or refused."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fingan.errors import CheckpointCorrupt
from fingan.training import load_newest
from fingan.training.checkpoint import list_checkpoints, save_checkpoint
from fingan.training.state import TrainState
from tests.training.toys import make_run, settings

KILLS = 100
LONGEST_SECONDS = 0.08


def fill(state: TrainState, step: int) -> None:
    """Make every number of the state tell the step, so that a mixture would show."""
    for tensor in state.tensors().values():
        tensor.detach().fill_(step)
    state.progress.step = step


def is_whole(state: TrainState) -> bool:
    return all(bool((t == state.progress.step).all()) for t in state.tensors().values())


def write_until_killed(folder: Path, state: TrainState, first: int) -> int:
    """Start a process that writes one checkpoint after the other; return its number."""
    child = os.fork()
    if child:
        return child
    step = first
    while True:
        fill(state, step)
        save_checkpoint(folder, state, keep=3)
        step += 1


def kill_writers(folder: Path, kills: int) -> int:
    """Kill writers at random moments; return how often what was loaded afterwards was not whole."""
    state = make_run(settings()).state
    fill(state, 1)
    save_checkpoint(folder, state, keep=3)
    chance, torn, newest = np.random.default_rng(0), 0, 1
    for _ in range(kills):
        child = write_until_killed(folder, state, newest + 1)
        time.sleep(chance.uniform(0.0, LONGEST_SECONDS))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        _, problems = load_newest(folder, state)
        torn += bool(problems) or not is_whole(state) or state.progress.step < newest
        newest = state.progress.step
    assert newest > kills / 4, "the writers wrote next to nothing; kill them later"
    return torn


def test_no_torn_load_after_100_killed_writers(tmp_path):
    assert kill_writers(tmp_path / "checkpoints", KILLS) == 0


@pytest.mark.chaos
def test_no_torn_load_after_1000_killed_writers(tmp_path):
    assert kill_writers(tmp_path / "checkpoints", 10 * KILLS) == 0


def truncate(path: Path, share: float) -> None:
    os.truncate(path, int(path.stat().st_size * share))


def flip(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    data[min(int(len(data) * share), len(data) - 1)] ^= 1
    path.write_bytes(data)


def zero(path: Path, share: float) -> None:
    data = bytearray(path.read_bytes())
    begin = int(len(data) * share)
    data[begin:] = bytes(len(data) - begin)
    path.write_bytes(data)


def delete(path: Path, share: float) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, flip, zero, delete])
@pytest.mark.parametrize("name", ["state.safetensors", "progress.json", "manifest.json"])
def test_every_damage_is_seen_and_the_one_before_is_taken(
    tmp_path, name, damage: Callable[[Path, float], None]
):
    state = make_run(settings()).state
    for step in (1, 2):
        fill(state, step)
        save_checkpoint(tmp_path / "good", state, keep=3)
    for tenth in range(10):
        folder = tmp_path / f"at {tenth}"
        shutil.copytree(tmp_path / "good", folder)
        newest = list_checkpoints(folder)[-1]
        before = (newest / name).read_bytes()
        damage(newest / name, tenth / 10)
        if (newest / name).exists() and (newest / name).read_bytes() == before:
            continue  # a file whose end was zero already
        path, problems = load_newest(folder, state)
        assert path is not None
        assert path != newest
        assert state.progress.step == 1
        assert is_whole(state)
        assert problems
        damage(path / name, tenth / 10)
        with pytest.raises(CheckpointCorrupt, match="delete the folder"):
            load_newest(folder, state)
