"""The demo's bound on the detection AUC: a network that has learned nothing must not pass it."""

from __future__ import annotations

from fingan.cli.demo import DETECTION_BOUND
from fingan.config import from_mapping
from fingan.data import LENDING, conform, demo_table_path, read_table
from fingan.evaluation import evaluate
from fingan.fitting import finish, start
from fingan.preparation import prepare

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
    rows = generator.sample(real.num_rows, seed=1)
    report = evaluate(real, rows, prepared.schema, target=LENDING.target, sections=["detection"])
    # Calibrated marginals and exact ties are not enough.
    assert report["detection_auc"].value > DETECTION_BOUND + 0.03
