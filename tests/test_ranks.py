"""Ranks of values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from fingan.ranks import mid_ranks


@given(st.lists(st.integers(-3, 3)) | st.lists(st.floats(allow_infinity=False, allow_nan=False)))
def test_ranks_are_those_of_the_textbook(values: list[float]):
    assert np.array_equal(mid_ranks(np.array(values)), rankdata(values))


@pytest.mark.parametrize("values", [[np.nan], [1.0, np.nan, 0.0]])
def test_what_cannot_be_ranked_ranks_nothing(values: list[float]):
    assert np.isnan(mid_ranks(np.array(values))).all()
