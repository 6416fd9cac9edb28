"""The rare class at its natural rate; tables of any size, written piece by piece."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import rare, scale
from benchmarks.scale import FEW, MANY, Case


def test_normal_rows_are_repeated_evenly_up_to_their_number():
    sample = pa.table({"V": [0.5, 0.5, 1.0, 2.0, 3.0], "Class": [1, 1, 0, 0, 0]})
    cards = rare.restore(sample, 10)
    counts = np.unique(cards.natural["V"].to_numpy(), return_counts=True)[1]
    assert cards.natural.num_rows == 12
    assert counts[0] == 2
    assert sorted(counts[1:]) == [3, 3, 4]
    assert cards.frauds.num_rows == 1
    assert cards.rate == pytest.approx(2 / 12)


def test_the_real_cards_have_their_natural_rate(shared_data):
    cards = rare.load_cards()
    assert cards.natural.num_rows == 284_807
    assert cards.rate == pytest.approx(492 / 284_807)
    assert cards.frauds.num_rows == 473


def test_intervals_and_verdicts_of_the_rare_class():
    low, high = rare.interval(np.array([0.1, 0.2, 0.3]))
    assert low == pytest.approx(0.2 - 4.3027 * 0.1 / np.sqrt(3), abs=1e-4)
    assert high == pytest.approx(0.4 - low)
    auc = {"frauds": [0.9, 0.91, 0.92], "normals": [0.7, 0.71, 0.72]}
    row = {"seed": 0, "seconds": 60, "rate": 0.00175, "true_rate": 0.00173, "auc": auc}
    assert rare.table([row]).endswith("| pass | miss |")


def test_the_interval_of_several_models_is_that_of_their_means():
    """Repeats of one model tell how far the judge strays, not how far another training would."""

    def row(seed, frauds):
        auc = {"frauds": [frauds, frauds + 0.01, frauds + 0.02], "normals": [0.5, 0.51, 0.52]}
        return {"seed": seed, "seconds": 60, "rate": 0.00175, "true_rate": 0.00173, "auc": auc}

    each = [row(0, 0.55), row(1, 0.60), row(2, 0.65)]
    line = rare.table(each).splitlines()[-1]
    low, high = rare.interval(np.array([0.05, 0.10, 0.15]))
    assert f"| +0.100 ({low:+.3f} … {high:+.3f}) |" in line
    assert line.endswith("| pass | pass |")


def test_half_models_stand_below_with_their_guard():
    auc = {"frauds": [0.9], "normals": [0.7]}
    whole = {"seed": 0, "seconds": 60, "rate": 0.00175, "true_rate": 0.00173, "auc": auc}

    def half(share):
        found = {"value": share, "reference": 0.5, "interval": [share - 0.02, share + 0.02]}
        model = {"model": "half", "seed": 1, "seconds": 60}
        return {**model, "dcr_share": found, "unseen_auc": [0.7, 0.8], "halves_auc": [0.5, 0.52]}

    bars, halves = rare.table([whole, half(0.52), half(0.61)]).split("\n\n")
    assert bars.count("\n") == 2
    lines = halves.splitlines()
    assert lines[2] == "| 30 s | 1 | 0.750 | 0.510 | 0.520 (0.500 … 0.540) | holds |"
    assert lines[3].endswith("| 0.610 (0.590 … 0.630) | **broken** |")


def test_a_table_is_written_in_pieces_of_its_shape(tmp_path, monkeypatch):
    monkeypatch.setattr(scale, "PIECE", 40)
    scale.write(Case(100, 7, levels=50), tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet")
    assert (table.num_rows, table.num_columns) == (100, 7)
    assert not table.slice(0, 40).equals(table.slice(40, 40))
    assert set(table["label"].to_pylist()) <= {0, 1}


def test_levels_follow_their_number():
    few, many = (scale.piece(Case(50_000, 3, levels), 0, 50_000)["level"] for levels in (FEW, MANY))
    assert len(few.unique()) <= FEW
    assert len(many.unique()) > 10 * FEW


@pytest.mark.slow
def test_a_small_table_runs_through_and_is_measured():
    case = Case(400, 6)
    with_budget = {"seconds": None, "steps": 2}
    with pytest.raises(RuntimeError, match=r"training\.batch_size"):
        scale._measured(case, with_budget, 100)
    found = scale._measured(Case(1000, 6), with_budget, 100)
    assert found["steps"] == 2
    assert found["peak_bytes"] > 50 * 2**20
    assert set(found["cpu_seconds"]) == {"read and encode", "train", "calibrate", "sample"}


def test_the_ratio_of_levels_is_a_median_over_repeats():
    def row(levels, repeat, seconds):
        shape = {"case": "levels", "rows": 10, "columns": 6, "levels": levels, "repeat": repeat, "steps": 3}
        return {**shape, "cpu_seconds": {"train": seconds}, "peak_bytes": 2**30}

    rows = [row(FEW, 0, 10.0), row(MANY, 0, 12.0), row(FEW, 1, 1.0), row(MANY, 1, 3.0), row(MANY, 2, 9.0)]
    assert "2.10 (at most 2: miss)" in scale.table(rows)
