"""Bars and quoted rows."""

from __future__ import annotations

import pytest

from benchmarks.published import BARS, PUBLISHED, Bar


@pytest.mark.parametrize(("value", "reached"), [(0.7, "aim"), (0.8, "must"), (1.0, "must"), (1.01, "miss")])
def test_a_lower_bar(value, reached):
    assert Bar("shape_error", 1.0, 0.7).reached(value) == reached


@pytest.mark.parametrize(("value", "reached"), [(99.0, "aim"), (98.0, "must"), (97.4, "miss")])
def test_a_higher_bar(value, reached):
    assert Bar("tstr_share", 97.5, 98.5, higher=True).reached(value) == reached


def test_an_aim_is_never_easier_than_a_must():
    for bars in BARS.values():
        for bar in bars:
            assert (bar.aim >= bar.must) if bar.higher else (bar.aim <= bar.must)


def test_detection_scores_become_the_aucs_of_the_design():
    found = {
        (name, row.model): round(row.detection_auc, 2) for name, rows in PUBLISHED.items() for row in rows
    }
    assert found["adult", "TabSyn"] == 0.60
    assert found["default", "TabDiff"] == 0.70
    assert found["default", "CTGAN"] == 1.0
