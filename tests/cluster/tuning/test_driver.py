"""A search that goes on, up to its first trial."""

from __future__ import annotations

import pytest

from fingan.cluster.runs import runs_root
from fingan.cluster.tuning import driver
from fingan.cluster.tuning.ledger import SearchFolder
from fingan.config import to_mapping
from fingan.errors import DataError
from tests.cluster.tuning.searches import search, settings


def test_a_resumed_search_keeps_its_precision_and_runs_where_the_command_says(tmp_path, monkeypatch):
    asked = {"config": to_mapping(settings()), "first": [], "data": {}}
    SearchFolder.create(runs_root(tmp_path), "m", asked)
    found = []

    def read(source, config, root):
        found.append(config)
        raise DataError("that was enough")

    monkeypatch.setattr(driver, "prepare", read)
    with pytest.raises(DataError, match="enough"):
        search(tmp_path, "compute.precision=fp32", "compute.threads=2", "tune.trials=9", resume=True)
    assert found == [settings("compute.threads=2")]
