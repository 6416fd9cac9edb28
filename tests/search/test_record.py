"""The record of a search: written and read back exactly; what is none is refused."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.errors import ConfigError
from fingan.search import Record, Trial, ranked, read_record, write_record
from fingan.search.record import ENDED

FINITE = st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | FINITE | st.text(max_size=8)
TRIALS = st.builds(
    Trial,
    number=st.integers(0, 100),
    params=st.dictionaries(st.sampled_from(["training.lr", "objective.name", "network.width"]), SCALARS),
    seed=st.integers(0, 9),
    stage=st.sampled_from(["search", "final"]),
    status=st.sampled_from(["running", "finished", "pruned", "failed", "interrupted"]),
    curve=st.lists(st.tuples(FINITE, FINITE), max_size=4).map(tuple),
    steps=st.integers(0, 10**9),
    rollbacks=st.integers(0, 3),
    memorisation=st.none() | st.floats(0.0, 1.0),
    error=st.text(max_size=20),
    workers=st.integers(1, 8),
    given=st.booleans(),
)


def whole(**values) -> Record:
    trials = (
        Trial(
            0, {"training.lr": 0.001}, status="finished", curve=((1.0, 0.5), (2.5, 0.25)), memorisation=0.5
        ),
        Trial(1, {"training.lr": 0.01}, status="failed", error="NaN <b>\u2028 in “amount”", rollbacks=2),
        Trial(0, {"training.lr": 0.001}, 1, "final", "finished", ((3.0, 0.2),), steps=7, workers=2),
        Trial(1, {"training.lr": 0.01}, 1, "final", "failed"),
    )
    kept = {
        "name": "adult",
        "shape": {"rows": 32561, "columns": 15, "categories": 0.6},
        "base": {"training": {"lr": 0.001, "betas": [0.0, 0.99]}},
        "space": {"training.lr": [0.001, 0.01]},
        "trials": trials,
        "finalists": tuple(f.to_json(0.9) for f in ranked(trials[2:], 0.9, 0.0)),
        "winner": {"training.lr": 0.001},
        "importance": {"training.lr": 1.0},
        "seconds": 12.5,
        "cpu_seconds": 99.0,
        "command": "fingan tune adult.csv",
        "status": "finished",
    }
    return Record(**{**kept, **values})


@pytest.mark.parametrize(
    "record",
    [whole(), whole(winner=None, importance={}, finalists=()), Record("empty", {}, {}, {}, ())],
    ids=["whole", "no winner", "empty"],
)
def test_a_record_is_read_back_as_it_was_written(record, tmp_path):
    path = tmp_path / "record.json"
    write_record(path, record)
    assert read_record(path) == record


@given(trials=st.lists(TRIALS, max_size=4).map(tuple))
def test_all_trials_are_read_back_exactly(trials):
    record = Record("any", {}, {}, {}, trials)
    assert Record.of_json(json.loads(json.dumps(record.to_json(), allow_nan=False))) == record


def test_a_later_write_replaces_the_earlier_one(tmp_path):
    path = tmp_path / "record.json"
    write_record(path, whole())
    write_record(path, whole(trials=(), seconds=1.0))
    assert read_record(path) == whole(trials=(), seconds=1.0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_number_for_is_written_as_null(number, tmp_path):
    trial = Trial(0, {}, status="finished", curve=((1.0, 0.5),), memorisation=number)
    record = whole(trials=(trial,), finalists=({"params": {}, "bound": number, "scores": [0.1, number]},))
    path = tmp_path / "record.json"
    write_record(path, record)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    again = read_record(path)
    assert again.trials[0].memorisation is None
    assert again.finalists == ({"params": {}, "bound": None, "scores": [0.1, None]},)


def test_a_torn_file_is_refused_wherever_it_was_torn(tmp_path):
    path = tmp_path / "record.json"
    write_record(path, whole())
    content = path.read_bytes()
    for length in range(0, len(content) - 1, 37):
        path.write_bytes(content[:length])
        with pytest.raises(ConfigError, match=r"cannot read the record of a search .*record\.json"):
            read_record(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe\x00", b"training: {lr: 1}", b"{'a': 1}"],
    ids=["empty", "bytes", "yaml", "python"],
)
def test_a_file_that_is_no_json_is_refused(content, tmp_path):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot read the record of a search .*record\.json"):
        read_record(path)


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path):
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(ConfigError, match="cannot read the record of a search"):
            read_record(path)


@pytest.mark.parametrize("values", [[], {}, 5, None, "text", {"a": 1}, [{"format": 1}]])
def test_json_of_something_else_is_refused(values, tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=r"^'.*record\.json': this is no record of a search: .*"):
        read_record(path)


@pytest.mark.parametrize("number", [0, 2, "1", None])
def test_another_format_is_refused_by_its_number(number):
    with pytest.raises(ConfigError, match=f"format {number!r} is not 1"):
        Record.of_json({**whole().to_json(), "format": number})


@pytest.mark.parametrize("field", sorted(whole().to_json()))
def test_a_field_that_is_missing_is_named(field):
    values = whole().to_json()
    del values[field]
    with pytest.raises(ConfigError, match=f"no record of a search: '{field}' is missing"):
        Record.of_json(values)


@pytest.mark.parametrize(
    "entry",
    [
        5,
        None,
        [],
        {},
        {"params": {}, "curve": []},
        {"number": 0, "params": {}, "curve": [], "colour": "red"},
        {"number": 0, "params": {}, "curve": [1.0]},
        {"number": 0, "params": {}, "curve": [[1.0]]},
        {"number": 0, "params": {}, "curve": [["a", "b"]]},
        {"number": 0, "params": {}, "curve": None},
    ],
)
def test_a_trial_that_is_none_is_refused(entry):
    with pytest.raises(ConfigError, match="no record of a search"):
        Record.of_json({**whole().to_json(), "trials": [entry]})


def changed(place: str, value: object) -> dict:
    """Return a record's JSON with another value at a dotted place."""
    values = whole().to_json()
    *parents, last = (int(part) if part.isdigit() else part for part in place.split("."))
    node = values
    for parent in parents:
        node = node[parent]
    node[last] = value
    return values


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("name", 5, r"name: .*string \(got 5\)"),
        ("shape", [], r"shape: .*object \(got \[\]\)"),
        ("base", None, r"base: .*object \(got None\)"),
        ("space", "x", r"space: .*object \(got 'x'\)"),
        ("trials", 5, r"trials: .*array \(got 5\)"),
        ("trials", None, r"trials: .*array \(got None\)"),
        ("trials", {"a": 1}, r"trials: .*array \(got {'a': 1}\)"),
        ("trials.1.number", "1", r"trials\.1\.number: .*integer \(got '1'\)"),
        ("trials.0.params", [1], r"trials\.0\.params: .*object \(got \[1\]\)"),
        ("trials.0.params.lr", [1], r"trials\.0\.params\.lr: must be a number.* \(got \[1\]\)"),
        ("trials.0.seed", True, r"trials\.0\.seed: .*integer \(got True\)"),
        ("trials.0.stage", "end", r"trials\.0\.stage: .*'search' or 'final' \(got 'end'\)"),
        ("trials.0.status", "done", r"trials\.0\.status: .*'running'.* \(got 'done'\)"),
        ("trials.0.curve.1", [1.0], r"trials\.0\.curve\.1\.1: Field required"),
        ("trials.0.curve.1.1", "low", r"trials\.0\.curve\.1\.1: .*number \(got 'low'\)"),
        ("trials.0.memorisation", "no", r"trials\.0\.memorisation: .*number \(got 'no'\)"),
        ("trials.0.colour", "red", r"trials\.0\.colour: .* \(got 'red'\)"),
        ("finalists", {}, r"finalists: .*array \(got {}\)"),
        ("finalists.0", 5, r"finalists\.0: .*object \(got 5\)"),
        ("finalists.0.params", None, r"finalists\.0: a finalist has params, an object, and scores"),
        ("finalists.0.scores", 0.5, r"finalists\.0: a finalist has params, an object, and scores, a list"),
        ("winner", [], r"winner: .*object \(got \[\]\)"),
        ("winner.lr", [1], r"winner\.lr: must be a number.* \(got \[1\]\)"),
        ("importance", {"lr": "all"}, r"importance\.lr: .*number \(got 'all'\)"),
        ("seconds", None, r"seconds: .*number \(got None\)"),
        ("command", ["fingan"], r"command: .*string \(got \['fingan'\]\)"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_field_and_its_file(place, value, message, tmp_path):
    path = tmp_path / "record.json"
    path.write_text(json.dumps(changed(place, value)))
    with pytest.raises(ConfigError, match=rf"^'.*record\.json': this is no record of a search: {message}"):
        read_record(path)


def test_score_and_seconds_are_those_of_the_last_look():
    trial = Trial(0, {}, curve=((1.0, 0.5), (2.5, 0.25)))
    assert (trial.score, trial.seconds) == (0.25, 2.5)
    before = Trial(0, {})
    assert (before.score, before.seconds) == (None, 0.0)


@pytest.mark.parametrize(
    ("values", "failed"),
    [
        ({"status": "failed"}, True),
        ({"status": "finished", "rollbacks": 1}, True),
        ({"status": "finished"}, False),
        ({"status": "pruned"}, False),
        ({"status": "interrupted"}, False),
        ({}, False),
    ],
)
def test_who_gave_up_or_was_rolled_back_has_failed(values, failed):
    assert Trial(0, {}, **values).failed is failed


def test_the_running_and_the_interrupted_have_not_ended():
    assert set(ENDED) == {"finished", "pruned", "failed"}
