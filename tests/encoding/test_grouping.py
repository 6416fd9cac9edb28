"""Balanced groups of levels by their profiles."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fingan.encoding.grouping import SHRINKAGE, balanced_groups, mean_profiles
from fingan.rng import numpy_generator


@given(st.integers(8, 200), st.integers(0, 99))
def test_groups_hold_every_level_once_and_none_is_empty(levels, seed):
    rng = numpy_generator(seed, "groups")
    counts = rng.integers(1, 1000, levels)
    groups = balanced_groups(rng.normal(size=(levels, 3)), counts, 3)
    assert len(groups) == 8
    assert min(map(len, groups)) >= 1
    np.testing.assert_array_equal(np.sort(np.concatenate(groups)), np.arange(levels))


def test_groups_have_about_equal_mass():
    rng = numpy_generator(0, "mass")
    counts = rng.integers(1, 20, 10_000)
    groups = balanced_groups(rng.normal(size=(10_000, 4)), counts, 6)
    mass = np.array([counts[g].sum() for g in groups]) / counts.sum()
    np.testing.assert_allclose(mass, 1 / 64, rtol=0.1)


def test_equal_features_still_divide():
    groups = balanced_groups(np.zeros((70, 2)), np.ones(70, dtype=np.int64), 6)
    assert sorted(map(len, groups))[0] >= 1


def test_groups_follow_the_profile():
    rng = numpy_generator(0, "profile")
    kind = rng.integers(0, 4, 400)
    centers = rng.normal(size=(4, 6)) * 10
    groups = balanced_groups(centers[kind] + rng.normal(size=(400, 6)), np.ones(400, dtype=np.int64), 5)
    purity = sum(np.bincount(kind[g]).max() for g in groups) / 400
    assert purity > 0.9


def test_means_shrink_towards_the_whole():
    levels = np.array([0] * 100 + [1] * 2 + [-1] * 5)
    profile = np.concatenate([np.zeros(100), np.ones(2), np.full(5, 99.0)]).astype(np.float32)[:, None]
    means = mean_profiles(levels, np.array([100, 2]), profile)
    center = 2 / 102
    np.testing.assert_allclose(means[0, 0], -center * 100 / (100 + SHRINKAGE))
    np.testing.assert_allclose(means[1, 0], 2 * (1 - center) / (2 + SHRINKAGE))
