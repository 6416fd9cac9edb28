"""α-precision, β-recall, authenticity on clouds with known answers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fingan.evaluation import manifold
from fingan.evaluation.manifold import measure_manifold
from tests.evaluation.tables import mixed, read


def cloud(rows: int, seed: int, scale: float = 1.0, shift: float = 0.0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table({f"x{k}": scale * rng.normal(size=rows) + shift for k in range(4)})


def test_a_perfect_sample():
    found = measure_manifold(*read(cloud(1500, 0), cloud(1500, 1)), seed=0)
    assert found.values["alpha_precision"] > 0.95
    assert found.values["beta_recall"] == pytest.approx(0.5, abs=0.06)
    assert found.values["authenticity"] == pytest.approx(0.5, abs=0.06)
    for name, (low, high) in found.intervals.items():
        assert low <= found.values[name] + 0.02, name
        assert high >= found.values[name] - 0.02, name


def test_a_distant_cloud_has_no_precision_and_no_recall():
    found = measure_manifold(*read(cloud(400, 0), cloud(400, 1, shift=50)), seed=0)
    assert found.values["alpha_precision"] < 0.1
    assert found.values["beta_recall"] < 0.1
    assert found.values["authenticity"] == 1


def test_a_collapsed_cloud_lacks_recall_and_a_copy_lacks_authenticity():
    real, collapsed, copy = read(cloud(600, 0), cloud(600, 1, scale=0.05), cloud(600, 0))
    assert measure_manifold(real, collapsed, 0).values["beta_recall"] < 0.25
    assert measure_manifold(real, copy, 0).values["authenticity"] == 0


def test_scaling_stops_a_wide_column_from_ruling():
    rng = np.random.default_rng(0)
    wide = 1e6 * rng.normal(size=600)
    real, fake = read(
        pa.table({"wide": wide, "narrow": rng.normal(size=600)}),
        pa.table({"wide": rng.permutation(wide), "narrow": rng.normal(size=600) + 8}),
    )
    raw, scaled = (measure_manifold(real, fake, 0, scaled=s).values["beta_recall"] for s in (False, True))
    assert scaled < raw - 0.2


def test_rows_are_equal_and_bounded(monkeypatch):
    monkeypatch.setattr(manifold, "ROWS_AT_MOST", 50)
    assert measure_manifold(*read(mixed(90, missing=0.1), mixed(70, seed=1)), seed=0).rows == 50


def test_repeated_rows_do_not_find_themselves():
    table = pa.table({"x": np.repeat(np.arange(40.0), 2)})
    found = measure_manifold(*read(table, table), seed=0)
    assert found.values["authenticity"] == 0
