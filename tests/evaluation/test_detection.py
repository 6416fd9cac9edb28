"""Detectors on constructed tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fingan.evaluation.detection import QUANTILES, coarse, detect, detect_logistic
from tests.evaluation.tables import mixed, permuted, read


def test_a_fresh_sample_is_a_coin_toss_and_its_interval_says_so():
    found = detect(*read(mixed(900), mixed(900, seed=1)), seed=0)
    assert found.interval[0] - 0.02 < 0.5 < found.interval[1] + 0.02
    assert found.score == pytest.approx(1, abs=0.1)
    assert len(found.folds) == 3
    assert found.rows == 900
    assert sum(found.tells.values()) == pytest.approx(1)


def test_permuted_columns_are_told_by_trees_and_not_by_a_line():
    table = mixed(900)
    real, fake = read(table, permuted(table))
    assert detect(real, fake, 0).auc > 0.75
    assert detect_logistic(real, fake, 0).auc < 0.55
    assert detect_logistic(real, fake, 0).estimator == "logistic regression"


def test_granularity_is_told_by_the_fine_detector_only():
    rng = np.random.default_rng(0)
    values = rng.normal(100, 30, 3000).round()
    real, fake = read(
        pa.table({"x": values[:1500]}), pa.table({"x": values[1500:] + rng.normal(0, 0.2, 1500)})
    )
    assert detect(real, fake, 0).auc > 0.75
    assert detect(coarse(real, real), coarse(fake, real), 0).auc < 0.6
    assert next(iter(detect(real, fake, 0).tells)) == "x"


def test_coarse_keeps_missing_and_categories():
    real, _ = read(
        pa.table({"x": pa.array([*range(500), None], pa.float64()), "c": ["a"] * 501}),
        pa.table({"x": [1], "c": ["a"]}),
    )
    cut = coarse(real, real).columns
    assert np.isnan(cut[0].number()[-1])
    assert np.unique(cut[0].number()[:-1]).size == QUANTILES
    assert cut[1] is real.columns[1]
    hollow, _ = read(pa.table({"x": pa.nulls(3, pa.float64())}), pa.table({"x": [1.0]}))
    assert coarse(hollow, hollow).columns[0] is hollow.columns[0]


def test_the_larger_table_is_cut_and_the_result_is_keyed():
    real, fake = read(mixed(300), mixed(200, seed=1))
    first, again = detect(real, fake, 4), detect(real, fake, 4)
    assert first == again
    assert first.rows == 200
