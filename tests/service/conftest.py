"""A registry with a small model, and a service that answers for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny
from tests.service.services import Service, publish, service


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds `tiny` with two versions; not to be changed."""
    folder = tmp_path_factory.mktemp("service")
    (folder / "bundles").mkdir()
    for number in (1, 2):
        publish(folder / "registry", "tiny", tiny.generator(), folder / "bundles", number=number)
    return folder / "registry"


@pytest.fixture(scope="session")
def running(registry: Path) -> Iterator[Service]:
    """The service of that registry."""
    with service(registry) as found:
        yield found
