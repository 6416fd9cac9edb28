"""`fingan tune` up to the search itself: settings to begin with, the table of trials, the command."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from fingan.cli.app import run
from fingan.cli.console import Console
from fingan.cli.trials import LiveTable
from fingan.cluster.tuning import Listener, Tuned
from fingan.errors import DataError, FinganError
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


@pytest.fixture
def folder(tmp_path) -> Path:
    """The folder of a search, with its report."""
    place = tmp_path / "search"
    place.mkdir()
    (place / "search.html").write_text("<html></html>")
    (place / "record.json").write_text("{}")
    return place


@dataclass
class Searched:
    """A search that comes to what a test says."""

    commands: list[str]
    outcome: Tuned | FinganError | None = None
    folder: Path | None = None

    def __call__(self, outcome: Tuned | FinganError, folder: Path | None = None) -> None:
        self.outcome, self.folder = outcome, folder

    def search(self, *given: object) -> Tuned:
        listener = given[6]
        assert isinstance(listener, Listener)
        self.commands.append(str(given[-1]))
        if self.folder is not None:
            listener.on_folder(self.folder)
        if isinstance(self.outcome, Tuned):
            return self.outcome
        raise self.outcome


@pytest.fixture
def searched(monkeypatch) -> Searched:
    found = Searched([])
    monkeypatch.setattr("fingan.cluster.tuning.tune", found.search)
    return found


SECRET_URL = "s3://AKIAKEY:TOP%2Fsecret@bank/loans.parquet?region=eu"


def test_keys_in_addresses_are_neither_on_record_nor_told(folder, searched, capsys):
    searched(Tuned("loans", 3, Record("loans", {}, {}, {}, ()), False, folder))
    words = ["tune", SECRET_URL, f"--registry={SECRET_URL}", "--registry", SECRET_URL, "--json"]
    assert run(words) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["registry"] == "s3://bank/loans.parquet"
    clean = "s3://bank/loans.parquet"
    assert searched.commands == [f"fingan tune {clean} --registry={clean} --registry {clean} --json"]
    assert "secret" not in told.out + told.err


@pytest.mark.parametrize(
    ("version", "interrupted", "status", "said"),
    [
        (None, True, "interrupted", "stopped early; --resume goes on from here"),
        (4, True, "interrupted", "published loans:4 with the first of these settings, interrupted; --resume"),
        (4, True, "finished", "published loans:4 with the first of these settings, interrupted; nothing"),
        (4, False, "finished", "published loans:4 with the first of these settings\n"),
    ],
)
def test_what_was_published_is_told_also_of_an_interrupted_search(
    version, interrupted, status, said, folder, searched, capsys
):
    record = Record("loans", {}, {}, {}, (), status=status)
    searched(Tuned("loans", version, record, interrupted, folder))
    code = 130 if interrupted else 0
    assert run(["tune", "loans.parquet"]) == code
    assert said in capsys.readouterr().out
    assert run(["tune", "loans.parquet", "--json"]) == code
    values = json.loads(capsys.readouterr().out)
    assert (values["version"], values["interrupted"]) == (version, interrupted)


def test_report_and_record_are_copied_whatever_became_of_the_search(tmp_path, folder, searched, capsys):
    page, record = tmp_path / "page.html", tmp_path / "copy.json"
    words = ["tune", "loans.parquet", "-o", str(page), "--report-json", str(record)]
    searched(DataError("before there was a folder"))
    assert run(words) == 1
    assert not page.exists()
    searched(FinganError("every finalist failed"), folder)
    assert run(words) == 1
    assert "every finalist failed" in capsys.readouterr().err
    assert (page.read_text(), record.read_text()) == ("<html></html>", "{}")


def test_a_copy_that_cannot_be_written_does_not_hide_what_was_found(tmp_path, folder, searched, capsys):
    searched(Tuned("loans", 3, Record("loans", {}, {}, {}, (), status="finished"), False, folder))
    page, record = Path("/proc/search.html"), tmp_path / "copy.json"
    words = ["tune", "loans.parquet", "-o", str(page), "--report-json", str(record), "--json"]
    assert run(words) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["version"] == 3
    assert f"error: cannot write '{page}': No such file or directory" in told.err
    assert f"copy '{folder / 'search.html'}'" in told.err
    assert record.read_text() == "{}"


def test_a_model_to_begin_with_that_tells_nothing_of_itself_is_named(monkeypatch, capsys):
    monkeypatch.setattr(Registry, "show", lambda registry, name: {"metrics": None})
    assert run(["tune", "absent.parquet", "--warm-start", "adult"]) == 2
    assert "--warm-start 'adult': that model was not published by a search" in capsys.readouterr().err


def test_copies_of_the_report_of_a_job_are_refused(tmp_path, capsys):
    words = ["tune", "x.parquet", "--address", "http://127.0.0.1:9", "-o", str(tmp_path / "search.html")]
    assert run(words) == 2
    assert "leave out -o and --report-json" in capsys.readouterr().err
