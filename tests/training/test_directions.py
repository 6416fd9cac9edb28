import numpy as np
import torch
from scipy.special import ndtr

from fingan.encoding.table import EncodedTable
from fingan.training.directions import LEAST_VARIANCE, correlation_root


def encoded(scores: np.ndarray) -> EncodedTable:
    lower = ndtr(scores).astype(np.float32)
    return EncodedTable(lower, np.zeros_like(lower), np.zeros((len(lower), 0), np.int32))


def test_the_square_of_the_root_is_the_correlation():
    draw = np.random.default_rng(0)
    base = draw.standard_normal((30_000, 3))
    base[:, 1] = 0.95 * base[:, 0] + np.sqrt(1 - 0.95**2) * base[:, 1]
    root = correlation_root(encoded(base))
    torch.testing.assert_close(root, root.T)
    expected = torch.tensor([[1.0, 0.95, 0.0], [0.95, 1.0, 0.0], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(root @ root, expected, atol=0.02, rtol=0)


def test_equal_and_constant_fields_stay_finite():
    draw = np.random.default_rng(1).standard_normal((500, 1))
    root = correlation_root(encoded(np.concatenate([draw, draw, np.zeros((500, 1))], axis=1)))
    assert torch.isfinite(root).all()
    assert float(torch.linalg.eigvalsh(root @ root).min()) >= 0.9 * LEAST_VARIANCE
    assert correlation_root(encoded(draw)).tolist() == [[1.0]]
