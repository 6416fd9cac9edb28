"""Along which directions the penalty steps away from a row."""

from __future__ import annotations

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from fingan.encoding.table import EncodedTable

ROWS = 20_000
LEAST_VARIANCE = 1e-3
_MARGIN = 1e-5


def correlation_root(encoded: EncodedTable) -> Tensor:
    """Return the symmetric root [F, F] of the correlation matrix of the numeric fields' normal scores.

    Steps drawn through it are long where the data are wide and short across narrow ridges (two
    balances a month apart). An isotropic step leaves such a ridge at once, so its penalty would
    forbid the discriminator to see how sharp the ridge is.

    Args:
        encoded: the training rows, of which at most 20,000 are looked at.
    """
    step = max(1, len(encoded) // ROWS)
    lower, width = encoded.lower[::step].astype(np.float64), encoded.width[::step]
    scores = ndtri(np.clip(lower + 0.5 * width, _MARGIN, 1.0 - _MARGIN))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.nan_to_num(np.atleast_2d(np.corrcoef(scores, rowvar=False)))
    fields = scores.shape[1]
    correlation = correlation.reshape(fields, fields)
    np.fill_diagonal(correlation, 1.0)
    variance, axes = np.linalg.eigh(correlation)
    root = (axes * np.sqrt(np.maximum(variance, LEAST_VARIANCE))) @ axes.T
    return torch.from_numpy(root).float()
