"""The tables of the quality benchmark: computed verdicts, the guard, quoted rows."""

from __future__ import annotations

import pytest

from benchmarks.curve import _table, draw
from benchmarks.quality import fitting_batch, half_settings
from benchmarks.quality_tables import breaches, table
from tests.benchmarks import toys

GOOD = {
    "shape_error": 0.5,
    "trend_error": 1.9,
    "detection_auc": 0.65,
    "tstr_share": 99.0,
    "dcr_leak": 0.02,
    "exact_copies": 0.1,
}


def rows(**changed):
    members = [toys.quality_row(seed=seed, **{**GOOD, **changed}) for seed in (0, 1, 2)]
    halves = [toys.quality_row("half model", seed, dcr_share=0.51) for seed in (0, 1, 2)]
    return [toys.quality_row("permuted columns", shape_error=0.0), *members, *halves]


def test_verdicts_are_computed_from_medians():
    text = table(rows())
    lines = {
        line.split("|")[1].strip(): line.split("|")[-2].strip()
        for line in text.splitlines()
        if "≤" in line or "≥" in line
    }
    assert lines == {
        "shape_error": "aim",
        "trend_error": "must",
        "detection_auc": "miss",
        "tstr_share": "aim",
        "dcr_share": "aim",
        "dcr_leak": "aim",
        "exact_copies_beyond_holdout": "aim",
        "training_minutes": "aim",
    }


def test_a_verdict_tells_of_seeds_that_are_missing():
    text = table([row for row in rows() if row["seed"] == 0 or row["model"] == "fingan"])
    assert "| ≤ 0.53 / ≤ 0.53 | aim so far (1 of 3 seeds) |" in text
    assert "| ≤ 1 / ≤ 0.7 | aim |" in text


def test_published_rows_and_real_data_stand_beside_ours():
    text = table(rows())
    assert "TabDiff (published)" in text
    assert "| real against real |" in text
    assert "breaks the guard" not in text


def test_runs_on_other_processors_or_with_other_workers_are_other_figures():
    one, other = (toys.quality_row(seed=seed, **GOOD) for seed in (0, 1))
    other["machine"] = {**toys.MACHINE, "amx": True}
    first, second, *_ = [line for line in table([one, other]).splitlines() if line.startswith("| fingan")]
    assert "1 of 4 kept, one, bf16" in first
    assert "1 of 4 kept, one, AMX" in second
    other |= {"machine": one["machine"], "workers": 1}
    budgets = [line.split(" | ")[2] for line in _table([one, other]).splitlines()[2:]]
    assert budgets == ["10, 2 workers", "10, 1 worker"]


def test_a_run_is_judged_by_the_half_model_of_the_same_kind_of_processor():
    other = {**toys.MACHINE, "amx": True}
    wholes = [toys.quality_row(**GOOD), toys.quality_row(**GOOD) | {"machine": other}]
    halves = [toys.quality_row("half model", dcr_share=share) for share in (0.51, 0.6)]
    halves[1]["machine"] = other
    first, second, *_ = [line for line in table(wholes + halves).splitlines() if line.startswith("| fingan")]
    assert "breaks" not in first
    assert "breaks the guard: dcr_share" in second
    only_one = table([*wholes, halves[0]])
    assert "not measured" not in only_one


def test_results_of_another_protocol_are_left_out():
    old = [{k: v for k, v in row.items() if k != "protocol"} for row in rows()]
    assert table(old) == "Not measured yet."


def test_a_run_that_breaks_the_guard_is_marked():
    assert "**breaks the guard: dcr_leak**" in table(rows(dcr_leak=0.4))
    assert "**breaks the guard: exact_copies**" in table(rows(exact_copies=0.9))


def test_a_guard_that_was_not_measured_does_not_hold():
    run = toys.quality_row(**GOOD)
    assert breaches(run, {}) == ["dcr_share not measured"]
    assert breaches(run, {0: toys.quality_row("half model", dcr_share=0.535)}) == [
        "dcr_share (within its interval)"
    ]
    assert breaches(run, {0: toys.quality_row("half model", dcr_share=0.6)}) == ["dcr_share"]


def test_a_half_of_a_small_table_gets_a_batch_that_it_can_fill():
    assert fitting_batch(16_000, []) == []
    assert fitting_batch(400, []) == ["training.batch_size=256"]


@pytest.mark.parametrize(("rows", "steps"), [(32_561, 10_640), (800, 470)])
def test_a_half_is_gone_through_as_often_as_the_whole(rows, steps):
    """However long that takes: in half of the time, a fixed part of which is not training, it is not."""
    own = half_settings("y", rows // 2, 3, steps, 1, ["network.width=64"])
    assert (own.seed, own.network.width, own.training.time_budget) == (3, 64, None)
    passes = own.training.steps * own.training.batch_size / (rows / 2)
    assert passes == pytest.approx(steps * 512 / rows, rel=0.01)


def test_the_chart_is_an_image(tmp_path):
    points = [toys.quality_row(detection_auc=0.6, trend_error_own_bins=2.0)]
    draw(points, tmp_path / "docs" / "quality.png")
    assert (tmp_path / "docs" / "quality.png").read_bytes().startswith(b"\x89PNG")
