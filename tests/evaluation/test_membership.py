"""Membership inference on constructed generators."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fingan.evaluation import membership
from fingan.evaluation.membership import attack_membership, attack_scores, tpr_at
from tests.evaluation.tables import mixed, read


def test_tpr_at_a_false_positive_rate_by_hand():
    member = np.repeat([True, False], 100)
    scores = np.concatenate([np.arange(100) + 50.5, np.arange(100.0)])
    # One non-member of 100 may pass: the threshold is the second highest, 98.
    assert tpr_at(member, scores) == pytest.approx(0.52)
    assert tpr_at(member, np.zeros(200)) == 0
    assert tpr_at(member[:100], scores[:100]) == 0


def test_a_copy_machine_is_caught_and_an_honest_sample_is_not(monkeypatch):
    monkeypatch.setattr(membership, "SYNTHETIC_AT_MOST", 700)
    train, holdout, fresh = read(mixed(800), mixed(400, seed=1), mixed(800, seed=2))
    copier = train.take(np.random.default_rng(0).integers(0, 800, 1600))
    caught, honest = (attack_membership(train, holdout, s, 0) for s in (copier, fresh))
    assert caught.auc_interval[0] > 0.6
    assert caught.tpr > 0.4
    assert caught.attacked == 200
    assert caught.reference == 200
    assert honest.auc_interval[0] < 0.5 < honest.auc_interval[1] + 0.03
    assert honest.tpr < 0.06
    assert set(caught.chosen) <= set(caught.attacks)


def test_attacks_are_not_fitted_on_the_attacked_rows():
    """A target's score does not change with the other targets."""
    targets, synthetic, reference = read(mixed(40), mixed(200, seed=1), mixed(100, seed=2))
    scores = attack_scores(targets, synthetic, reference, 0)
    alone = attack_scores(targets.take(np.arange(5)), synthetic, reference, 0)
    for name, every in scores.items():
        assert alone[name] == pytest.approx(every[:5]), name


def test_a_single_reference_or_synthetic_neighbour_is_enough():
    targets, few, reference = read(
        pa.table({"x": np.arange(10.0)}), pa.table({"x": [0.0]}), pa.table({"x": [1.0, 9.0]})
    )
    scores = attack_scores(targets, few, reference, 0)
    assert all(np.isfinite(s).all() for s in scores.values())
