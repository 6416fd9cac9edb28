"""What a trial takes, and how many run at a time."""

from __future__ import annotations

import pytest

from fingan.cluster.tuning import trial as module
from fingan.cluster.tuning.ledger import SearchFolder
from fingan.cluster.tuning.stages import DRIVER_CPUS, concurrency_of, need_of
from fingan.cluster.tuning.trial import Order, run_trial
from fingan.cluster.tuning.work import HOPELESS, hopeless
from fingan.config import ComputeConfig, TuneConfig
from fingan.errors import ConfigError
from fingan.fitting import start
from fingan.preparation import prepare
from fingan.search import SearchSpace, Trial
from fingan.training import TrainResult
from tests.tiny import config, rare_table


@pytest.mark.parametrize(
    ("compute", "local", "cpus", "gpus"),
    [
        ({}, True, 1.0, 0.0),
        ({"workers": 0}, True, 1.0, 0.0),
        ({"threads": 3}, False, 3.0, 0.0),
        ({"workers": 1, "gpus_per_worker": 0.5}, False, 1.0, 0.5),
        ({"workers": 4, "threads": 2}, False, 8 + DRIVER_CPUS, 0.0),
        ({"workers": 4, "threads": 2}, True, 4 + DRIVER_CPUS, 0.0),
        ({"workers": 2, "gpus_per_worker": 1}, False, 2 + DRIVER_CPUS, 2.0),
    ],
)
def test_a_trial_takes_what_its_workers_take(compute, local, cpus, gpus):
    need = need_of(ComputeConfig(**compute), local=local)
    assert need.cpus == pytest.approx(cpus)
    assert need.gpus == pytest.approx(gpus)


def test_a_trial_has_all_of_its_time_for_the_network_of_the_table(tmp_path, monkeypatch):
    """No trial trains the networks of rare classes, for which a run keeps a quarter."""
    settings = config("training.steps=null", "training.time_budget=8s", "tune.trial_budget=4s")
    prepared = prepare(rare_table(), settings)
    assert prepared.rare
    budgets = []

    def trained(own, *_):
        budgets.append(start(own).config.training.time_budget)
        return TrainResult({}, None, 0, 0, 0.0, 0.0, 0, "interrupted")

    monkeypatch.setattr(module, "_train_here", trained)
    folder = SearchFolder.create(tmp_path, "m", {"config": {}})
    order = Order(folder.path, "driver", SearchSpace.of(settings), (1.0,), local=True)
    run_trial({"number": 0, "seed": 0, "stage": "search"}, order, prepared)
    assert budgets == [4.0]


def test_the_driver_of_workers_takes_next_to_nothing():
    assert need_of(ComputeConfig(workers=4), local=False).driver == {"cpu": DRIVER_CPUS}
    assert need_of(ComputeConfig(workers=1, threads=2), local=False).driver == {"cpu": 2.0}


@pytest.mark.parametrize(
    ("config", "cpus", "gpus", "expected"),
    [({}, 8.0, 0.0, 8), ({"trials": 3}, 8.0, 0.0, 3), ({"concurrency": 2}, 8.0, 0.0, 2)],
)
def test_as_many_run_as_fit(config, cpus, gpus, expected):
    need = need_of(ComputeConfig(), local=True)
    assert concurrency_of(TuneConfig(**config), need, cpus, gpus, local=True) == expected


def test_gpus_bound_the_number_too():
    need = need_of(ComputeConfig(workers=1, gpus_per_worker=0.5), local=False)
    assert concurrency_of(TuneConfig(), need, 64.0, 2.0, local=False) == 4


def test_more_than_there_is_is_refused_with_the_figures():
    need = need_of(ComputeConfig(workers=1, gpus_per_worker=1), local=False)
    with pytest.raises(ConfigError, match=r"take 1 CPUs and 1 GPUs, Ray has 8 and 0.*gpus_per_worker"):
        concurrency_of(TuneConfig(), need, 8.0, 0.0, local=False)


def test_a_cluster_that_starts_nodes_itself_is_asked_for_what_the_user_says():
    need, config = (
        need_of(ComputeConfig(workers=1, gpus_per_worker=1), local=False),
        TuneConfig(concurrency=16),
    )
    assert concurrency_of(config, need, 0.0, 0.0, local=False) == 16
    with pytest.raises(ConfigError, match=r"lower tune\.concurrency"):
        concurrency_of(config, need, 8.0, 0.0, local=True)


def trial(status: str, number: int = 0) -> Trial:
    return Trial(number, {}, status=status, curve=((1.0, 0.5),))


def test_a_search_is_hopeless_when_all_fail():
    failed = [trial("failed")] * HOPELESS
    assert hopeless(failed)
    assert hopeless([*failed, trial("running"), trial("interrupted")])
    assert not hopeless(failed[1:])
    assert not hopeless([*failed, trial("finished")])
    assert not hopeless([*failed, trial("pruned")])
