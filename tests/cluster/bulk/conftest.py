"""Fixtures of the partitioned samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fingan.cluster.bulk import Sampled, sample_partitions
from tests.cluster.bulk.samples import PART, ROWS
from tests.tiny import published


@pytest.fixture(scope="module")
def registry(tmp_path_factory) -> str:
    """A registry with version 1 of the model `m`."""
    return published(tmp_path_factory.mktemp("models"))


@pytest.fixture
def sample(registry, tmp_path) -> Callable[..., Sampled]:
    """Write 5,000 rows in parts of 1,500 into `tmp_path/rows`, in this process."""

    def call(rows: int = ROWS, place: str | Path = tmp_path / "rows", **options) -> Sampled:
        given = {"partition_rows": PART, "workers": 0, "seed": 3, **options}
        return sample_partitions(registry, "m", rows, place, **given)

    return call
