"""The dense row."""

from __future__ import annotations

import numpy as np

from fingan.encoding import Layout

LAYOUT = Layout(
    numeric=2,
    widths=(3, 1, 2),
    units=4,
    unit_of_field=(0, 2, 1, 2, 3),
    edges=(np.array([0.25, 0.5]), np.empty(0)),
    pairs=((0, 1),),
)


def test_positions():
    assert (LAYOUT.codes, LAYOUT.dense) == (6, 8)
    assert LAYOUT.offsets().tolist() == [2, 5, 6]
    assert LAYOUT.unit_of_dense().tolist() == [0, 2, 1, 1, 1, 2, 3, 3]


def test_without_categories_or_numbers():
    empty = Layout(numeric=1, widths=(), units=1, unit_of_field=(0,), edges=(np.empty(0),))
    assert empty.offsets().size == 0
    assert empty.unit_of_dense().tolist() == [0]
    codes = Layout(numeric=0, widths=(4,), units=1, unit_of_field=(0,), edges=())
    assert codes.offsets().tolist() == [0]
    assert codes.dense == 4
