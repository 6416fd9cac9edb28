"""A whole run of several workers is as good as one worker's, judged by the spread over seeds."""

import dataclasses

import pytest
import torch.multiprocessing as mp

from fingan.config.loading import from_mapping
from fingan.data import read_table
from fingan.data.demo import GERMAN_CREDIT, demo_table_path
from fingan.fitting import start
from fingan.preparation import prepare
from tests.distributed.workers import full_run, overridden

SETTINGS = (
    "network.width=64",
    "training.batch_size=128",
    "training.time_budget=null",
    "training.steps=400",
    "training.validations=4",
    "compute.precision=fp32",
    "data.validation=0.3",
    f"data.target={GERMAN_CREDIT.target}",
)
SEEDS = range(5)


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.timeout(900)
def test_two_workers_score_within_the_spread_over_seeds(tmp_path):
    """Rounding differs, so 400 steps part the weights; the score stays within 3 deviations of the mean.

    Five seeds estimate the deviation, so a correct program fails about once in 40 versions of it.
    """
    prepared = prepare(read_table(demo_table_path(GERMAN_CREDIT)), from_mapping({}, SETTINGS))
    scores = []
    for seed in SEEDS:
        run = start(dataclasses.replace(prepared, config=overridden(prepared.config, (f"seed={seed}",))))
        scores.append(run.train().score)
    mp.spawn(full_run, (prepared, tmp_path), nprocs=2)
    several = [float((tmp_path / f"score-{rank}").read_text(encoding="utf-8")) for rank in (0, 1)]
    assert several[0] == several[1]
    mean = sum(scores) / len(scores)
    deviation = (sum((s - mean) ** 2 for s in scores) / (len(scores) - 1)) ** 0.5
    assert abs(several[0] - mean) <= 3.0 * deviation, (several, scores)
