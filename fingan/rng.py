"""Keyed randomness: every draw is a function of a seed, a purpose and an index.

Nothing here touches a global generator, so results do not depend on what ran
before, on the number of workers, or on the order of the draws.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from fingan.types import Int64

if TYPE_CHECKING:
    import torch

_ROUNDS = 4


def key(seed: int, purpose: str, *index: int) -> int:
    """Return a 64-bit key of (seed, purpose, index); distinct inputs give independent keys."""
    text = repr((int(seed), purpose, tuple(int(i) for i in index)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def numpy_generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return a Philox generator keyed by (seed, purpose, index)."""
    return np.random.Generator(np.random.Philox(key=key(seed, purpose, *index)))


def stream(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return an SFC64 generator keyed by (seed, purpose, index): numpy's fastest, for long draws."""
    return np.random.Generator(np.random.SFC64(key(seed, purpose, *index)))


def torch_generator(seed: int, purpose: str, *index: int) -> torch.Generator:
    """Return a CPU torch generator keyed by (seed, purpose, index).

    Torch seeds it with 32 bits: not for keys of which there are many, such as the blocks of a sample.
    """
    import torch

    generator = torch.Generator()
    generator.manual_seed(key(seed, purpose, *index) & 0x7FFF_FFFF_FFFF_FFFF)
    return generator


def _mix(value: np.ndarray, round_key: int) -> np.ndarray:
    """Finalise 64-bit words (splitmix64) under a round key."""
    mixed = value + np.uint64(round_key)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def permute(index: Int64, size: int, permutation_key: int) -> Int64:
    """Map `index` in [0, size) through a keyed bijection of [0, size).

    A balanced Feistel network over the next even power of two, with cycle
    walking back into the range (Black & Rogaway, 2002): random access to a
    permutation in O(1) memory.

    Args:
        index: positions, int64, any shape, each in [0, size).
        size: size of the domain, 1 … 2^62.
        permutation_key: 64-bit key, as from `key`.

    Raises:
        ValueError: a size or a position out of range (it would walk for ever).
    """
    if size < 1 or size > 1 << 62:
        raise ValueError(f"size must be in 1 … 2^62, got {size}")
    if np.size(index) and (np.min(index) < 0 or np.max(index) >= size):
        raise ValueError(f"positions must be in [0, {size}), got {np.min(index)} … {np.max(index)}")
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half) - 1)
    keys = [key(permutation_key, "feistel", r) for r in range(_ROUNDS)]
    out = np.array(index, dtype=np.uint64).ravel()
    pending = np.arange(out.size)
    with np.errstate(over="ignore"):
        while pending.size:
            left, right = out[pending] >> np.uint64(half), out[pending] & mask
            for round_key in keys:
                left, right = right, left ^ (_mix(right, round_key) & mask)
            out[pending] = (left << np.uint64(half)) | right
            pending = pending[out[pending] >= np.uint64(size)]
    return out.astype(np.int64).reshape(np.shape(index))
