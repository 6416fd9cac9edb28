"""One trial, without Ray."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fingan.cluster.tuning import trial as module
from fingan.cluster.tuning.ledger import SearchFolder
from fingan.cluster.tuning.trial import Order, run_trial
from fingan.errors import DataError
from fingan.preparation import prepare
from fingan.search import SearchSpace
from tests.tiny import arrow, config


@pytest.fixture
def order(tmp_path) -> Order:
    folder = SearchFolder.create(tmp_path, "m", {"config": {}})
    return Order(folder.path, "driver", SearchSpace.of(config("compute.workers=1")), (1.0,), local=True)


def on(order: Order, gpus: float) -> Order:
    """Return the order of a search whose trials have so many GPUs."""
    base = config("compute.workers=1", f"compute.gpus_per_worker={gpus}")
    return replace(order, space=SearchSpace.of(base))


@pytest.mark.parametrize(("gpus", "device"), [(0.5, "cuda"), (1, "cuda"), (0, "cpu")])
def test_a_trial_in_one_process_trains_on_the_gpu_that_it_takes(order, monkeypatch, gpus, device):
    devices = []

    def started(prepared, *_, device=None, **__):
        devices.append(device)
        raise DataError("that was enough")

    monkeypatch.setattr(module, "start", started)
    order = on(order, gpus)
    run_trial({"number": 0, "seed": 0, "stage": "search"}, order, prepare(arrow(), order.space.base))
    assert devices == [torch.device(device)]
