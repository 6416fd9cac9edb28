"""Columns cut into bins."""

from __future__ import annotations

import numpy as np

from fingan.generator.binning import bin_columns, cut_columns, number_of_bins


def test_numbers_share_the_rows_out_categories_have_a_bin_each_and_missing_values_the_last():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.exponential(size=10_000), rng.integers(0, 4, 10_000)], axis=1).astype(np.float32)
    rows[:500, 0] = np.nan
    cuts = cut_columns(rows, [False, True], 10)
    numbers, ranks = bin_columns(cuts, rows)
    assert [number_of_bins(own) for own in cuts] == [11, 5]
    assert (numbers[:500] == 10).all()
    assert np.bincount(numbers[500:]).min() > 900
    assert np.array_equal(ranks, rows[:, 1])
    # A value that no row has falls into a bin all the same.
    assert [bins[0] for bins in bin_columns(cuts, np.array([[1e9, np.nan]], dtype=np.float32))] == [9, 4]


def test_a_column_without_values_has_one_bin_and_that_of_missing_ones():
    rows = np.full((10, 1), np.nan, dtype=np.float32)
    cuts = cut_columns(rows, [False], 10)
    assert number_of_bins(cuts[0]) == 2
    assert (bin_columns(cuts, rows)[0] == 1).all()
