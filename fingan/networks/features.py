"""What the discriminator sees of a row beyond the row itself: the features a tree would split on.

Letters: B rows, D dense width, F numeric fields, P pairs, K ramps per number,
A numeric fields with atoms, R = (A + P) · K ramps, E atom edges, M units, I inputs = D + R + E + M.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fingan.encoding.layout import Layout
from fingan.types import Float64

END_OF_RAMPS = 3.0
"""Ramps end at ± 3: beyond lie 0.3 % of the rows, which the plain score still tells apart."""

EDGE_STEEPNESS = 20.0
"""Slope of the sigmoids at atom edges: from 0.1 to 0.9 within 0.22 of a normal score."""

PAIR_SCALE = 0.5
"""Knots for g_i - g_j lie closer: the difference of correlated scores is narrower than a score."""

_EDGE_MARGIN = 1e-6


def normal_quantile(probability: Float64) -> Float64:
    """Return Φ⁻¹ of probabilities in (0, 1), float64, any shape."""
    values: Float64 = torch.special.ndtri(torch.from_numpy(np.asarray(probability, dtype=np.float64))).numpy()
    return values


def ramp_knots(knots: int) -> Float64:
    """Return the ends of the ramps [knots + 2]: normal quantiles of (i + ½) / knots, closed by ± 3."""
    inner = normal_quantile((np.arange(knots) + 0.5) / knots)
    return np.concatenate([[-END_OF_RAMPS], inner, [END_OF_RAMPS]])


def _ramps(layout: Layout, knots: int) -> tuple[Float64, Float64]:
    """Return the affine map [F, R], [R] that takes each ramp onto - ½ … ½."""
    ends = ramp_knots(knots)
    scale, shift = 1.0 / np.diff(ends), -(ends[:-1] / np.diff(ends)) - 0.5
    # A score without atoms is smooth and normal: ramps have nothing to find there, but rows to tell by.
    fields = [field for field, edges in enumerate(layout.edges) if len(edges)]
    count = len(fields) + len(layout.pairs)
    weight = np.zeros((layout.numeric, count, scale.size))
    for row, field in enumerate(fields):
        weight[field, row] = scale
    for row, (left, right) in enumerate(layout.pairs, start=len(fields)):
        weight[left, row] = scale / PAIR_SCALE
        weight[right, row] = -scale / PAIR_SCALE
    return weight.reshape(layout.numeric, -1), np.tile(shift, count)


def _edges(layout: Layout) -> tuple[Float64, Float64]:
    """Return the affine map [F, E], [E] whose sigmoid steps at each atom edge."""
    inside = [np.unique(e[(e > _EDGE_MARGIN) & (e < 1.0 - _EDGE_MARGIN)]) for e in layout.edges]
    owner = np.repeat(np.arange(layout.numeric), [e.size for e in inside])
    position = normal_quantile(np.concatenate([np.zeros(0), *inside]))
    weight = np.zeros((layout.numeric, position.size))
    weight[owner, np.arange(position.size)] = EDGE_STEEPNESS
    return weight, -EDGE_STEEPNESS * position


class RowFeatures(nn.Module):
    """Rows and masks → the discriminator's inputs [B, I].

    Per numeric field that has atoms (and per pair's difference) a piecewise-linear encoding:
    ramp k climbs from - ½ to ½ between two knots and is flat elsewhere, so a
    linear layer on top is a piecewise-linear function (Gorishniy et al., "On
    embeddings for numerical features in tabular deep learning", 2022). At the
    edges of a field's atoms, a steep sigmoid. All ramps are one matrix product
    and one clamp; nothing here is learned.

    Args:
        layout: the dense row.
        knots: quantile knots per number; 0 for no ramps and no edges.
    """

    ramp_weight: Tensor
    ramp_shift: Tensor
    edge_weight: Tensor
    edge_shift: Tensor

    def __init__(self, layout: Layout, knots: int) -> None:
        super().__init__()
        self.numeric = layout.numeric
        maps = (_ramps(layout, knots), _edges(layout)) if knots and layout.numeric else ()
        self.present: list[str] = []
        self.width = layout.dense + layout.units
        for name, (weight, shift) in zip(("ramp", "edge"), maps, strict=False):
            if shift.size:
                self.register_buffer(f"{name}_weight", _float(weight), persistent=False)
                self.register_buffer(f"{name}_shift", _float(shift), persistent=False)
                self.present.append(name)
                self.width += shift.size

    def forward(self, rows_BD: Tensor, mask_BM: Tensor) -> Tensor:
        numbers_BF = rows_BD[:, : self.numeric]
        parts = [rows_BD, mask_BM]
        # bfloat16 numbers would blur the narrow ramps; the inputs may be rounded only afterwards.
        with torch.autocast(rows_BD.device.type, enabled=False):
            if "ramp" in self.present:
                ramps_BR = torch.addmm(self.ramp_shift, numbers_BF, self.ramp_weight)
                parts.append(functional.hardtanh(ramps_BR, -0.5, 0.5, inplace=True))
            if "edge" in self.present:
                parts.append(torch.addmm(self.edge_shift, numbers_BF, self.edge_weight).sigmoid_())
        return torch.cat(parts, dim=1)


def _float(values: Float64) -> Tensor:
    return torch.from_numpy(values).to(torch.float32)
