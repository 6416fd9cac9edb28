"""The noise that rows are made from: each block's is a function of (seed, purpose, block).

Keys have 64 bits and count whole: a generator that is seeded with fewer gives two of a sample's
blocks the same noise now and then, and so the same thousand rows (with 32 bits, about one pair of
blocks in 10^8 rows).

Letters: B rows, C categorical fields, M conditioning units, Z noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fingan.rng import stream
from fingan.types import Float64


@dataclass(frozen=True)
class Noise:
    """What rows are made from.

    Attributes:
        normal: the network's input [B, Z].
        choice: uniforms [C, B] that draw the codes.
        spare: uniforms [M, B] for draws inside groups of rare categories.
    """

    normal: Tensor
    choice: Float64
    spare: Float64

    def cut(self, first: int, last: int) -> Noise:
        """Return rows first … last − 1, copied: a view would keep the whole."""
        rows = slice(first, last)
        return Noise(self.normal[rows].clone(), self.choice[:, rows].copy(), self.spare[:, rows].copy())


def draw_noise(width: int, fields: int, units: int, key: tuple[int, str, int], rows: int) -> Noise:
    """Return the noise of a block's first rows, which does not depend on how many are drawn.

    Args:
        width: of the network's input, Z.
        fields: categorical ones, C.
        units: of conditioning, M.
        key: seed, purpose and block.
        rows: B.
    """
    seed, purpose, block = key
    normal = stream(seed, purpose, block).standard_normal((rows, width), dtype=np.float32)
    uniform = uniforms(fields + units, (seed, f"{purpose} codes", block), rows)
    return Noise(torch.from_numpy(normal), uniform[:fields], uniform[fields:])


def uniforms(fields: int, key: tuple[int, str, int], rows: int) -> Float64:
    """Return uniforms [fields, rows] in [0, 1), in steps of 2^-53, of a block's first rows."""
    seed, purpose, block = key
    # Drawn row by row, so that the first rows come first.
    return np.ascontiguousarray(stream(seed, purpose, block).random((rows, fields)).T)


def side_by_side(parts: Sequence[Noise]) -> Noise:
    """Return the noise of several parts, one after the other."""
    if len(parts) == 1:
        return parts[0]
    normal = torch.cat([part.normal for part in parts])
    choice, spare = (np.hstack([getattr(part, name) for part in parts]) for name in ("choice", "spare"))
    return Noise(normal, choice, spare)
