"""`/v2/health/ready`: it is true only where rows can be made, and costs little however often it is asked."""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from fingan.registry import Registry
from fingan.service import readiness
from fingan.service.sampler import Sampler
from fingan.service.workbench import Workbench
from tests.service.services import Service, service, until
from tests.service.spoilt import blur, spoil


class Counting(Workbench):
    """A backend in this process that counts the probes, and stops them while `open` is not set."""

    def __init__(self, registry: Path) -> None:
        self.sampler, self.probes = Sampler(Registry(registry)), 0
        self.stopped = False
        super().__init__(self.sampler)

    async def probe(self, model: str | None = None) -> int:
        self.probes += 1
        while self.stopped:
            await asyncio.sleep(0.02)
        return await super().probe(model)


def ready(found: Service) -> tuple[int, Any]:
    answer = requests.get(f"{found.url}/v2/health/ready", timeout=20)
    return answer.status_code, answer.json()


READY, NOT = (200, {"ready": True}), (503, {"ready": False})


def test_a_generator_that_breaks_makes_the_service_unready(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "FRESH_SECONDS", 0.2)
    backend = Counting(registry)
    with service(registry, backend=backend) as found:
        assert ready(found) == READY
        assert backend.sampler.models == ["tiny:2"], "a model is loaded although nobody has asked for one"
        mend = spoil(backend.sampler.served("tiny:2").generator)
        time.sleep(0.3)
        assert ready(found) == NOT
        assert requests.get(f"{found.url}/v2/health/live", timeout=10).status_code == 200
        mend()
        time.sleep(0.3)
        assert ready(found) == READY


def test_rows_that_are_not_finite_make_it_unready_until_the_model_is_loaded_anew(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "FRESH_SECONDS", 0.2)
    backend = Counting(registry)
    with service(registry, backend=backend) as found:
        assert ready(found) == READY
        blur(backend.sampler.served("tiny:2").generator)
        time.sleep(0.3)
        assert ready(found) == NOT
        time.sleep(0.3)
        assert ready(found) == READY


def test_many_who_ask_cost_one_probe(registry: Path) -> None:
    backend = Counting(registry)
    with service(registry, backend=backend) as found:
        for _ in range(20):
            assert ready(found) == READY
    assert backend.probes == 1


def test_a_generator_that_hangs_makes_it_unready_in_time(registry: Path) -> None:
    backend = Counting(registry)
    backend.stopped = True
    with service(registry, backend=backend, limits={"wait": 0.5}) as found:
        began = time.monotonic()
        assert ready(found) == NOT
        assert time.monotonic() - began < 5


def test_a_registry_whose_only_model_is_damaged(registry: Path, tmp_path: Path) -> None:
    shutil.copytree(registry, tmp_path / "registry")
    for weights in (tmp_path / "registry").glob("tiny/*/generator.safetensors"):
        weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with service(tmp_path / "registry") as found:
        assert ready(found) == NOT


def test_a_registry_without_models_is_ready_for_the_first(tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()
    with service(tmp_path / "registry") as found:
        assert ready(found) == READY


def test_a_model_that_cannot_be_loaded_at_the_start_is_loaded_later(
    registry: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "registry").mkdir()
    with service(tmp_path / "registry", preload=["tiny", "tiny:1"]) as found:
        until(lambda: "'tiny:1' cannot be loaded at the start" in caplog.text)
        assert ready(found) == NOT
        shutil.copytree(registry / "tiny", tmp_path / "registry" / "tiny")
        # Nobody asks for it: the service itself goes on looking.
        until(lambda: ready(found) == READY)


def test_a_service_that_gives_up_idle_replicas_is_not_woken(registry: Path) -> None:
    backend = Counting(registry)
    with service(registry, backend=backend, replicas={"fewest": 0}) as found:
        assert ready(found) == READY
    assert backend.probes == 0
