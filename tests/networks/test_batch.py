import torch

from tests.networks.toy import MIXED, make_batch


def test_part_shares_memory_and_keeps_the_global_size():
    batch = make_batch(MIXED, 8, noise=3)
    part = batch.part(2, 5)
    assert part.rows.shape == (3, MIXED.dense)
    assert part.mix.shape == (3, 1)
    assert part.global_size == 8
    assert part.rows.data_ptr() == batch.rows[2:].data_ptr()


def test_to_casts_every_tensor():
    batch = make_batch(MIXED, 4, noise=3).to(dtype=torch.float64)
    assert {t.dtype for t in batch._tensors().values()} == {torch.float64}
    assert batch.global_size == 4
