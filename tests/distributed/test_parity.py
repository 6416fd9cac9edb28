"""One worker or several, in real process groups: the same model."""

import pytest
import torch
from safetensors.torch import load_file

from tests.distributed.workers import FP32, FP64, PARITY, alone
from tests.training.toys import digest

CASES = [(name, world) for name, (_, worlds) in PARITY.items() for world in worlds]
NETWORKS = ("generator.", "discriminator.", "average.", "best.")


@pytest.fixture(scope="module")
def reference(german):
    runs = {}

    def run(name, precision):
        if (name, precision) not in runs:
            runs[name, precision] = alone(german, name, precision)
        return runs[name, precision]

    return run


def difference(left, right):
    names = [n for n in left if n.startswith(NETWORKS)]
    assert left.keys() == right.keys()
    assert {n.split(".")[0] for n in names} == {n[:-1] for n in NETWORKS}
    return max(float((left[n] - right[n]).abs().max()) for n in names)


@pytest.mark.parametrize(("name", "world"), CASES)
def test_fp64_100_steps(groups, reference, name, world):
    several = load_file(groups / f"{name}-fp64-{world}-0.safetensors")
    assert difference(several, reference(name, FP64)) <= 1e-9


@pytest.mark.parametrize(("name", "world"), CASES)
def test_fp32_20_steps(groups, reference, name, world):
    several = load_file(groups / f"{name}-fp32-{world}-0.safetensors")
    assert difference(several, reference(name, FP32)) <= 5e-5


@pytest.mark.parametrize(("name", "world"), CASES)
@pytest.mark.parametrize("label", ["fp64", "fp32"])
def test_workers_hold_the_same_bits(groups, name, world, label):
    files = [groups / f"{name}-{label}-{world}-{rank}.safetensors" for rank in range(world)]
    assert len({digest(load_file(file)) for file in files}) == 1


@pytest.mark.parametrize("name", list(PARITY))
def test_the_runs_went_somewhere(german, reference, name):
    """Parity of runs that do not learn would be worth nothing."""
    from fingan.fitting import start

    first = start(german).state.tensors()
    last = reference(name, FP64)
    moved = max(float((first[n] - last[n]).abs().max()) for n in first if n.startswith(NETWORKS[:2]))
    assert moved > 1e-2
    assert all(torch.isfinite(t).all() for t in last.values())
