"""Candidates of which one in each group is kept."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from fingan.generator.pool import Pool


def test_moves_add_up_to_those_of_the_log_weights():
    rng = np.random.default_rng(0)
    log_weight, cells = rng.normal(scale=3.0, size=(500, 4)), rng.integers(0, 6, 2000)
    steps = rng.normal(size=(3, 5))
    pool = Pool(log_weight)
    for step in steps:
        pool.move(cells % 5, step)
    moved = log_weight + steps.sum(axis=0)[cells % 5].reshape(500, 4)
    wanted = np.bincount(cells, softmax(moved, axis=1).ravel(), 7)
    assert pool.counts(cells, 7) == pytest.approx(wanted)
    assert pool.counts(cells, 7).sum() == pytest.approx(500)
