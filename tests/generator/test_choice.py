"""Draws of codes: exactly categorical, however rare the code and wide the fields."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import chisquare

from fingan.generator.choice import CodeChoice


def reference(widths: list[int], logits: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draw field by field and row by row."""
    out = np.empty(uniform.shape, dtype=np.int64)
    start = 0
    for field, width in enumerate(widths):
        shares = softmax(logits[start : start + width].astype(np.float64), axis=0)
        below = np.cumsum(shares, axis=0)
        for row in range(uniform.shape[1]):
            out[field, row] = np.searchsorted(below[:-1, row], uniform[field, row], side="right")
        start += width
    return out


def no_offsets(widths: list[int]) -> np.ndarray:
    return np.zeros(sum(widths), dtype=np.float32)


@given(st.lists(st.integers(1, 12), max_size=8), st.integers(0, 2**32))
def test_it_is_the_inverse_of_the_distribution_function(widths, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, 3.0, (sum(widths), 40)).astype(np.float32)
    offsets = rng.normal(0.0, 1.0, sum(widths)).astype(np.float32)
    uniform = rng.random((len(widths), 40))
    drawn = CodeChoice(widths, offsets)(logits, uniform)
    assert np.array_equal(drawn, reference(widths, logits + offsets[:, None], uniform))


def test_draws_have_the_probabilities_of_the_softmax():
    widths, rows = [5, 2, 300], 200_000
    rng = np.random.default_rng(3)
    logits = rng.normal(0.0, 1.5, sum(widths)).astype(np.float32)
    drawn = CodeChoice(widths, no_offsets(widths))(np.tile(logits[:, None], rows), rng.random((3, rows)))
    start = 0
    for field, width in enumerate(widths):
        expected = softmax(logits[start : start + width].astype(np.float64)) * rows
        found = np.bincount(drawn[field], minlength=width)
        common = expected > 5
        rest = [found[~common].sum()], [expected[~common].sum()]
        counts = np.concatenate([found[common], rest[0]]), np.concatenate([expected[common], rest[1]])
        keep = counts[1] > 0
        assert chisquare(counts[0][keep], counts[1][keep]).pvalue > 1e-4
        start += width


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_code_of_one_in_a_million_million_gets_its_share_of_the_uniforms(place):
    """Its interval of the uniform is found by bisection, and is as long as its probability."""
    logits = np.zeros((3, 1), dtype=np.float32)
    logits[place] = np.log(1e-12)
    choose = CodeChoice([3], no_offsets([3]))

    def first_above(code: int) -> float:
        low, high = 0.0, 1.0
        while high - low > 2.0**-52:
            middle = (low + high) / 2
            low, high = (low, middle) if choose(logits, np.array([[middle]]))[0, 0] > code else (middle, high)
        return high

    length = first_above(place) - (first_above(place - 1) if place else 0.0)
    assert length == pytest.approx(0.5e-12, rel=1e-3)


def test_extreme_logits_and_uniforms_stay_in_range():
    widths = [3, 1, 2]
    logits = np.array([[1e30], [-1e30], [0.0], [-500.0], [900.0], [900.0]], dtype=np.float32)
    for uniform in (0.0, 1.0 - 2.0**-53):
        drawn = CodeChoice(widths, no_offsets(widths))(logits, np.full((3, 1), uniform))
        assert drawn[:, 0].tolist() == [0, 0, int(uniform > 0.5)]


def test_what_it_is_given_stays_as_it_is():
    logits = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
    kept = logits.copy()
    CodeChoice([2, 2], np.ones(4, dtype=np.float32))(logits, np.full((2, 10), 0.5))
    assert np.array_equal(logits, kept)
