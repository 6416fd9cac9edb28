import pytest
import torch

from tests.networks.toy import MIXED, make_batch


def test_to_casts_every_floating_tensor_and_keeps_places():
    batch = make_batch(MIXED, 4, noise=3, every=2).to(dtype=torch.float64)
    steps = batch.steps
    floating = (
        batch.rows,
        batch.mask,
        batch.noise,
        batch.gumbel,
        batch.mix,
        steps.numbers,
        steps.towards,
        steps.ways,
        steps.weights,
    )
    assert {t.dtype for t in floating} == {torch.float64}
    assert batch.penalised.tolist() == [0, 2]
    assert batch.global_size == 4


def test_steps_add_to_numbers_and_go_between_codes():
    batch, fake = make_batch(MIXED, 8, noise=3, every=2), make_batch(MIXED, 8, noise=3, seed=1).rows
    here = torch.cat([batch.rows[::2], fake[::2]])
    there, steps, first = batch.steps.taken(batch.rows[::2], fake[::2]), batch.steps, MIXED.numeric
    torch.testing.assert_close(there[:, :first], here[:, :first] + steps.numbers)
    towards = torch.cat([steps.towards, steps.towards])
    expected = (1 - steps.ways) * here[:, first:] + steps.ways * towards
    torch.testing.assert_close(there[:, first:], expected)
    for block in there[:, first:].split(MIXED.widths, dim=1):
        torch.testing.assert_close(block.sum(dim=1), torch.ones(8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_batch_on_a_gpu_holds_the_same_numbers():
    batch = make_batch(MIXED, 4, noise=3, every=2)
    there = batch.to("cuda", torch.float32)
    torch.cuda.synchronize()
    assert there.rows.is_cuda
    assert torch.equal(there.rows.cpu(), batch.rows.float())
    assert torch.equal(there.penalised.cpu(), batch.penalised)
