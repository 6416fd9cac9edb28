"""The demo's checks of its own result: what is no result must not pass them."""

from __future__ import annotations

from pathlib import Path

from fingan.cli.demo import DETECTION_BOUND, _served
from fingan.cluster import Trained
from fingan.config import from_mapping
from fingan.data import LENDING, conform, demo_table_path, read_table
from fingan.evaluation.detection import detect
from fingan.evaluation.frame import frames
from fingan.fitting import finish, start
from fingan.preparation import prepare
from tests import tiny
from tests.service.services import publish

SETTINGS = (
    f"data.target={LENDING.target}",
    "data.validation=0.0",
    "training.steps=1",
    "training.time_budget=null",
    "network.width=64",
    "compute.precision=fp32",
)


def test_an_untrained_network_fails_the_demo() -> None:
    prepared = prepare(demo_table_path(LENDING), from_mapping({}, SETTINGS))
    generator = finish(prepared, start(prepared).train())
    real = conform(read_table(demo_table_path(LENDING)), prepared.schema)
    sides = frames(prepared.schema, [real, generator.sample(real.num_rows, seed=1)])
    # Calibrated marginals and exact ties are not enough.
    assert detect(*sides, 0).auc > DETECTION_BOUND + 0.03


def test_rows_over_http_must_be_those_of_the_process(tmp_path: Path) -> None:
    (tmp_path / "bundles").mkdir()
    version = publish(tmp_path / "registry", "tiny", tiny.generator(), tmp_path / "bundles")
    trained = Trained("tiny", version, tiny.generator(), interrupted=False, folder=tmp_path)
    rows = tiny.generator().sample(3000, seed=1)
    found = _served(trained, str(tmp_path / "registry"), rows)
    assert found["passed"], found
    assert "3,000 rows over HTTP" in found["message"]
    assert not _served(trained, str(tmp_path / "registry"), rows.slice(1))["passed"]
