"""Training on a GPU: the same steps as on a CPU, in a group of its own kind, and again from a checkpoint."""

import dataclasses

import pytest
import torch
import torch.distributed as dist

from fingan.fitting import finish, start
from fingan.training import Alone, Group, load_newest
from tests.distributed.workers import FP64, SHORT, overridden
from tests.training.toys import digest

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

NETWORKS = ("generator.", "discriminator.", "average.")


def trained(prepared, overrides, device, reducer=None, folder=None):
    config = overridden(prepared.config, overrides)
    prepared = dataclasses.replace(prepared, config=config, validation=None)
    run = start(prepared, Alone() if reducer is None else reducer, None, folder, torch.device(device))
    run.train()
    return run.state


def on_cpu(state):
    # Without validations the best average is chosen at the very end, after the last checkpoint.
    tensors = state.tensors().items()
    return digest({name: tensor.cpu() for name, tensor in tensors if not name.startswith("best.")})


@pytest.mark.parametrize("penalty", ["first_order", "exact"])
def test_a_gpu_takes_the_steps_of_a_cpu(german, penalty):
    overrides = (*FP64, f"objective.penalty={penalty}", "training.steps=40")
    there = trained(german, overrides, "cuda").tensors()
    here = trained(german, overrides, "cpu").tensors()
    names = [name for name in here if name.startswith(NETWORKS)]
    assert all(there[name].is_cuda for name in names)
    assert max(float((there[name].cpu() - here[name]).abs().max()) for name in names) < 1e-7


def test_a_group_of_one_over_nccl_is_as_none(german, tmp_path):
    overrides = (*FP64, "training.steps=20")
    alone = trained(german, overrides, "cuda").tensors()
    dist.init_process_group("nccl", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        grouped = trained(german, overrides, "cuda", Group()).tensors()
    finally:
        dist.destroy_process_group()
    names = [name for name in alone if name.startswith(NETWORKS)]
    assert max(float((alone[name] - grouped[name]).abs().max()) for name in names) < 1e-9


def test_a_checkpoint_of_a_gpu_is_read_on_gpu_and_cpu(german, tmp_path):
    state = trained(german, SHORT, "cuda", folder=tmp_path)
    expected = on_cpu(state)
    for device in ("cuda", "cpu"):
        config = overridden(german.config, SHORT)
        again = start(dataclasses.replace(german, config=config), device=torch.device(device)).state
        path, problems = load_newest(tmp_path, again)
        assert path is not None
        assert problems == []
        assert on_cpu(again) == expected


def test_what_a_gpu_trains_is_sampled_on_a_cpu(german):
    config = overridden(german.config, ("compute.precision=auto", "training.steps=60"))
    prepared = dataclasses.replace(german, config=config)
    result = start(prepared, device=torch.device("cuda")).train()
    assert result.score is not None
    assert finish(prepared, result).sample(100).num_rows == 100
