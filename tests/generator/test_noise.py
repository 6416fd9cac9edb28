"""Noise of blocks: keyed by all of its key, and the same however much of it is drawn."""

from __future__ import annotations

import numpy as np
import torch

from fingan.generator.noise import draw_noise, side_by_side, uniforms

KEY = (7, "sample", 3)


def test_first_rows_do_not_depend_on_how_many_are_drawn():
    whole = draw_noise(8, 3, 2, KEY, 1024)
    for rows in (1, 31, 500):
        part, wanted = draw_noise(8, 3, 2, KEY, rows), whole.cut(0, rows)
        assert torch.equal(part.normal, wanted.normal)
        assert np.array_equal(part.choice, wanted.choice)
        assert np.array_equal(part.spare, wanted.spare)


def test_blocks_whose_keys_agree_in_their_low_half_differ():
    """Generators that are seeded with 32 bits give these two blocks of one sample the same noise."""
    one, other = (draw_noise(64, 5, 2, (0, "sample", block), 1024) for block in (36_436, 54_672))
    shared = torch.eq(one.normal, other.normal).float().mean()
    assert shared < 1e-3
    assert np.mean(one.choice == other.choice) < 1e-3


def test_noise_is_normal_and_uniform():
    noise = draw_noise(64, 8, 2, KEY, 1024)
    assert noise.normal.dtype == torch.float32
    assert abs(float(noise.normal.mean())) < 0.02
    assert abs(float(noise.normal.std()) - 1.0) < 0.02
    assert float(noise.choice.min()) >= 0.0
    assert float(noise.choice.max()) < 1.0
    assert abs(float(noise.choice.mean()) - 0.5) < 0.02
    assert abs(float(np.corrcoef(noise.choice[0], noise.normal[:, 0].numpy())[0, 1])) < 0.15


def test_side_by_side_is_one_after_the_other():
    whole = draw_noise(4, 2, 1, KEY, 100)
    joined = side_by_side([whole.cut(0, 30), whole.cut(30, 100)])
    assert torch.equal(joined.normal, whole.normal)
    assert np.array_equal(joined.choice, whole.choice)
    assert uniforms(3, KEY, 10).shape == (3, 10)
