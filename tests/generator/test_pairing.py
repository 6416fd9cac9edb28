"""Corrections that bring the joint shares of two columns to the real rows'."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from fingan.errors import BundleError
from fingan.generator import pairing
from fingan.generator.pairing import PairRaking, PairSweep
from fingan.generator.pool import Pool
from fingan.generator.raking import fit_raking
from fingan.types import Float32

K = 4


def rows(count: int, seed: int, correlation: float = 0.0) -> Float32:
    """Two numbers, a category that hangs on the second, and a number by itself."""
    rng = np.random.default_rng(seed)
    first, noise, alone = rng.normal(size=(3, count))
    second = correlation * first + np.sqrt(1 - correlation**2) * noise
    second[rng.random(count) < 0.05] = np.nan
    kind = (np.nan_to_num(second) + rng.normal(size=count) > 0).astype(float)
    return np.stack([first, second, kind, alone], axis=1).astype(np.float32)


CATEGORICAL = [False, False, True, False]


def correlation_of_kept(made: Float32, log_weight: np.ndarray) -> float:
    weight = softmax(log_weight, axis=1).ravel()
    both = ~np.isnan(made).any(axis=1)
    covariance = np.cov(made[both, 0], made[both, 1], aweights=weight[both])
    return float(covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]))


def sweeps(real: Float32, made: Float32, group: int | None = None, number: int = 4) -> PairRaking:
    pool = Pool(np.zeros((len(made) // K, K)), 1)
    pairs = PairSweep(real, CATEGORICAL, group, made, pool)
    for _ in range(number):
        pairs(pool)
    return pairs.result()


def test_what_two_columns_have_in_common_is_restored_and_each_by_itself_is_kept():
    real, made = rows(30_000, 0, 0.6), rows(160_000, 1, 0.3)
    nothing = np.zeros((40_000, K))
    raking = fit_raking(real, CATEGORICAL, None, made, nothing, 1)
    fresh = rows(160_000, 2, 0.3)
    kept = raking(fresh).reshape(-1, K)
    assert correlation_of_kept(fresh, nothing) == pytest.approx(0.3, abs=0.02)
    assert correlation_of_kept(fresh, kept) > 0.45
    weight = softmax(kept, axis=1).ravel()
    for place in (0, 3):
        shares = np.histogram(
            fresh[:, place], np.quantile(real[:, place], np.arange(0, 1.01, 0.1)), weights=weight
        )
        assert shares[0] / len(kept) == pytest.approx(0.1, abs=0.005)


def test_differences_that_are_chance_are_left():
    # Both are drawn from one law: 30,000 rows stray, and nothing is to be corrected but by accident.
    raking = sweeps(rows(30_000, 0, 0.6), rows(160_000, 1, 0.6))
    assert np.abs(raking.table).max(initial=0.0) < 0.3
    assert np.mean(raking.table != 0) < 0.5


def test_pairs_with_the_grouping_column_are_left_to_the_columns():
    raking = sweeps(rows(30_000, 0, 0.6), rows(160_000, 1, 0.0), group=2)
    assert (0, 1) in raking.pairs
    assert all(2 not in pair for pair in raking.pairs)


def test_cells_of_a_few_rows_are_left():
    few = sweeps(rows(2000, 0, 0.9), rows(160_000, 1, 0.0))
    assert (0, 1) in few.pairs
    assert (few.table == 0).mean() > 0.5
    assert sweeps(rows(40, 0, 0.9), rows(1600, 1, 0.0)).arrays() == {}


def test_of_many_pairs_those_most_off_are_corrected(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pairing, "MOST_PAIRS", 1)
    real, made = rows(30_000, 0, 0.6), rows(160_000, 1, 0.0)
    assert sweeps(real, made).pairs == ((0, 1),)
    # Whatever order the real rows lie in.
    assert sweeps(real[np.argsort(real[:, 0])], made).pairs == ((0, 1),)


def test_the_pairs_most_off_are_those_of_kept_rows(monkeypatch: pytest.MonkeyPatch):
    """What the choice has mended needs no correction, however far off the candidates are."""
    monkeypatch.setattr(pairing, "MOST_PAIRS", 1)
    real, made = rows(30_000, 0, 0.6), rows(160_000, 1, 0.3)
    rng = np.random.default_rng(3)
    # A fifth number that hangs a little on the fourth, which candidates do not have.
    real = np.column_stack([real, rng.normal(size=len(real)) + 0.15 * real[:, 3]]).astype(np.float32)
    made = np.column_stack([made, rng.normal(size=len(made))]).astype(np.float32)
    flags = [*CATEGORICAL, False]

    def most_off(log_weight: np.ndarray) -> tuple[tuple[int, int], ...]:
        pool = Pool(log_weight.reshape(-1, K), 1)
        pairs = PairSweep(real, flags, 2, made, pool)
        pairs(pool)
        return pairs.result().pairs

    first, second = made[:, 0].astype(float), np.nan_to_num(made[:, 1].astype(float))

    def log_density(correlation: float) -> np.ndarray:
        rest = 1 - correlation**2
        return -(first**2 - 2 * correlation * first * second + second**2) / (2 * rest) - np.log(rest) / 2

    assert most_off(np.zeros(len(made))) == ((0, 1),)
    assert most_off(log_density(0.6) - log_density(0.3)) == ((3, 4),)


def test_arrays_survive_and_what_does_not_fit_the_columns_is_refused():
    made = rows(160_000, 1, 0.0)
    raking = sweeps(rows(30_000, 0, 0.6), made)
    arrays = raking.arrays()
    assert np.array_equal(PairRaking.from_arrays(arrays, 4)(made), raking(made))
    assert not PairRaking.from_arrays({}, 4)(made).any()
    elsewhere = arrays["pairs"].copy()
    elsewhere[0, 1] = 4
    with pytest.raises(BundleError, match="columns that the table does not have"):
        PairRaking.from_arrays(arrays | {"pairs": elsewhere}, 4)
    with pytest.raises(BundleError, match="one correction for each cell"):
        PairRaking.from_arrays(arrays | {"pairs.table": arrays["pairs.table"][1:]}, 4)
