"""Figures of inner parts, and what tells a collapse."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.measures import (
    diversity,
    generated_figures,
    half_share,
    inner_figures,
    inner_floor,
    measure,
    permuted,
)
from benchmarks.stability import collapsed
from tests.benchmarks import toys


def test_permuted_columns_keep_marginals_and_lose_structure():
    part = toys.part()
    found = inner_figures(part, permuted(part.train, 0))
    assert found["shape_error"] == pytest.approx(0.0)
    assert found["detection_auc"] > inner_floor(part)["detection_auc"] + 0.1
    assert found["tstr_share"] < 90


def test_real_halves_are_the_floor():
    floor = inner_floor(toys.part())
    assert floor["detection_auc"] < 0.6
    assert floor["shape_error"] < 10


def test_fresh_rows_are_as_varied_as_real_ones():
    variety = diversity(toys.part(), toys.table(seed=5))
    assert variety["entropy"] == pytest.approx(1.0, abs=0.05)
    assert variety["rows"] == pytest.approx(1.0, abs=0.1)


def test_one_row_again_and_again_is_a_collapse():
    part = toys.part()
    copies = part.train.take(pa.array(np.zeros(600, dtype=np.int64)))
    variety = diversity(part, copies)
    assert variety["entropy"] == 0.0
    assert collapsed({"network_detection_auc": 1.0}, variety)
    assert not collapsed({"network_detection_auc": 0.9}, variety)


def test_a_few_rows_with_the_right_marginals_are_a_collapse_too():
    part = toys.part()
    few = part.train.take(pa.array(np.random.default_rng(0).integers(0, 40, 600)))
    variety = diversity(part, few)
    assert variety["entropy"] > 0.5
    assert collapsed({"network_detection_auc": 1.0}, variety)


def test_certain_detection_alone_is_no_collapse():
    assert not collapsed({"network_detection_auc": 1.0}, {"entropy": 0.97, "rows": 1.0})


def test_a_copier_of_its_half_lies_nearer_to_it():
    own, other = toys.table(300, 1), toys.table(300, 2)
    assert half_share(own, other, own, "label")["value"] > 0.9
    assert half_share(own, other, toys.table(300, 3), "label")["value"] == pytest.approx(0.5, abs=0.12)


def test_a_generator_is_measured_as_configured_and_by_its_networks_own_rows():
    part, seen = toys.part(), []

    class Shuffled:
        """Real rows, or where all rows are kept each column on its own."""

        def sample(self, rows, seed, candidates=None):
            seen.append(candidates)
            return permuted(part.train, seed) if candidates == 1 else part.train

    figures, network = generated_figures(part, Shuffled(), 3)
    assert figures["detection_auc"] < 0.6 < figures["network_detection_auc"]
    assert network.equals(permuted(part.train, 3))
    assert "tstr_share" in figures
    assert sorted(seen, key=str) == [1, None]


def test_other_judges_tell_permuted_columns_and_not_real_rows():
    split = toys.split()
    for rows, least, most in ((permuted(split.train, 0), 0.6, 1.0), (split.train, 0.0, 0.6)):
        found = measure(split, rows, 0)
        for name in ("detection_auc_forest", "detection_auc_held"):
            assert least <= found[name]["value"] <= most, name
            assert 0.35 < found[name]["reference"] < 0.65, name
