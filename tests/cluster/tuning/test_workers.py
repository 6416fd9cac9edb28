"""Trials of several workers."""

from __future__ import annotations

import pytest

from tests.cluster.tuning.searches import search

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.mark.slow
def test_trials_of_two_workers_end_early_and_come_to_their_end(tmp_path):
    kept = ("compute.workers=2", "compute.threads=1", "tune.concurrency=1", "tune.trials=3")
    first = [{"training.lr": 0.0005, "training.batch_size": 128, "network.width": 8}]
    tuned = search(tmp_path, *kept, "tune.finalists=1", "tune.trial_steps=120", first=first)
    assert tuned.version == 1
    assert all(t.workers == 2 for t in tuned.record.trials)
    assert {t.status for t in tuned.record.trials} <= {"finished", "pruned"}
    finished = [t for t in tuned.record.trials if t.status == "finished"]
    assert all(t.steps == 120 for t in finished)
