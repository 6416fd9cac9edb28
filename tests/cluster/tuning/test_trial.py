"""One trial, without Ray."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fingan.cluster.tuning import trial as module
from fingan.cluster.tuning.ledger import SearchFolder
from fingan.cluster.tuning.trial import Order, Reporter, TrialHooks, run_trial
from fingan.errors import DataError
from fingan.preparation import prepare
from fingan.search import SearchSpace, Trial
from fingan.training import TrainResult, Update
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


@pytest.fixture
def told(monkeypatch) -> list[tuple[int, float]]:
    """Number and score of all looks that Tune is told of."""
    found: list[tuple[int, float]] = []
    monkeypatch.setattr(module.tune, "report", lambda values: found.append((values["look"], values["score"])))
    return found


def update(look: int, best: float, step: int) -> Update:
    return Update(step, 240, 1.0, 1.0, 1000.0, best, best, {}, "validated", look=look)


def test_a_look_is_told_and_noted_by_its_own_number(order, told):
    """Not as the next one: a window may hold two, and a roll-back goes behind some."""
    search = SearchFolder(order.folder)
    folder = search.trial("search", 0, 0)
    folder.begin(Trial(0, {}), {})
    hooks = TrialHooks(folder.run, folder.run.renew(), search, Reporter(folder, Trial(0, {})))
    for look, best, step in ((2, 0.5, 20), (0, 0.4, 40), (2, 0.3, 60)):
        hooks.on_update(update(look, best, step))
        hooks.on_update(replace(update(0, best, step), event=""))
    assert told == [(2, 0.5), (0, 0.4), (2, 0.3)]
    assert [(look.number, look.step) for look in folder.looks()] == [(2, 20), (0, 40), (2, 60)]
    assert search.trials("search")[0].by_look == {2: 0.3}


def test_the_end_of_a_trial_is_its_last_look(order, told, monkeypatch):
    result = TrainResult({}, 0.3, 20, 20, 1.0, 1.0, 0, "epochs")
    monkeypatch.setattr(module, "_train_here", lambda *_: result)
    monkeypatch.setattr(module, "memorisation", lambda *_: 0.5)
    order = replace(order, looks=(1 / 9, 1 / 3, 1.0))
    run_trial({"number": 0, "seed": 0, "stage": "search"}, order, prepare(arrow(), order.space.base))
    assert told == [(3, 0.3)]
    (trial,) = SearchFolder(order.folder).trials("search")
    assert (trial.status, trial.by_look) == ("finished", {3: 0.3})
