"""Where a replica's networks run: on a GPU that it was given, else on the CPU."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from fingan.config import ReplicasConfig, ServiceConfig
from fingan.registry import Registry
from fingan.service import deployment, local
from fingan.service.calls import RowsCall
from fingan.service.sampler import Sampler, device_of, made
from fingan.service.telemetry import Prometheus
from fingan.service.workbench import Workbench


@pytest.mark.parametrize(
    ("gpus", "there", "wanted"),
    [(0.0, False, "cpu"), (0.0, True, "cpu"), (0.5, True, "cuda"), (1.0, True, "cuda"), (1.0, False, "cpu")],
)
def test_a_gpu_is_used_where_it_was_given_and_is_there(
    gpus: float,
    there: bool,
    wanted: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    with caplog.at_level(logging.WARNING):
        assert device_of(ReplicasConfig(gpus=gpus)) == wanted
    assert ("replicas.gpus" in caplog.text) is (gpus > 0 and not there)


def test_a_sampler_loads_onto_its_device_and_gives_the_rows_of_any_other(registry: Path) -> None:
    # The processor by another name: a device that every machine has, and that is not the default.
    sampler = Sampler(Registry(registry), device="cpu:0")
    served, other = sampler.served("tiny:1"), Sampler(Registry(registry)).served("tiny:1")
    assert served.generator.engine.device == torch.device("cpu:0")
    assert other.generator.engine.device == torch.device("cpu")
    call = RowsCall("tiny:1", served.manifest.digest, 500, 3000, seed=4)
    assert made(served, call) == made(other, call)


def test_replicas_on_ray_and_in_this_process_choose_alike(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ServiceConfig(registry=str(registry), replicas=ReplicasConfig(gpus=0.5))
    asked: list[ReplicasConfig] = []

    def chosen(own: ReplicasConfig) -> str:
        asked.append(own)
        return "cpu:0"

    for module in (deployment, local):
        monkeypatch.setattr(module, "device_of", chosen)
    replica = deployment.Replica(config)
    with local.in_process(config, Prometheus()) as bench:
        for found in (replica._bench, bench):
            assert isinstance(found, Workbench)
            assert found._sampler.served("tiny:1").generator.engine.device == torch.device("cpu:0")
    replica._bench.close()
    assert asked == [config.replicas, config.replicas]
