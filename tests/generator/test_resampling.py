"""Which candidates of a group are kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingan.generator.resampling import GROUP, chosen, scaled_weights
from fingan.types import Float64


def inclusions(log_ratio: Float64, kept: int) -> Float64:
    found: Float64 = np.minimum(scaled_weights(log_ratio, kept), 1.0)
    return found


def test_candidates_are_kept_in_proportion_to_their_ratios():
    groups = 100_000
    log_ratio = np.log(np.tile([1.0, 2.0, 3.0, 4.0, 6.0], (groups, 1))) + 700.0
    kept = chosen(log_ratio, (np.arange(groups) + 0.5) / groups, 2)
    counts = np.bincount(kept.ravel(), minlength=5)
    assert counts / groups == pytest.approx([1 / 8, 2 / 8, 3 / 8, 4 / 8, 6 / 8], abs=1e-4)


def test_what_is_worth_more_than_a_place_has_one_and_the_others_share_the_rest():
    found = inclusions(np.log([[100.0, 50.0, 2.0, 1.0, 1.0]]), 3)
    assert found[0] == pytest.approx([1.0, 1.0, 0.5, 0.25, 0.25])


@settings(max_examples=60)
@given(
    st.integers(1, 12),
    st.integers(1, 40),
    st.sampled_from([0.0, 1.0, 30.0, 1000.0]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.3, 1 - 2**-53]),
)
def test_every_group_keeps_as_many_different_ones_as_it_shall(kept, more, spread, seed, draw):
    log_ratio = np.random.default_rng(seed).normal(scale=spread, size=(7, kept + more))
    found = chosen(log_ratio, np.full(7, draw), kept)
    assert found.shape == (7, kept)
    assert (np.diff(found, axis=1) > 0).all()
    assert found.min() >= 0
    assert found.max() < kept + more
    assert inclusions(log_ratio, kept).sum(axis=1) == pytest.approx(np.full(7, kept))


def test_a_group_is_chosen_by_itself():
    rng = np.random.default_rng(0)
    log_ratio, uniform = rng.normal(scale=3.0, size=(50, 4 * GROUP)), rng.random(50)
    together = chosen(log_ratio, uniform, GROUP)
    for number in range(50):
        own = slice(number, number + 1)
        assert np.array_equal(chosen(log_ratio[own], uniform[own], GROUP), together[own])


@pytest.mark.parametrize("kept", [1, 5, GROUP])
@pytest.mark.parametrize("draw", [0.0, 0.25, 0.25 - 2**-45, 0.5 - 2**-50, 1 - 2**-53])
def test_a_group_is_chosen_by_itself_where_ticks_all_but_meet_borders(kept, draw):
    together = chosen(np.zeros((256, 4 * kept)), np.full(256, draw), kept)
    alone = chosen(np.zeros((1, 4 * kept)), np.array([draw]), kept)
    assert np.array_equal(together, np.tile(alone, (256, 1)))


def test_bad_candidates_are_rarer_than_where_each_row_has_candidates_of_its_own():
    rng = np.random.default_rng(1)
    log_ratio = np.where(rng.random((200, 4 * GROUP)) < 0.6, -6.0, 0.0)
    bad = log_ratio < -1
    kept = chosen(log_ratio, rng.random(200), GROUP)
    of_one = chosen(log_ratio.reshape(-1, 4), rng.random(200 * GROUP), 1)
    assert np.take_along_axis(bad, kept, axis=1).mean() < 0.02
    assert np.take_along_axis(bad.reshape(-1, 4), of_one, axis=1).mean() > 0.1


def test_what_is_not_compared_is_kept_as_often_as_it_is_there():
    groups, nan = 100_000, np.nan
    log_ratio = np.tile([nan, 9.0, 0.0, nan, 0.0, 0.0, 0.0, 0.0], (groups, 1))
    assert inclusions(log_ratio[:1], 4)[0] == pytest.approx([0.5, 1.0, 0.4, 0.5, 0.4, 0.4, 0.4, 0.4])
    kept = chosen(log_ratio, (np.arange(groups) + 0.5) / groups, 4)
    counts = np.bincount(kept.ravel(), minlength=8)
    assert counts / groups == pytest.approx([0.5, 1.0, 0.4, 0.5, 0.4, 0.4, 0.4, 0.4], abs=1e-4)


@settings(max_examples=60)
@given(st.integers(1, 12), st.integers(1, 40), st.floats(0.0, 1.0), st.integers(0, 2**32 - 1))
def test_a_group_is_full_whatever_is_not_compared(kept, more, share, seed):
    rng = np.random.default_rng(seed)
    log_ratio = rng.normal(scale=5.0, size=(9, kept + more))
    log_ratio[rng.random(log_ratio.shape) < share] = np.nan
    log_ratio[0] = np.nan
    assert inclusions(log_ratio, kept).sum(axis=1) == pytest.approx(np.full(9, kept))
    found = chosen(log_ratio, rng.random(9), kept)
    assert (np.diff(found, axis=1) > 0).all()
    assert found.max() < kept + more
