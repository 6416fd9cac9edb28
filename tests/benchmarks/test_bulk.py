"""The benchmark of large samples measures what it says, also where bf16 is not multiplied natively."""

from __future__ import annotations

import pytest
import torch

from benchmarks import bulk

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("ray_cluster", "shared_data")
def test_rows_are_written_counted_and_weighed(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    found = bulk.measure(3_000, workers=1, steps=2, folder=tmp_path)
    assert found["counted"] == 3_000
    assert found["parts"] >= 1
    assert found["bytes"] > 0
