"""Splitting rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.data import split_rows
from fingan.errors import ConfigError


@given(
    st.integers(1, 300),
    st.floats(0.0, 0.95),
    st.integers(0, 2**63 - 1),
    st.none() | st.integers(1, 30),
)
def test_the_parts_are_ascending_disjoint_and_complete(
    n_rows: int, share: float, seed: int, classes: int | None
) -> None:
    labels = None if classes is None else np.arange(n_rows) ** 2 % classes
    train, holdout = split_rows(n_rows, share, seed, labels)
    assert train.dtype == holdout.dtype == np.int64
    assert np.array_equal(np.sort(np.concatenate([train, holdout])), np.arange(n_rows))
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(holdout) > 0)
    assert len(train) >= 1
    wanted = min(max(round(share * n_rows), 1), n_rows - 1) if share > 0 else 0
    assert len(holdout) == wanted


def test_the_seed_decides() -> None:
    first, again, other = (split_rows(1000, 0.2, seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_split_is_the_same_in_every_version() -> None:
    assert split_rows(12, 0.25, 7)[1].tolist() == [1, 3, 8]


@given(st.integers(0, 1000), st.floats(0.05, 0.6))
def test_classes_keep_their_share(seed: int, share: float) -> None:
    labels = np.repeat(["good", "bad"], [1900, 100])
    _, holdout = split_rows(2000, share, seed, labels)
    assert abs(np.sum(labels[holdout] == "bad") - 100 * share) <= 1
    assert abs(np.sum(labels[holdout] == "good") - 1900 * share) <= 1


@given(st.integers(0, 1000))
def test_a_rare_class_is_on_both_sides(seed: int) -> None:
    labels = np.zeros(1000, dtype=np.int64)
    labels[[3, 500]] = 1
    train, holdout = split_rows(1000, 0.1, seed, labels)
    assert labels[train].sum() == labels[holdout].sum() == 1


def test_single_rows_stay_in_training_while_there_is_room() -> None:
    labels = np.array(["a"] * 50 + ["b"])
    for seed in range(20):
        assert 50 in split_rows(51, 0.5, seed, labels)[0]


def test_classes_of_one_row_each_fall_back_to_a_plain_split() -> None:
    train, holdout = split_rows(10, 0.3, 0, np.arange(10))
    assert (len(train), len(holdout)) == (7, 3)


@pytest.mark.parametrize("digits", [0, 1, 2])
def test_a_label_of_many_values_leaves_the_holdout_the_same_population(digits: int) -> None:
    amounts = np.exp(np.random.default_rng(0).normal(3.5, 1.3, 4000)).round(digits)
    means = [amounts[split_rows(4000, 0.05, seed, amounts)[1]].mean() for seed in range(200)]
    # A holdout's mean has a standard deviation of 12; that of 200 of them one of 0.9.
    assert np.mean(means) == pytest.approx(amounts.mean(), abs=4.0)


def test_missing_labels_are_a_class() -> None:
    labels = np.array(["a", None] * 50, dtype=object)
    _, holdout = split_rows(100, 0.2, 0, labels)
    assert sum(labels[i] is None for i in holdout) == 10


def test_every_row_is_drawn_equally_often() -> None:
    labels = np.arange(40) % 4
    counts = np.zeros(40)
    for seed in range(400):
        counts[split_rows(40, 0.25, seed, labels)[1]] += 1
    # 400 draws at 1/4: mean 100, standard deviation 8.7.
    assert counts.min() > 60
    assert counts.max() < 140


@pytest.mark.parametrize(
    ("n_rows", "share", "labels", "part"),
    [
        (10, 1.0, None, r"\[0, 1\), got 1.0"),
        (10, -0.1, None, "got -0.1"),
        (10, float("nan"), None, "got nan"),
        (0, 0.5, None, "cannot split 0 rows"),
        (10, 0.5, np.zeros(9), "9 values for 10 rows"),
    ],
)
def test_arguments_out_of_range(n_rows: int, share: float, labels: np.ndarray | None, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        split_rows(n_rows, share, 0, labels)
