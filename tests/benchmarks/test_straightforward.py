"""The straightforward implementation learns, and the timing and the profile of the package's own add up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import runs
from benchmarks.profiling import KINDS, shares
from benchmarks.straightforward import Straightforward
from benchmarks.training_speed import table
from fingan.fitting import start
from fingan.preparation import prepare
from tests import tiny
from tests.benchmarks import toys


@pytest.fixture
def run():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        prepared = prepare(toys.table(), tiny.config())
        yield Straightforward(prepared.encoded, prepared.encoder.layout, prepared.config)


def test_generated_columns_are_rows_that_keep_what_is_given(run):
    columns, mask, noise = run._batch()
    made = run.generator(noise, mask, columns)
    widths = [column.shape[1] for column in made]
    for column, real, width, unit in zip(made, columns, widths, run.generator.units, strict=True):
        given = mask[:, unit] > 0
        assert torch.equal(column[given], real[given])
        if width > 1:
            assert torch.allclose(column.sum(dim=1), torch.ones(len(column)))


def test_both_networks_and_the_average_move(run):
    networks = (run.generator, run.discriminator, run.average)
    before = [torch.cat([p.detach().flatten() for p in n.parameters()]) for n in networks]
    losses = [run.step() for _ in range(5)]
    after = [torch.cat([p.detach().flatten() for p in n.parameters()]) for n in networks]
    assert all(np.isfinite(list(loss.values())).all() for loss in losses)
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_profile_covers_all_of_a_run():
    prepared = prepare(toys.table(), tiny.config("training.steps=20", "data.validation=0"))
    found = shares(start(prepared).train)
    assert tuple(found) == KINDS
    assert sum(found.values()) == pytest.approx(1.0)
    assert all(found[kind] > 0 for kind in ("matrix products", "optimiser", "batch preparation", "features"))


@pytest.mark.parametrize(("native", "timed"), [(True, ("bf16", "fp32")), (False, ("fp32",))])
def test_only_what_training_would_take_here_is_timed(monkeypatch, native, timed):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    assert runs.precisions() == timed


def test_ratios_are_taken_round_by_round():
    plain, sparse = "straightforward, penalty on all rows", "straightforward, penalty on every 4th step"
    rates = {"bf16": [300.0, 30.0], "fp32": [150.0, 15.0], plain: [100.0, 10.0], sparse: [110.0, 11.0]}
    text = table([{"what": "rates", "dataset": "adult", "machine": toys.MACHINE, "rates": rates}])
    ours, single, *_ = text.splitlines()[2:]
    assert "| 3.00 | 2.73 | pass | one, bf16 |" in ours
    assert "| 1.50 | 1.36 | miss |" in single
    # What pays as much of a penalty as the default is what counts.
    rates[sparse] = [160.0, 16.0]
    text = table([{"what": "rates", "dataset": "adult", "machine": toys.MACHINE, "rates": rates}])
    assert "| 3.00 | 1.88 | miss |" in text
