"""Shape and atom errors against closed forms and by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fingan.evaluation import intervals
from fingan.evaluation.marginals import (
    atom_errors,
    frequent_values,
    ks_distance,
    shape_errors,
    total_variation,
)
from tests.evaluation.tables import mixed, read


@pytest.mark.parametrize("shift", [0.25, 1.0, 3.0])
def test_ks_of_shifted_normals_is_the_closed_form(shift):
    grid = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    # sup |Φ(x) − Φ(x − d)| is at d / 2.
    assert ks_distance(grid, grid + shift) == pytest.approx(2 * stats.norm.cdf(shift / 2) - 1, abs=1e-4)


@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=40),
    st.lists(st.integers(-5, 5), min_size=1, max_size=40),
)
def test_ks_is_the_largest_gap_of_the_distribution_functions_with_ties(first, second):
    a, b = np.array(first, float), np.array(second, float)
    gaps = [abs((a <= v).mean() - (b <= v).mean()) for v in range(-6, 7)]
    assert ks_distance(a, b) == pytest.approx(max(gaps), abs=1e-12)


def test_ks_sees_the_share_of_missing_values():
    values = np.arange(100.0)
    holes = np.where(np.arange(100) < 30, np.nan, np.random.default_rng(0).permutation(values))
    assert ks_distance(values, holes) >= 0.3 - 1e-12
    assert ks_distance(holes, holes) == 0


def test_total_variation_by_hand():
    assert total_variation(np.array([1.0, 1, 2]), np.array([1.0, 3, 0])) == pytest.approx(0.5)


def test_shape_by_hand_over_numbers_and_categories():
    real, fake = read(
        pa.table({"x": pa.array([1.0, 2, 3, 4]), "c": ["a", "a", "b", "b"]}),
        pa.table({"x": pa.array([3.0, 4, 5, 6]), "c": ["a", "b", "b", "new"]}),
    )
    found = shape_errors(real, fake)
    assert dict(zip(found.names, found.errors, strict=True)) == pytest.approx({"x": 0.5, "c": 0.25})
    assert found.mean == pytest.approx(0.375)


def test_identical_tables_have_no_error_and_identifiers_do_not_count():
    table = mixed(300, missing=0.2)
    real, fake = read(table, table)
    found = shape_errors(real, fake, seed=0)
    assert "row_id" not in found.names
    assert found.mean == 0
    assert len(found.replicates) == intervals.GROUPS


def test_all_missing_column_is_compared():
    real, fake = read(
        pa.table({"x": pa.array([None, None, 1.0, 2.0])}), pa.table({"x": pa.nulls(4, pa.float64())})
    )
    assert shape_errors(real, fake).mean == pytest.approx(0.5)


def test_atoms_see_jitter_that_shape_does_not():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(4000) < 0.3, 0.0, rng.normal(50, 10, 4000))
    real, same, jitter = read(
        pa.table({"x": values}),
        pa.table({"x": rng.permutation(values)}),
        pa.table({"x": values + 1e-6 * rng.random(4000)}),
    )
    assert list(frequent_values(values)) == [0.0]
    assert atom_errors(real, same).mean == 0
    assert atom_errors(real, jitter).mean == pytest.approx((values == 0).mean())
    assert shape_errors(real, jitter).mean < 0.31


def test_atoms_are_omitted_where_no_value_is_frequent():
    real, fake = read(pa.table({"x": np.arange(500.0)}), pa.table({"x": np.arange(500.0)}))
    assert atom_errors(real, fake) is None
    assert frequent_values(np.full(4, np.nan)).size == 0


@pytest.mark.statistical
def test_the_jackknife_interval_covers_the_expected_shape_error():
    """95 % nominal; over 60 draws fewer than 50 hits happen with probability < 1 %."""
    rng = np.random.default_rng(3)

    def draw() -> tuple[pa.Table, pa.Table]:
        return tuple(
            pa.table({f"x{k}": rng.normal(0.3 * k * side, 1, 400) for k in range(4)}) for side in (0, 1)
        )

    pairs = [shape_errors(*read(*draw()), seed=i) for i in range(60)]
    expected = np.mean([p.mean for p in pairs])
    bounds = [intervals.jackknife(p.mean, p.replicates) for p in pairs]
    assert sum(low <= expected <= high for low, high in bounds) >= 50
