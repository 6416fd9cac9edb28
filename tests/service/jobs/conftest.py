"""The place for the jobs of a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.jobs.desk import (
    Desk,
)


@pytest.fixture
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    found = Desk(tmp_path, getattr(request, "param", "folder") == "url")
    yield found
    found.close()
