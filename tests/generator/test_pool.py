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


def test_what_is_not_compared_has_no_part():
    rng = np.random.default_rng(1)
    log_weight, cells = rng.normal(scale=2.0, size=(300, 40)), rng.integers(0, 5, 300 * 40)
    log_weight[rng.random(log_weight.shape) < 0.1] = np.nan
    log_weight[0] = np.nan
    there = ~np.isnan(log_weight)
    pool = Pool(log_weight, 10)
    assert pool.made(cells, 5).tolist() == np.bincount(cells[there.ravel()], minlength=5).tolist()
    pool.move(cells, rng.normal(size=5))
    for _ in range(60):  # settles
        pool.move(cells, np.zeros(5))
    kept = pool.kept.reshape(log_weight.shape)
    assert not kept[~there].any()
    assert kept.sum(axis=1) == pytest.approx(there.sum(axis=1) * 10 / 40, rel=1e-3)
