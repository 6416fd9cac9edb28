"""Generators in memory, and what is left of those that were."""

from __future__ import annotations

from pathlib import Path

import pyarrow.fs as pafs

from fingan.registry import Registry
from fingan.service.sampler import Sampler


def test_of_versions_that_are_loaded_from_an_object_store_no_file_stays(registry: Path) -> None:
    # A file system in which a path is given is taken for an object store.
    store = Registry(
        "registry", filesystem=pafs.SubTreeFileSystem(str(registry.parent), pafs.LocalFileSystem())
    )
    sampler = Sampler(store, models=1)
    for model in ("tiny:1", "tiny:2", "tiny:1"):
        assert sampler.prepare(model)["card"].startswith("# Model card")
        assert sampler.models == [model]
    assert sampler.served("tiny:1").generator.sample(5).num_rows == 5
    assert store._copies is not None
    assert list(store._copies.iterdir()) == []
