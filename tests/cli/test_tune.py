"""`fingan tune` up to the search itself: settings to begin with, the table of trials, the command."""

from __future__ import annotations

import io

import pytest

from fingan.cli.app import run
from fingan.cli.console import Console
from fingan.cli.trials import LiveTable
from fingan.errors import DataError
from fingan.registry import Registry
from fingan.search import Record, Trial
from fingan.training import Update

TRIALS = [
    Trial(0, {"training.lr": 0.001}, status="finished", curve=((1.0, 0.5),), steps=40),
    Trial(1, {"training.lr": 0.002}, steps=20),
]
UPDATE = Update(20, 40, 1.0, 1.0, 3000.0, 0.5, 0.5, {})


class Terminal(io.StringIO):
    """A standard error that a person looks at."""

    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_table_stands_until_the_winners_training_tells_of_itself(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    console = Console(as_json=False)
    with LiveTable(console) as live:
        live.trials(TRIALS)
        assert "2 trials: 1 running, 1 finished" in terminal.getvalue()
        for stage in ("training with the setting of trial 0", "any other words"):
            drawn = len(terminal.getvalue())
            console.stage(stage)
            assert "2 trials" in terminal.getvalue()[drawn:], "the table is drawn again below a line"
        live.update(UPDATE)
        drawn = len(terminal.getvalue())
        console.stage("calibrating and publishing")
    rest = terminal.getvalue()[drawn:]
    assert "calibrating and publishing" in rest
    assert "2 trials" not in rest
    assert "rows/s" in terminal.getvalue()


def test_elsewhere_a_trial_that_ends_is_told_of_once(capsys):
    with LiveTable(Console(as_json=False)) as live:
        live.trials(TRIALS)
        live.trials(TRIALS)
        live.update(UPDATE)
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("trial 0 finished: quality 0.5000")
    assert "rows/s" in second


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{}", "'format' is missing"),
        ("[1]", "0: Input should be a valid dictionary (got 1)"),
        ('{"training": {"lr": 0.1}}', "'format' is missing"),
        ("training.lr: 0.1", "cannot read settings from"),
    ],
)
def test_a_file_to_begin_with_that_is_something_else_is_named(content, reason, tmp_path, capsys):
    path = tmp_path / "foreign.json"
    path.write_text(content)
    assert run(["tune", "absent.parquet", "--warm-start", str(path)]) == 2
    message = capsys.readouterr().err
    assert str(path) in message
    assert reason in message


def test_a_model_to_begin_with_whose_record_is_none_is_named(monkeypatch, capsys):
    record = {**Record("adult", {}, {}, {}, ()).to_json(), "trials": 5}
    monkeypatch.setattr(Registry, "show", lambda registry, name: {"metrics": {"search": record}})
    assert run(["tune", "absent.parquet", "--warm-start", "adult:3"]) == 2
    message = capsys.readouterr().err
    assert "--warm-start 'adult:3': this is no record of a search: trials: " in message
    assert "(got 5)" in message


def test_the_command_on_record_is_the_one_that_was_given(monkeypatch):
    noted = []

    def search(*given: object) -> None:
        noted.append(given[-1])
        raise DataError("far enough")

    monkeypatch.setattr("fingan.cluster.tuning.tune", search)
    words = ["tune", "a table.parquet", "--set", "tune.space.training.lr=[0.1, 0.2]"]
    assert run(words) == 1
    assert noted == ["fingan tune 'a table.parquet' --set 'tune.space.training.lr=[0.1, 0.2]'"]


def test_copies_of_the_report_of_a_job_are_refused(tmp_path, capsys):
    words = ["tune", "x.parquet", "--address", "http://127.0.0.1:9", "-o", str(tmp_path / "search.html")]
    assert run(words) == 2
    assert "leave out -o and --report-json" in capsys.readouterr().err
