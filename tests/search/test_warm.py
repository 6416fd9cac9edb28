"""Settings to begin with: from the record of an earlier search, or from a list."""

from __future__ import annotations

import json

import pytest

from fingan.config import from_mapping
from fingan.errors import ConfigError
from fingan.search import Record, SearchSpace, Trial, ranked, read_settings, settings_of, write_record
from fingan.search.warm import MOST, check_keys, fitting


def lr(value: float) -> dict:
    return {"training.lr": value}


def trial(number: int, score: float | None, **values) -> Trial:
    kept = {
        "params": lr(number / 1000),
        "status": "finished",
        "curve": () if score is None else ((10.0, score),),
    }
    return Trial(number=number, **{**kept, **values})


def record(*trials: Trial, finals: tuple[Trial, ...] = ()) -> Record:
    finalists = tuple(f.to_json(0.9) for f in ranked(finals, 0.9, 0.0))
    return Record("adult", {}, {}, {}, (*trials, *finals), finalists)


def repeated(number: int, score: float) -> tuple[Trial, ...]:
    return tuple(trial(number, score, seed=seed, stage="final") for seed in range(2))


def test_trials_are_taken_best_first():
    assert settings_of(record(trial(1, 0.3), trial(2, 0.0), trial(3, 0.2))) == [
        lr(0.002),
        lr(0.003),
        lr(0.001),
    ]


def test_finalists_come_first_in_their_ranking_and_once():
    kept = record(
        trial(1, 0.01), trial(2, 0.2), trial(3, 0.3), finals=(*repeated(2, 0.25), *repeated(3, 0.15))
    )
    assert settings_of(kept) == [lr(0.003), lr(0.002), lr(0.001)]


@pytest.mark.parametrize(
    "values",
    [
        {"status": "failed"},
        {"status": "pruned"},
        {"status": "running"},
        {"status": "interrupted"},
        {"rollbacks": 1},
        {"curve": ()},
    ],
)
def test_trials_that_failed_or_did_not_finish_are_left_out(values):
    assert settings_of(record(trial(1, 0.01, **values), trial(2, 0.5))) == [lr(0.002)]


def test_equal_settings_are_taken_once():
    kept = record(trial(1, 0.3), trial(2, 0.1, params=lr(0.5)), trial(3, 0.2, params=lr(0.5)))
    assert settings_of(kept) == [lr(0.5), lr(0.001)]


def test_no_more_are_taken_than_asked_for():
    kept = record(*(trial(n, 0.1 * n) for n in range(1, 10)))
    assert settings_of(kept) == [lr(n / 1000) for n in range(1, MOST + 1)]
    assert settings_of(kept, most=2) == [lr(0.001), lr(0.002)]
    assert settings_of(kept, most=100) == [lr(n / 1000) for n in range(1, 10)]


def test_a_search_without_an_end_has_no_settings():
    assert settings_of(record()) == []


def test_settings_are_read_from_a_record(tmp_path):
    path = tmp_path / "record.json"
    kept = record(trial(1, 0.3), trial(2, 0.1), finals=repeated(1, 0.2))
    write_record(path, kept)
    assert read_settings(path) == settings_of(kept) == [lr(0.001), lr(0.002)]


@pytest.mark.parametrize(
    "values",
    [[], [{}], [lr(0.001), {"network.width": 64, "objective.name": "minimax", "training.ema": None}]],
)
def test_settings_are_read_from_a_list_as_they_stand(values, tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(values))
    assert read_settings(path) == values


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (5, "this is no record of a search: 5 is no object"),
        (None, "this is no record of a search: None is no object"),
        ("training.lr", "this is no record of a search: 'training.lr' is no object"),
        ({}, "this is no record of a search: 'format' is missing"),
        (lr(0.001), "this is no record of a search: 'format' is missing"),
        ({"format": 1}, "this is no record of a search: 'name' is missing"),
        ({**record().to_json(), "format": 9}, "this is no record of a search: format 9 is not 1"),
        ({**record().to_json(), "trials": 9}, r"this is no record .*: trials: .* \(got 9\)"),
        (
            {**record().to_json(), "finalists": [{}]},
            r"this is no record .*: finalists\.0: a finalist has params",
        ),
        ([5], r"0: .*dictionary \(got 5\)"),
        ([lr(0.1), "x"], r"1: .*dictionary \(got 'x'\)"),
        ([[1, 2]], r"0: .*dictionary \(got \[1, 2\]\)"),
        ([lr(0.1), lr([0.1, 0.2])], r"1\.training\.lr: must be a number.* \(got \[0\.1, 0\.2\]\)"),
        ([lr(float("nan"))], r"0\.training\.lr: must be a finite number \(got nan\)"),
    ],
)
def test_json_of_something_else_is_refused_with_what_is_meant(values, reason, tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(values))
    message = (
        rf"^'.*settings\.json' holds no settings: {reason}.*; give the record\.json of a search, or a list"
    )
    with pytest.raises(ConfigError, match=message):
        read_settings(path)


@pytest.mark.parametrize("content", [b"", b"[{", b"\xff\xfe", b"training.lr: 1"])
def test_a_file_that_is_no_json_is_refused_with_its_name(content, tmp_path):
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot read settings from .*settings\.json"):
        read_settings(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read settings from .*none\.json"):
        read_settings(tmp_path / "none.json")


BASE = {"training.lr": 0.001, "training.batch_size": 512, "network.width": 256}


def space() -> SearchSpace:
    axes = {
        "training.lr": {"low": 0.0001, "high": 0.1, "log": True},
        "training.batch_size": [256, 512],
        "network.width": [128, 256],
    }
    found = SearchSpace.of(from_mapping({"tune": {"space": axes}}))
    assert found.base_params() == BASE
    return found


def test_keys_that_are_left_out_have_the_bases_values():
    told: list[str] = []
    given = [lr(0.002), {"network.width": 128, "training.batch_size": 256}]
    assert fitting(given, space(), told.append) == [
        {**BASE, "training.lr": 0.002},
        {**BASE, "network.width": 128, "training.batch_size": 256},
    ]
    assert not told


def test_every_setting_is_taken_once_and_the_bases_not_at_all():
    given = [{}, lr(0.002), BASE, {**BASE, "training.lr": 0.002}, lr(0.001), lr(0.003)]
    assert [own["training.lr"] for own in fitting(given, space(), pytest.fail)] == [0.002, 0.003]


def test_what_does_not_vary_may_stand_there_with_the_value_that_it_has_anyway():
    given = [{**lr(0.002), "training.ema": from_mapping({}).training.ema}]
    assert fitting(given, space(), pytest.fail) == [{**BASE, "training.lr": 0.002}]


def test_settings_that_do_not_fit_are_left_out_and_told_of():
    told: list[str] = []
    given = [lr(7.0), {**lr(0.002), "training.ema": 0.5, "network.width": 129}, lr(0.003)]
    assert fitting(given, space(), told.append) == [{**BASE, "training.lr": 0.003}]
    first, second = told
    assert first == (
        "leaving out setting 0 to begin with: training.lr 7.0 is not within tune.space.training.lr"
    )
    assert second.startswith("leaving out setting 1 to begin with: network.width 129 is not within ")
    assert second.endswith("; training.ema 0.5 is not 0.999, and tune.space does not vary it")


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "trainin.lrr",
            r"setting 1 to begin with: 'trainin\.lrr' is no key that may vary\. .*'training\.lr'\?",
        ),
        ("training.steps", r"setting 1 to begin with: 'training\.steps' says how long a trial is"),
    ],
)
def test_a_key_that_cannot_vary_is_refused_with_the_nearest_that_can(key, message, tmp_path):
    given = [lr(0.002), {key: 0.001}]
    with pytest.raises(ConfigError, match=message):
        check_keys(given)
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(given))
    with pytest.raises(ConfigError, match=rf"settings\.json' holds no settings: {message}"):
        read_settings(path)
