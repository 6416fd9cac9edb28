"""What tests of several processes look at: descendants, Ray's workers, the weights that runs left."""

from __future__ import annotations

import psutil

from fingan.training import TrainResult


def family(process: psutil.Process) -> list[psutil.Process]:
    """Return the living descendants of a process."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def train_workers(process: psutil.Process) -> list[psutil.Process]:
    """Return the Ray Train workers among a process's descendants."""
    return [child for child in family(process) if "RayTrainWorker" in child.name()]


def largest_difference(ours: TrainResult, theirs: TrainResult) -> float:
    """Return by how much two results' weights differ."""
    assert ours.weights.keys() == theirs.weights.keys()
    return max(float((ours.weights[n] - theirs.weights[n]).abs().max()) for n in ours.weights)
