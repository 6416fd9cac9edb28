"""Small searches on a small table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fingan.cluster.runs import runs_root
from fingan.cluster.tuning import Listener, Tuned, tune
from fingan.cluster.tuning.ledger import SearchFolder, place
from fingan.config import Config
from tests.tiny import arrow, config

SPACE = (
    "tune.space={training.lr: {low: 0.0005, high: 0.01, log: true}, training.batch_size: [32, 64, 128], "
    "network.width: [8, 16]}"
)
SMALL = (
    SPACE,
    "tune.trials=4",
    "tune.trial_steps=40",
    "tune.finalists=2",
    "tune.seeds=2",
    "tune.concurrency=2",
    "compute.precision=fp64",
)


def settings(*overrides: str) -> Config:
    """Return a configuration under which a search takes seconds."""
    return config(*SMALL, *overrides)


def search(folder: Path, *overrides: str, **given: Any) -> Tuned:
    """Search with small trials; publish as `m`."""
    return tune(arrow(), settings(*overrides), folder, "m", **given)


def folder_of(registry: Path) -> SearchFolder:
    """Return the newest search."""
    found = sorted(p for p in place(runs_root(registry), "m").iterdir() if p.is_dir())
    return SearchFolder(found[-1])


__all__ = ["Listener", "folder_of", "search", "settings"]
