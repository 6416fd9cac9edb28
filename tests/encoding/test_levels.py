"""Few distinct numbers as codes."""

from __future__ import annotations

import numpy as np
import pytest

from fingan.encoding.levels import NumericLevels
from fingan.errors import DataError

NONE = np.zeros(3, dtype=bool)


def test_values_and_null_have_a_code_each():
    levels = NumericLevels(np.array([-2, 0, 7]), np.array([1, 2, 5]), 2)
    spec = levels.spec("x")
    assert spec.width == 4
    np.testing.assert_allclose(spec.frequencies, [0.1, 0.2, 0.5, 0.2])
    codes = levels.codes(np.array([7, 0, -2]), np.array([False, True, False]))
    assert codes.tolist() == [2, 3, 0]
    values, missing = levels.decode(codes)
    assert values[~missing].tolist() == [7, -2]
    assert missing.tolist() == [False, True, False]


def test_other_values_take_the_nearest_code():
    levels = NumericLevels(np.array([0, 10, 2**63 - 1]), np.array([1, 1, 1]), 0)
    assert levels.codes(np.array([4, 6, -(2**63)]), NONE).tolist() == [0, 1, 0]


def test_neighbours_beyond_2_53_are_told_apart():
    values = 2**53 + np.arange(3)
    levels = NumericLevels(values, np.ones(3, dtype=np.int64), 0)
    assert levels.codes(values, NONE).tolist() == [0, 1, 2]


def test_null_is_refused_where_training_had_none():
    with pytest.raises(DataError, match="missing value"):
        NumericLevels(np.array([1]), np.array([3]), 0).codes(np.zeros(3), ~NONE)


def test_a_value_is_refused_where_training_had_only_nulls():
    levels = NumericLevels(np.empty(0), np.empty(0, dtype=np.int64), 3)
    assert levels.codes(np.zeros(3), ~NONE).tolist() == [0, 0, 0]
    assert levels.decode(np.zeros(2, dtype=np.int64))[1].all()
    with pytest.raises(DataError, match=r"1\.5 in a column that was all null"):
        levels.codes(np.full(3, 1.5), NONE)
