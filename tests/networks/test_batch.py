import torch

from tests.networks.toy import MIXED, make_batch


def test_to_casts_every_floating_tensor_and_keeps_places():
    batch = make_batch(MIXED, 4, noise=3, every=2).to(dtype=torch.float64)
    floating = (
        batch.rows,
        batch.mask,
        batch.noise,
        batch.gumbel,
        batch.jitter_real,
        batch.jitter_fake,
        batch.mix,
    )
    assert {t.dtype for t in floating} == {torch.float64}
    assert batch.penalised.tolist() == [0, 2]
    assert batch.global_size == 4
