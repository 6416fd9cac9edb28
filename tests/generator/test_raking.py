"""Corrections that keep marginal shares while candidates are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from fingan.errors import BundleError
from fingan.generator import raking as raking_module
from fingan.generator.raking import Raking, fit_raking
from fingan.generator.resampling import scaled_weights

K = 4


def rows(count: int, rng: np.random.Generator, shift: float = 0.0, share: float = 0.2) -> np.ndarray:
    """A number with gaps that depends on a class, and the class."""
    label = (rng.random(count) < share).astype(np.float32)
    number = rng.normal(size=count) + label + shift
    number[rng.random(count) < 0.1] = np.nan
    return np.stack([number, label], axis=1).astype(np.float32)


def shares(matrix: np.ndarray, weight: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Joint shares of class and bin, the last bin for missing numbers."""
    place = np.where(np.isnan(matrix[:, 0]), cuts.size + 1, np.searchsorted(cuts, matrix[:, 0], "right"))
    cells = matrix[:, 1].astype(int) * (cuts.size + 2) + place
    counts = np.bincount(cells, weight, 2 * (cuts.size + 2))
    return counts / counts.sum()


def test_kept_shares_are_the_real_ones_class_by_class():
    rng = np.random.default_rng(0)
    real, pool = rows(60_000, rng), rows(160_000, rng, shift=0.4)
    log_weight = 0.3 * np.nan_to_num(pool[:, 0]).astype(np.float64).reshape(-1, K)
    raking = fit_raking(real, [False, True], 1, pool, log_weight, 1)
    assert raking.group == 1
    cuts = np.quantile(real[~np.isnan(real[:, 0]), 0], [0.1, 0.5, 0.9])
    wanted = shares(real, np.ones(len(real)), cuts)
    before = shares(pool, softmax(log_weight, axis=1).ravel(), cuts)
    after = shares(pool, softmax(log_weight + raking(pool).reshape(-1, K), axis=1).ravel(), cuts)
    assert np.abs(before - wanted).sum() > 0.3
    assert np.abs(after - wanted).sum() < 0.03


def test_a_rare_class_is_kept_as_often_as_it_is_made_whatever_the_weights_say():
    rng = np.random.default_rng(3)
    real, pool = rows(60_000, rng, share=0.002), rows(160_000, rng, share=0.002)
    against = np.where(pool[:, 1] == 1, -8.0, 0.0).reshape(-1, K)
    raking = fit_raking(real, [False, True], 1, pool, against, 1)
    kept = softmax(against + raking(pool).reshape(-1, K), axis=1).ravel()[pool[:, 1] == 1].sum() / len(
        against
    )
    assert kept == pytest.approx(pool[:, 1].mean(), rel=0.01)


def test_a_class_whose_rows_are_all_kept_for_certain_is_brought_back(monkeypatch: pytest.MonkeyPatch):
    """Such rows hardly heed a correction: one for each sweep would leave them far too many."""
    monkeypatch.setattr(raking_module, "ROUNDS", 2)
    monkeypatch.setattr(raking_module, "PAIR_ROUNDS", 0)
    rng = np.random.default_rng(4)
    real, pool = rows(15_000, rng, share=0.2), rows(153_600, rng, share=0.2)
    eager = np.where(pool[:, 1] == 1, 8.0, 0.0).reshape(-1, 256)
    raking = fit_raking(real, [False, True], 1, pool, eager, 64)

    def share(log_ratio: np.ndarray) -> float:
        kept = np.minimum(scaled_weights(log_ratio, 64), 1.0).ravel()
        return float(kept[pool[:, 1] == 1].sum() / kept.sum())

    assert share(eager) > 0.7
    assert share(eager + raking(pool).reshape(-1, 256)) == pytest.approx(pool[:, 1].mean(), rel=0.01)


def test_rare_gaps_of_a_small_table_are_kept_though_the_weights_are_against_them():
    rng = np.random.default_rng(4)
    real, pool = rows(450, rng), rows(40_000, rng)
    log_weight = np.where(np.isnan(pool[:, 0]), -3.0, 0.0).reshape(-1, K)
    raking = fit_raking(real, [False, True], 1, pool, log_weight, 1)
    kept = softmax(log_weight + raking(pool).reshape(-1, K), axis=1).ravel()
    known = np.isnan(real[:, 0])
    for of_class in (0, 1):
        gaps = known & (real[:, 1] == of_class)
        assert 5 <= gaps.sum() < 50
        made = kept[pool[:, 1] == of_class]
        share = made @ np.isnan(pool[pool[:, 1] == of_class, 0]) / made.sum()
        assert share == pytest.approx(gaps.sum() / (real[:, 1] == of_class).sum(), rel=0.5)


def test_of_few_real_rows_differences_that_are_chance_are_left():
    rng = np.random.default_rng(5)
    real, pool = rows(300, rng), rows(40_000, rng)
    raking = fit_raking(real, [False, True], 1, pool, np.zeros((len(pool) // K, K)), 1)
    # Corrected to the full, the cells would differ by .2 on average.
    assert (raking.tables[0] == 0).mean() > 0.8
    assert np.abs(raking.tables[0]).mean() < 0.1


def test_without_a_grouping_column_every_column_is_raked_by_itself():
    rng = np.random.default_rng(1)
    real = rng.integers(0, 30, (15_000, 2)).astype(np.float32)
    raking = fit_raking(real, [True, False], None, real, np.zeros((3750, K)), 1)
    assert [table.shape[0] for table in raking.tables] == [1, 1]


def test_what_cannot_be_counted_is_left_alone():
    real = np.array([[np.nan, 0.0]] * 1000 + [[1.0, 1.0]] * 3, dtype=np.float32)
    pool = np.array([[np.nan, 0.0]] * 600 + [[2.0, 1.0]] * 400, dtype=np.float32)
    raking = fit_raking(real, [False, True], None, pool, np.zeros((250, K)), 1)
    # Class 1 has 3 real rows: too few to say how many there shall be.
    assert raking.tables[1][0, 1] == 0.0
    assert np.isfinite(raking(pool)).all()
    assert np.isfinite(raking(np.array([[-9.0, 7.0]], dtype=np.float32))).all()


def test_arrays_survive():
    rng = np.random.default_rng(2)
    real = rows(3000, rng)
    raking = fit_raking(real, [False, True], 1, rows(4000, rng, 0.5), np.zeros((1000, K)), 1)
    again = Raking.from_arrays(raking.arrays(), 2, raking.group)
    assert np.array_equal(again(real), raking(real))


@pytest.mark.parametrize(
    ("arrays", "group"),
    [
        ({"table.0": np.zeros((1, 2))}, None),
        ({"cuts.0": np.zeros((2, 2), np.float32)}, None),
        ({}, 2),
        ({}, -1),
        ({}, 1),
    ],
)
def test_corrections_that_do_not_fit_are_refused(arrays, group):
    real = rows(3000, np.random.default_rng(2))
    raking = fit_raking(real, [False, True], None, real[:2000], np.zeros((500, K)), 1)
    with pytest.raises(BundleError, match=r"not one correction for each bin|is not there"):
        Raking.from_arrays(raking.arrays() | arrays, 2, group)
