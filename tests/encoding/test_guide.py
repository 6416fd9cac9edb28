"""The guide table answers as a search does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.encoding.guide import Guide
from fingan.rng import numpy_generator


@given(st.lists(st.floats(0.0, 1.0, allow_subnormal=False), min_size=1, max_size=50), st.integers(0, 99))
def test_equals_searchsorted(edges, seed):
    edges = np.sort(np.array([*edges, 1.0]))
    u = np.concatenate([numpy_generator(seed, "u").random(200), edges, [0.0, 1.0]])
    expected = np.minimum(np.searchsorted(edges, u, side="right"), edges.size - 1)
    np.testing.assert_array_equal(Guide(edges).find(u), expected)


@pytest.mark.parametrize("size", [1, 256, 5000, 200_000])
def test_many_edges_crowded_into_few_buckets(size):
    edges = np.append(np.sort(numpy_generator(size, "edges").random(size) ** 8), 1.0)
    u = numpy_generator(size, "u").random(10_000) ** 4
    expected = np.searchsorted(edges, u, side="right")
    np.testing.assert_array_equal(Guide(edges).find(u), expected)
