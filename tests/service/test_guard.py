"""The gate in front of every route: what it counts, notes and sends on."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import requests

from fingan.service.telemetry import Prometheus
from tests.service.services import service


def test_methods_that_callers_make_up_are_neither_kept_nor_written_out(
    registry: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody needs a token to send them, and a label that was counted once is kept for good."""
    counts = Prometheus()
    with service(registry, telemetry=counts) as found, caplog.at_level(logging.INFO, "fingan.audit"):
        for number in range(30):
            method = f"M{number}" + "A" * 20_000
            assert requests.request(method, f"{found.url}/v1/models", timeout=20).status_code == 401
        assert requests.put(f"{found.url}/v1/models", timeout=20).status_code == 401
    text = counts.text().decode()
    assert len(text) < 20_000
    assert 'fingan_requests_total{method="other",route="none",status="401"} 30.0' in text
    assert 'fingan_requests_total{method="PUT",route="none",status="401"} 1.0' in text
    lines = [record.getMessage() for record in caplog.records if record.name == "fingan.audit"]
    assert len(lines) == 31
    assert all(len(line) < 500 for line in lines)
    assert json.loads(lines[0])["method"] == "M0" + "A" * 18
