"""Factors that exist, parts that are really left out, tables."""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchmarks.ablation import DEFAULT, FACTORS, SHOWN, changes_something, key_of, run_one, table
from benchmarks.parts import PARTS, without
from benchmarks.runs import settings, train_alone
from benchmarks.stability import FAMILIES
from benchmarks.stability import table as stability_table
from fingan.encoding.copies import CopyUnit
from fingan.fitting import start
from fingan.generator import identity
from fingan.preparation import prepare
from tests import tiny
from tests.benchmarks import toys


@pytest.mark.parametrize("factor", FACTORS, ids=lambda f: f"{f.part} {f.label}")
def test_every_factor_is_a_valid_configuration_of_known_parts(factor):
    settings("label", factor.sets)
    assert set(factor.parts) <= PARTS.keys()


def test_keys_tell_all_factors_apart():
    keys = [str(key_of("adult", 0, 120, factor)) for factor in FACTORS]
    assert len(set(keys)) == len(FACTORS)


def test_the_default_counts_and_a_factor_equal_to_it_does_not():
    width = settings("y").network.width
    same = type(DEFAULT)("width", "as it is", (f"network.width={width}",))
    assert changes_something(DEFAULT)
    assert not changes_something(same)


def test_families_of_the_stability_benchmark_are_valid():
    for sets in FAMILIES.values():
        settings("label", sets)


def small(*sets):
    return prepare(toys.table(), tiny.config(*sets))


def copies() -> list[str]:
    units = small().encoder.units
    return [unit.columns[0] for unit in units if isinstance(unit, CopyUnit)]


def test_equal_columns_off_learns_them_apart():
    assert copies()
    with without(["equal columns"]):
        assert not copies()
    assert copies()


@pytest.mark.parametrize("part", ["pairs", "ramps"])
def test_pairs_and_ramps_off_take_features_away(part):
    base = start(small()).state.discriminator.features.width
    with without([part]):
        assert start(small()).state.discriminator.features.width < base


def test_no_draws_inside_atoms_means_no_width():
    assert small().encoded.width.any()
    with without(["draws inside atoms"]):
        assert not small().encoded.width.any()


def test_calibration_off_changes_nothing_of_the_output():
    from fingan.fitting import finish

    with without(["calibration"]):
        prepared = small()
        calibration = finish(prepared, start(prepared).train()).engine.calibration
    expected = identity(prepared.encoder.layout)
    assert np.array_equal(calibration.knots, expected.knots)
    assert not calibration.offsets.any()


@pytest.mark.parametrize("part", sorted(PARTS))
def test_every_part_can_be_left_out_of_a_run(part):
    with without([part]):
        result = start(small("training.steps=2")).train()
    assert result.steps == 2


def timed_settings():
    return [s for s in tiny.SETTINGS if not s.startswith(("training.steps", "training.time_budget"))]


def test_a_run_ends_by_cpu_time_not_by_the_clock():
    config = settings("label", timed_settings(), training__time_budget="1s")
    before, begun = time.process_time(), time.monotonic()
    _, result = train_alone(toys.table(), config)
    assert result.reason == "time budget"
    assert 0.8 < result.seconds < 3.0
    # Asleep, a process uses no CPU time: the budget would never be over.
    assert time.process_time() - before >= result.seconds
    assert time.monotonic() - begun >= result.seconds


@pytest.mark.slow
def test_a_run_on_a_real_table_has_all_figures(shared_data):
    found = run_one("adult", 0, 0.5, timed_settings(), [])
    assert found["figures"].keys() == SHOWN.keys()
    assert found["steps"] > 0


def machine(processor="one", *, amx=False, bf16=True):
    return {"processor": processor, "amx": amx, "bf16": bf16}


def two_factors(processor, more=0.0):
    rows = []
    for seed in (0, 1, 2):
        for factor, auc in ((FACTORS[0], 0.70), (FACTORS[1], 0.80)):
            figures = dict.fromkeys(SHOWN, 1.0) | {"detection_auc": auc + more + seed / 1000}
            key = key_of("adult", seed, 120, factor)
            rows.append({**key, "figures": figures, "steps": 10, "machine": machine(processor)})
    return rows


def test_runs_on_other_processors_stand_apart():
    text = table([*two_factors("one"), *two_factors("other", 0.1)])
    assert text.count("(**+0.100**)") == 2
    assert text.index("120 CPU-seconds, one, bf16") < text.index("120 CPU-seconds, other, bf16")


def test_a_deviation_that_is_no_longer_listed_is_still_shown():
    (row, *_) = two_factors("one")
    text = table([row, {**row, "sets": ["network.width=999"], "parts": ["pairs"]}])
    assert "| other | network.width=999, pairs off | 1 |" in text


def test_steps_from_the_default_are_bold_when_clear():
    text = table(two_factors("one"))
    assert "0.801 ± 0.001 (**+0.100**)" in text
    assert "1.00 ± 0.00 (+0.00)" in text
    # Two seeds, as far apart as that, may be so by chance.
    few = [row for row in two_factors("one") if row["seed"] < 2]
    for row in few:
        row["figures"]["detection_auc"] += 0.04 * row["seed"]
    assert "(+0.100)" in table(few)


def test_stability_counts_failures_and_names_the_worst_seed():
    def row(family, seed, auc, **what):
        found = {"dataset": "adult", "family": family, "seed": seed, "seconds": 60, "score": 0.3}
        what.setdefault("machine", machine())
        figures = {"detection_auc": auc, "network_detection_auc": auc + 0.1}
        return {**found, "diverged": False, "collapsed": False, "figures": figures, **what}

    rows = [row("default", 0, 0.70), row("default", 1, 0.71), row("minimax + dense", 0, 0.99)]
    failed = row("minimax + dense", 1, 0.0, diverged=True)
    del failed["figures"]
    text = stability_table([*rows, failed])
    default, textbook = text.splitlines()[2:]
    assert "0.710 (seed 1)" in default
    assert default.endswith("| pass so far (2 of 20 seeds) |")
    every = stability_table([row("default", seed, 0.70 + seed / 1000) for seed in range(20)])
    assert every.splitlines()[2].endswith("| pass |")
    assert "| 50% | 0% |" in textbook
    assert "gave up (seed 1)" in textbook
