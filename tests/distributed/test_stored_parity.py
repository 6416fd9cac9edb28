"""Rows in files: the same model from one worker or several, as of rows in memory."""

import pytest
import torch
from safetensors.torch import load_file

from fingan.encoding.stored import StoredTable
from fingan.training import Alone
from tests.distributed.test_parity import NETWORKS, difference
from tests.distributed.workers import STORED, STORED_WORLDS, train_stored
from tests.training.toys import digest

BOUNDS = {"fp64": 1e-9, "fp32": 2e-5}


@pytest.fixture(scope="module")
def reference(streamed):
    """Precision → the tensors that one worker ends with."""
    return {
        label: train_stored(streamed, precision, Alone()).state.tensors()
        for label, precision in STORED.items()
    }


@pytest.mark.parametrize("world", STORED_WORLDS)
@pytest.mark.parametrize("label", BOUNDS)
def test_workers_learn_from_files_what_one_learns(groups, reference, label, world):
    several = load_file(groups / f"stored-{label}-{world}-0.safetensors")
    assert difference(several, reference[label]) <= BOUNDS[label]


@pytest.mark.parametrize("world", STORED_WORLDS)
@pytest.mark.parametrize("label", BOUNDS)
def test_workers_hold_the_same_bits(groups, label, world):
    files = [groups / f"stored-{label}-{world}-{rank}.safetensors" for rank in range(world)]
    assert len({digest(load_file(file)) for file in files}) == 1


def test_the_runs_went_somewhere(streamed, reference):
    from fingan.fitting import start

    assert isinstance(streamed.encoded, StoredTable)
    assert len(streamed.encoded.blocks) == 10
    first, last = start(streamed).state.tensors(), reference["fp64"]
    moved = max(float((first[n] - last[n]).abs().max()) for n in first if n.startswith(NETWORKS[:2]))
    assert moved > 1e-2
    assert all(torch.isfinite(t).all() for t in last.values())
