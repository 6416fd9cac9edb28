"""What a front keeps of the requests that it has checked."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from fingan.config import ServiceConfig
from fingan.registry import Ref, Registry
from fingan.service import front as fronts
from fingan.service.admission import Admission
from fingan.service.calls import RowsCall
from fingan.service.catalogue import Catalogue, Version
from fingan.service.formats import FORMATS
from fingan.service.front import Front
from fingan.service.quota import Quotas
from fingan.service.requests import SampleRequest
from fingan.service.sampler import Sampler
from fingan.service.telemetry import Prometheus
from fingan.service.workbench import Workbench
from fingan.types import Json
from tests.service.services import Service


class Noting(Workbench):
    """A backend in this process that notes what it is asked to check."""

    def __init__(self, registry: Path) -> None:
        super().__init__(Sampler(Registry(registry)))
        self.asked: list[RowsCall] = []

    async def check(self, call: RowsCall) -> Json:
        self.asked.append(call)
        return await super().check(call)


def front(registry: Path, backend: Noting) -> Front:
    config = ServiceConfig(registry=str(registry))
    return Front(
        config=config,
        backend=backend,
        catalogue=Catalogue(Registry(registry), backend),
        admission=Admission(config.limits, 4, 4),
        quotas=Quotas(None),
        telemetry=Prometheus(),
        paced=True,
    )


def test_what_was_checked_is_known_by_a_hash_and_the_least_used_is_forgotten(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fronts, "CHECKED", 3)

    async def test() -> None:
        backend = Noting(registry)
        own = front(registry, backend)
        version = Version(Ref("tiny", 2), await backend.prepare("tiny:2"))

        async def check(age: int, rows: int = 10) -> None:
            wanted: dict[str, Any] = {"where": {"age": " " * 5000 + str(age)}, "rows": rows}
            await own.answer(version, SampleRequest(**wanted), FORMATS["arrow"])

        for age in (30, 31, 32):
            await check(age)
        await check(30, rows=20)
        assert len(backend.asked) == 3
        await check(33)
        # 31 was asked for least lately.
        await check(30)
        await check(32)
        assert len(backend.asked) == 4
        await check(31)
        assert len(backend.asked) == 5
        assert len(own.checked) == 3
        assert sum(map(len, own.checked)) < 200, "nothing of what callers wrote is kept"
        backend.close()

    asyncio.run(test())


def test_long_texts_are_refused(running: Service) -> None:
    padded = " " * 9_997
    assert running.rows("tiny", where={"age": f"{padded} 30"}).status_code == 200
    refused = running.rows("tiny", where={"age": f"{padded}  30"})
    assert refused.status_code == 422
    detail = refused.json()["detail"]
    assert "where" in detail
    assert "the text for 'age' has 10,001 characters, and may have 10,000" in detail
    assert len(detail) < 500
