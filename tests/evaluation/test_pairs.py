"""Trend error: by hand, against NumPy, and its blind spots."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats.contingency import association

from fingan.evaluation import intervals
from fingan.evaluation.frame import Column, Frame
from fingan.evaluation.intervals import GROUPS
from fingan.evaluation.pairs import bin_codes, cramers_v, missing_pattern_errors, pair_errors
from tests.evaluation.tables import mixed, permuted, read


def test_numbers_by_half_the_difference_of_correlations():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 500))
    tables = [pa.table({"x": x, "y": x + y}), pa.table({"x": x, "y": x - 2 * y})]
    found = pair_errors(*read(*tables))
    rho = [np.corrcoef(t["x"], t["y"])[0, 1] for t in tables]
    assert found.errors[0, 0, 1] == pytest.approx(abs(rho[0] - rho[1]) / 2)
    assert found.strength[0, 1] == pytest.approx(abs(rho[0]))
    assert found.strong[0, 1]


def test_categories_by_total_variation_of_contingency_tables():
    real, fake = read(
        pa.table({"a": ["u", "u", "v", "v"], "b": ["p", "q", "p", "q"]}),
        pa.table({"a": ["u", "u", "v", "v"], "b": ["p", "p", "q", "q"]}),
    )
    assert pair_errors(real, fake).means()[0] == pytest.approx(0.5)


def test_mixed_pairs_after_ten_equal_width_bins_of_the_real_table():
    x = np.arange(20.0)
    side = np.where(x < 10, "low", "high")
    real, fake = read(pa.table({"x": x, "c": side}), pa.table({"x": x, "c": side[::-1]}))
    found = pair_errors(real, fake)
    assert found.means()[0] == pytest.approx(1.0)
    assert found.strength[0, 1] > 0.5


def test_bins_are_numpy_digitize_over_histogram_edges():
    real, fake = read(
        pa.table({"x": np.array([0.0, 4, 10, 5])}), pa.table({"x": pa.array([-1.0, 10.0, 11.0, None])})
    )
    assert list(bin_codes(real.columns[0], real.columns[0])) == [2, 6, 12, 7]
    assert list(bin_codes(fake.columns[0], real.columns[0])) == [1, 12, 12, 0]


def test_own_bins_charge_for_a_missed_extreme_and_shared_bins_do_not():
    rng = np.random.default_rng(1)
    x = rng.random(2000)
    c = np.where(x > 0.5, "a", "b")
    stretched = np.append(x[:-1], 3.0)
    real, fake = read(pa.table({"x": x, "c": c}), pa.table({"x": stretched, "c": c}))
    assert pair_errors(real, fake, "shared").means()[0] < 0.01
    assert pair_errors(real, fake, "own").means()[0] > 0.5


def test_pearson_skips_rows_where_either_is_missing():
    x = pa.array([1.0, 2, 3, 4, None, 100])
    y = pa.array([2.0, 1, 4, 3, 50, None])
    real, fake = read(pa.table({"x": x, "y": y}), pa.table({"x": x, "y": pa.array([1.0, 1, 1, 1, 1, 1])}))
    found = pair_errors(real, fake)
    assert found.strength[0, 1] == pytest.approx(np.corrcoef([1, 2, 3, 4], [2, 1, 4, 3])[0, 1])
    # A column without variance has correlation 0.
    assert found.errors[0, 0, 1] == pytest.approx(found.strength[0, 1] / 2)


def test_permuted_columns_keep_shape_but_lose_the_strong_pairs():
    table = mixed(1500)
    real, fake, same = read(table, permuted(table), table)
    broken, kept = pair_errors(real, fake, seed=0), pair_errors(real, same, seed=0)
    assert broken.means(strong=True)[0] > 0.2
    assert kept.means()[0] == pytest.approx(0, abs=1e-12)
    assert broken.errors.shape[0] == GROUPS + 1
    assert np.array_equal(broken.errors, broken.errors.transpose(0, 2, 1))


def test_leaving_a_group_out_equals_counting_the_other_rows():
    table, other = mixed(200, missing=0.1), mixed(200, seed=5, missing=0.1)
    real, fake = read(table, other)
    found = pair_errors(real, fake, seed=3)
    keep = [intervals.groups(200, 3, side) != 0 for side in ("real", "synthetic")]
    part = [f.take(np.flatnonzero(k)) for f, k in zip((real, fake), keep, strict=True)]
    numbers = [i for i, c in enumerate(real.columns) if c.numeric]
    again = pair_errors(*part).errors[0]
    assert found.errors[1][np.ix_(numbers, numbers)] == pytest.approx(again[np.ix_(numbers, numbers)])
    codes = [i for i, c in enumerate(real.columns) if not c.numeric]
    assert found.errors[1][np.ix_(codes, codes)] == pytest.approx(again[np.ix_(codes, codes)])


def test_wide_categories_stay_sparse():
    rng = np.random.default_rng(0)
    names = [f"m{i}" for i in range(3000)]
    table = pa.table({c: rng.choice(names, 4000) for c in ("a", "b")})
    found = pair_errors(*read(table, permuted(table)), seed=0)
    assert found.means()[0] > 0.9
    assert found.strength[0, 1] < 0.1


def test_memory_grows_with_the_cells_that_are_filled_not_with_those_there_could_be():
    rng = np.random.default_rng(0)
    levels = ("a level",) * 10**6
    codes = [rng.integers(0, 10**6, 100) for _ in range(2)]
    columns = (Column(name, "category", None, c, levels) for name, c in zip("ab", codes, strict=True))
    table = Frame(tuple(columns), 100)
    assert pair_errors(table, table).means()[0] == 0


def test_cramers_v_agrees_with_scipy_on_many_rows_and_corrects_on_few():
    counts = np.array([[400.0, 100], [150, 350]]) * 100
    cells = np.arange(4)
    expected = association(counts.astype(int), method="cramer")
    assert cramers_v(cells // 2, cells % 2, counts.ravel()) == pytest.approx(expected, abs=1e-3)
    assert cramers_v(cells // 2, cells % 2, np.array([3.0, 2, 2, 3])) == 0
    assert cramers_v(np.zeros(2, int), np.arange(2), np.array([5.0, 5])) == 0


def test_missing_patterns_see_what_missingness_depends_on():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3000))
    dependent = pa.table({"x": x, "y": pa.array(y, mask=x > 0.8)})
    blind = pa.table({"x": x, "y": pa.array(y, mask=rng.permutation(x > 0.8))})
    real, same, fake = read(dependent, dependent, blind)
    assert missing_pattern_errors(real, same)[0] == 0
    assert missing_pattern_errors(real, fake, seed=0)[0] > 0.2
    whole, other = read(pa.table({"x": x, "y": y}), pa.table({"x": x, "y": y}))
    assert missing_pattern_errors(whole, other) is None


def test_a_table_of_categories_only():
    table = pa.table({"a": ["x", "y"] * 40, "b": ["p", "p", "q", "q"] * 20})
    assert pair_errors(*read(table, table)).means().tolist() == [0]
    assert pair_errors(*read(table, table), seed=0).means().shape == (GROUPS + 1,)
