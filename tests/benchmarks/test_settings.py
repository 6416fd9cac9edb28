"""The command that writes the settings which searches found into the package."""

from __future__ import annotations

import datetime

import pytest

from benchmarks import __main__ as program
from benchmarks.results import Results
from benchmarks.settings import entries, main
from fingan.config import Config, to_mapping
from fingan.search import Record, Trial, ranked
from fingan.search.shipped import SETTINGS, read_entries

DAY = datetime.date(2026, 1, 31)


def row(dataset: str, rate: float, score: float, scheduler: str = "asha", **changed: object) -> dict:
    repeated = [
        Trial(number, {"training.lr": value}, seed, "final", "finished", ((60.0, reached + seed / 100),))
        for number, value, reached in ((0, 0.001, 0.9), (7, rate, score))
        for seed in range(2)
    ]
    values = {
        "name": dataset,
        "shape": {"rows": 900, "columns": 9, "categories": 0.1},
        "base": to_mapping(Config()),
        "space": {},
        "trials": (),
        "finalists": tuple(f.to_json(0.9) for f in ranked(repeated, 0.9, 0.0)),
        "winner": {"training.lr": rate},
        "status": "finished",
    }
    key = {"dataset": dataset, "scheduler": scheduler, "trials": 40, "trial_seconds": 60.0}
    return {**key, "date": "2026-01-31", "record": Record(**{**values, **changed}).to_json()}


def test_the_winner_with_the_lowest_bound_of_each_table_is_taken():
    seed = {"dataset": "adult", "seed": 1000, "setting": "tuned", "date": "2026-01-31", "figures": {}}
    rows = [row("adult", 0.02, 0.5), seed, row("loans", 0.04, 0.6), row("adult", 0.03, 0.4, "none")]
    adult, loans = entries(rows)
    assert (adult.params, loans.params) == ({"training.lr": 0.03}, {"training.lr": 0.04})
    assert adult.command == (
        "python -m benchmarks tuning --dataset adult --trials 40 --seconds 60  # tune.scheduler=none"
    )
    assert adult.date == loans.date == DAY
    assert adult.base_scores == pytest.approx((0.9, 0.91))


def test_a_search_without_a_winner_is_passed_over():
    rows = [row("adult", 0.02, 0.5, winner=None), row("loans", 0.04, 0.6)]
    assert [entry.params for entry in entries(rows)] == [{"training.lr": 0.04}]


def test_the_file_is_written_from_the_results(tmp_path, capsys):
    results = Results("tuning", tmp_path)
    results.add(row("adult", 0.02, 0.5))
    output = tmp_path / "settings.json"
    program.main(["settings", "--results", str(tmp_path), "--output", str(output)])
    assert read_entries(output) == entries(results.rows())
    assert "| python -m benchmarks tuning --dataset adult" in capsys.readouterr().out


def test_without_a_search_the_file_stays_as_it_is(tmp_path):
    output = tmp_path / "settings.json"
    output.write_text("kept")
    with pytest.raises(SystemExit, match="no finished search; run python -m benchmarks tuning first"):
        main(["--results", str(tmp_path), "--output", str(output)])
    assert output.read_text() == "kept"


def test_what_is_shipped_comes_from_the_searches_in_the_results():
    found = [entry for searched in Results("tuning").rows() for entry in entries([searched])]
    assert all(entry in found for entry in read_entries(SETTINGS))


def test_the_command_tells_how_to_run_it(capsys):
    with pytest.raises(SystemExit) as ended:
        program.main(["settings", "--help"])
    assert ended.value.code == 0
    assert "python -m benchmarks settings" in capsys.readouterr().out


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(
        SystemExit, match=r"unknown benchmark 'setting'; known: quality, .*document, settings"
    ):
        program.main(["setting"])
