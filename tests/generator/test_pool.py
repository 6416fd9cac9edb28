"""Candidates of which one in each group is kept."""

from __future__ import annotations

import numpy as np
import pytest

from fingan.generator.pool import Pool
from fingan.generator.resampling import scaled_weights
from fingan.types import Float64


def kept_of(log_weight: Float64, kept: int) -> Float64:
    found: Float64 = np.minimum(scaled_weights(log_weight, kept), 1.0)
    return found


@pytest.mark.parametrize(("candidates", "kept"), [(40, 10), (256, 64)])
def test_moves_add_up_to_those_of_the_log_weights(candidates, kept):
    rng = np.random.default_rng(0)
    log_weight, cells = rng.normal(scale=2.0, size=(500, candidates)), rng.integers(0, 5, 500 * candidates)
    steps = rng.normal(size=(3, 5))
    pool = Pool(log_weight, kept)
    assert pool.counts(cells, 7) == pytest.approx(np.bincount(cells, kept_of(log_weight, kept).ravel(), 7))
    for step in steps:
        pool.move(cells, step)
    for _ in range(20):  # settles
        pool.move(cells, np.zeros(5))
    moved = log_weight + steps.sum(axis=0)[cells].reshape(log_weight.shape)
    wanted = np.bincount(cells, kept_of(moved, kept).ravel(), 7)
    assert pool.counts(cells, 7) == pytest.approx(wanted, rel=1e-3)
    assert pool.counts(cells, 7).sum() == pytest.approx(500 * kept, rel=1e-3)
