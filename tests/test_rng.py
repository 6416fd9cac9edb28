"""Keyed randomness: keys, generators, the bijection."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fingan import rng

seeds = st.integers(0, 2**63 - 1)


def test_the_key_is_pinned():
    # Saved models promise the same rows for ever: a change here breaks every one of them.
    assert rng.key(0, "noise", 7) == 0xA8C09EDB74F5E6C9


@given(seeds, st.text(), st.lists(st.integers(-(2**63), 2**63), max_size=3))
def test_a_key_has_64_bits_and_takes_any_purpose(seed, purpose, index):
    assert 0 <= rng.key(seed, purpose, *index) < 2**64


def test_keys_of_distinct_inputs_are_distinct():
    keys = {rng.key(s, p, *i) for s in range(20) for p in ("a", "b") for i in ((), (0,), (1,), (0, 1))}
    assert len(keys) == 20 * 2 * 4


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, "a", 1), (0, "a1")),
        ((1, "a", 2, 3), (1, "a", 23)),
        ((0, "a\x1f1"), (0, "a", 1)),
        ((0, "a', (1,)"), (0, "a", 1)),
        ((11, "a"), (1, "1a")),
    ],
)
def test_no_two_inputs_run_together(first, second):
    assert rng.key(*first) != rng.key(*second)


def test_keys_flip_half_of_their_bits_between_neighbouring_indices():
    keys = [rng.key(0, "noise", i) for i in range(2_000)]
    flips = [(a ^ b).bit_count() for a, b in itertools.pairwise(keys)]
    # Mean of 1,999 Binomial(64, 1/2) counts: standard error 0.09; six of them.
    assert abs(np.mean(flips) - 32) < 0.54


def test_numpy_generators_repeat_and_differ_by_key():
    first = rng.numpy_generator(3, "noise", 1).standard_normal(1_000)
    assert np.array_equal(first, rng.numpy_generator(3, "noise", 1).standard_normal(1_000))
    for other in (rng.numpy_generator(3, "noise", 2), rng.numpy_generator(4, "noise", 1)):
        # Correlation of independent normals: standard error 0.032; six of them.
        assert abs(np.corrcoef(first, other.standard_normal(1_000))[0, 1]) < 0.19


def test_torch_generators_repeat_and_differ_by_key():
    def draw(*index: int) -> torch.Tensor:
        return torch.randn(1_000, generator=rng.torch_generator(3, "noise", *index))

    assert torch.equal(draw(1), draw(1))
    assert abs(torch.corrcoef(torch.stack([draw(1), draw(2)]))[0, 1].item()) < 0.19


def test_the_order_of_draws_does_not_matter():
    forwards = [rng.numpy_generator(0, "row", i).random() for i in range(5)]
    backwards = [rng.numpy_generator(0, "row", i).random() for i in reversed(range(5))]
    assert forwards == backwards[::-1]


def test_no_global_generator_moves():
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    rng.numpy_generator(0, "noise").random(10)
    torch.rand(10, generator=rng.torch_generator(0, "noise"))
    rng.permute(np.arange(10), 10, 1)
    assert random.getstate() == before[0]
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


@given(st.integers(1, 3_000), st.integers(0, 2**64 - 1))
def test_permute_is_a_bijection(size, permutation_key):
    image = rng.permute(np.arange(size), size, permutation_key)
    assert image.dtype == np.int64
    assert np.array_equal(np.sort(image), np.arange(size))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 15, 16, 17, 2**16 - 1, 2**16, 2**16 + 1])
def test_permute_is_a_bijection_at_the_edges_of_its_power_of_two(size):
    assert np.array_equal(np.sort(rng.permute(np.arange(size), size, 9)), np.arange(size))


@given(st.integers(1, 2**62), st.integers(0, 2**64 - 1), st.data())
def test_permute_stays_in_range_and_one_to_one_in_any_domain(size, permutation_key, data):
    positions = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=20, unique=True))
    image = rng.permute(np.array(positions, dtype=np.int64), size, permutation_key)
    assert image.min() >= 0
    assert image.max() < size
    assert np.unique(image).size == len(positions)


def test_permute_maps_each_position_by_itself():
    whole = rng.permute(np.arange(1_000), 1_000, 5)
    assert np.array_equal(rng.permute(np.arange(400, 500), 1_000, 5), whole[400:500])
    assert rng.permute(np.array(7), 1_000, 5) == whole[7]


def test_permute_keeps_the_shape_and_leaves_its_input_alone():
    index = np.arange(12).reshape(3, 4)
    assert rng.permute(index, 12, 0).shape == (3, 4)
    assert np.array_equal(index, np.arange(12).reshape(3, 4))
    assert rng.permute(np.array([], dtype=np.int64), 5, 0).size == 0


def test_permute_differs_by_key_and_looks_shuffled():
    first, second = (rng.permute(np.arange(10_000), 10_000, k) for k in (1, 2))
    # Fixed points and matches are Poisson(1): more than 12 has a probability below 1e-9.
    assert (first == second).sum() <= 12
    assert (first == np.arange(10_000)).sum() <= 12
    assert abs(np.corrcoef(first, np.arange(10_000))[0, 1]) < 0.06


@pytest.mark.statistical
def test_the_first_image_is_uniform_over_keys():
    images = np.array([rng.permute(np.array([0]), 10, k)[0] for k in range(5_000)])
    counts = np.bincount(images, minlength=10)
    # χ² with 9 degrees of freedom: beyond 45 has a probability below 1e-6.
    assert ((counts - 500) ** 2 / 500).sum() < 45


@pytest.mark.parametrize("size", [0, -1, 2**62 + 1])
def test_permute_refuses_a_size_out_of_range(size):
    with pytest.raises(ValueError, match="size must be in"):
        rng.permute(np.array([0]), size, 0)


@pytest.mark.parametrize("position", [-1, 10, 2**40])
def test_permute_refuses_a_position_out_of_range(position):
    with pytest.raises(ValueError, match=r"positions must be in \[0, 10\)"):
        rng.permute(np.array([0, position]), 10, 0)
