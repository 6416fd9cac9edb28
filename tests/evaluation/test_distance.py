"""Nearest records against brute force."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fingan.evaluation import distance
from fingan.evaluation.distance import Geometry, k_nearest, nearest
from fingan.evaluation.frame import Frame
from tests.evaluation.tables import mixed, read


def brute(queries: Frame, references: Frame, train: Frame) -> np.ndarray:
    """L1 on range-scaled numbers (with missing flags) and one-hot categories."""
    total = np.zeros((queries.rows, references.rows))
    for q, r, t in zip(queries.columns, references.columns, train.columns, strict=True):
        if not t.numeric:
            total += 2.0 * (q.code()[:, None] != r.code())
            continue
        known = t.number()[~np.isnan(t.number())]
        span = np.ptp(known) if np.ptp(known) > 0 else 1.0
        a, b = (np.where(np.isnan(c.number()), known.mean(), c.number()) for c in (q, r))
        total += np.abs(a[:, None] - b) / span
        if np.isnan(t.number()).any():
            total += np.abs(np.isnan(q.number())[:, None].astype(float) - np.isnan(r.number()))
    return total


@pytest.mark.parametrize("dense", [256, 2])
def test_nearest_and_k_nearest_agree_with_brute_force(monkeypatch, dense):
    monkeypatch.setattr(distance, "_DENSE_LEVELS", dense)
    monkeypatch.setattr(distance, "_TILE", (7, 11))
    train, queries = read(mixed(60, missing=0.1), mixed(33, seed=4, missing=0.1))
    geometry = Geometry.fit(train)
    expected = brute(queries, train, train)
    points = geometry.points(queries), geometry.points(train)
    found = nearest(*points)
    assert found.distance == pytest.approx(expected.min(axis=1), abs=1e-5)
    assert expected[np.arange(33), found.index] == pytest.approx(expected.min(axis=1), abs=1e-5)
    assert k_nearest(*points, 4) == pytest.approx(np.sort(expected, axis=1)[:, :4], abs=1e-5)


def test_codes_that_the_training_rows_lack_are_equal_to_each_other():
    table = mixed(50).append_column("far", pa.array([1e308, 0.0] * 25))
    train, rows = read(table.set_column(table.num_columns - 1, "far", pa.array([1.0, 0.0] * 25)), table)
    points = Geometry.fit(train).points(rows)
    assert nearest(points, points).distance == pytest.approx(0)


def test_copies_are_at_distance_zero_and_ties_are_counted(monkeypatch):
    monkeypatch.setattr(distance, "_TILE", (2, 3))
    table = pa.table({"x": [0.0, 1, 1, 5, 1, 0, 9], "c": ["a", "b", "b", "b", "b", "a", "c"]})
    train, queries = read(table, table.slice(0, 4))
    geometry = Geometry.fit(train)
    found = nearest(geometry.points(queries), geometry.points(train))
    assert found.distance.tolist() == [0, 0, 0, 0]
    assert found.count.tolist() == [2, 3, 3, 1]


def test_fewer_references_than_neighbours_gives_infinity():
    train, queries = read(pa.table({"x": [0.0, 1.0]}), pa.table({"x": [0.5]}))
    geometry = Geometry.fit(train)
    found = k_nearest(geometry.points(queries), geometry.points(train), 3)
    assert found.tolist() == [[0.5, 0.5, np.inf]]


def test_constant_and_missing_columns_have_a_place():
    train, queries = read(
        pa.table({"x": [3.0, 3.0], "y": pa.nulls(2, pa.float64())}),
        pa.table({"x": [4.0, 3.0], "y": pa.array([None, 0.0])}),
    )
    geometry = Geometry.fit(train)
    assert nearest(geometry.points(queries), geometry.points(train)).distance.tolist() == [1.0, 1.0]
