from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import norm

from fingan.encoding.layout import Layout
from fingan.networks.features import (
    EDGE_STEEPNESS,
    END_OF_RAMPS,
    PAIR_SCALE,
    RowFeatures,
    normal_quantile,
    ramp_knots,
)
from tests.networks.toy import LAYOUTS, MIXED, keyed, make_batch


def reference(layout: Layout, knots: int, row: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The features of one row, one loop per field."""
    ends = ramp_knots(knots)
    numbers = [row[f] for f in range(layout.numeric) if len(layout.edges[f])]
    numbers += [(row[i] - row[j]) / PAIR_SCALE for i, j in layout.pairs]
    ramps = [np.clip((g - low) / (high - low), 0, 1) - 0.5 for g in numbers for low, high in pairwise(ends)]
    edges = [
        1 / (1 + np.exp(-EDGE_STEEPNESS * (row[f] - norm.ppf(u))))
        for f in range(layout.numeric)
        for u in np.unique(layout.edges[f])
        if 1e-6 < u < 1 - 1e-6
    ]
    return np.concatenate([row, mask, ramps, edges])


def test_knots_are_quantiles_closed_at_the_ends():
    knots = ramp_knots(24)
    assert knots.size == 26
    assert (np.diff(knots) > 0).all()
    assert knots[0] == -END_OF_RAMPS
    assert knots[-1] == END_OF_RAMPS
    assert np.allclose(knots[1:-1], norm.ppf((np.arange(24) + 0.5) / 24))
    assert np.allclose(knots, -knots[::-1])


def test_normal_quantile_agrees_with_scipy():
    probability = np.array([1e-6, 0.02, 0.5, 0.975])
    assert np.allclose(normal_quantile(probability), norm.ppf(probability), atol=1e-12)


def test_features_equal_the_loop():
    features = RowFeatures(MIXED, 6).double()
    batch = make_batch(MIXED, 40, noise=1).to(dtype=torch.float64)
    outputs = features(batch.rows, batch.mask)
    assert outputs.shape == (40, features.width)
    expected = [
        reference(MIXED, 6, r.numpy(), m.numpy()) for r, m in zip(batch.rows, batch.mask, strict=True)
    ]
    assert np.allclose(outputs.numpy(), np.stack(expected), atol=1e-5)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("knots", [0, 1, 24])
def test_width_is_the_output_width(name, knots):
    layout = LAYOUTS[name]
    features = RowFeatures(layout, knots)
    batch = make_batch(layout, 3, noise=1)
    assert features(batch.rows, batch.mask).shape == (3, features.width)
    plain = layout.dense + layout.units
    if knots == 0 or layout is not MIXED:
        assert features.width == plain, "numbers without atoms have no ramps"
    else:
        assert features.width > plain


def test_features_hold_nothing_learned_or_saved():
    features = RowFeatures(MIXED, 4)
    assert not list(features.parameters())
    assert not features.state_dict()


def test_first_and_second_gradients():
    features = RowFeatures(MIXED, 3).double()
    rows = torch.randn(2, MIXED.dense, generator=keyed(3), dtype=torch.float64, requires_grad=True)
    mask = torch.zeros(2, MIXED.units, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda r: features(r, mask), (rows,))
    assert torch.autograd.gradgradcheck(lambda r: features(r, mask), (rows,))


def test_inputs_are_left_as_they_were():
    batch = make_batch(MIXED, 5, noise=1)
    before = batch.rows.clone()
    RowFeatures(MIXED, 4)(batch.rows, batch.mask)
    assert torch.equal(batch.rows, before)


def test_autocast_does_not_round_the_ramps():
    features = RowFeatures(MIXED, 24)
    batch = make_batch(MIXED, 50, noise=1)
    plain = features(batch.rows, batch.mask)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(features(batch.rows, batch.mask), plain)
