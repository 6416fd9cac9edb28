"""Settings that worked: the shipped file, which of them suit a table, how a search becomes one."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
from statistics import fmean

import pytest

from fingan.config import Config, from_mapping, to_mapping
from fingan.errors import ConfigError
from fingan.search import Record, SearchSpace, Trial, ranked
from fingan.search.shipped import (
    MOST,
    SETTINGS,
    Entry,
    Shape,
    beginnings,
    distance,
    entry_of,
    nearest,
    read_entries,
    write_entries,
)

SHAPE = {"rows": 1000, "columns": 20, "categories": 0.25}
DAY = datetime.date(2026, 1, 31)


def lr(value: float) -> dict:
    return {"training.lr": value}


def entry(rate: float = 0.002, **shape: float) -> Entry:
    return Entry(Shape(**{**SHAPE, **shape}), 60.0, "search", DAY, lr(rate), (0.2, 0.3), (0.4, 0.5), 0)


def plain(**changed: object) -> dict:
    values = {**dataclasses.asdict(entry()), "date": "2026-01-31"}
    return {**values, **changed}


def space(**tune: object) -> SearchSpace:
    axes = {"training.lr": {"low": 0.0001, "high": 0.1, "log": True}}
    return SearchSpace.of(from_mapping({"tune": {"space": axes, "trials": 40, **tune}}))


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Ship these settings instead, for tables less and less like `SHAPE`."""

    def ship(*rates: float) -> None:
        path = tmp_path / "settings.json"
        write_entries(path, [entry(rate, rows=1000 * 2**n) for n, rate in enumerate(rates)][::-1])
        monkeypatch.setattr("fingan.search.shipped.SETTINGS", path)

    return ship


SHIPPED = read_entries(SETTINGS)


@pytest.mark.parametrize("found", SHIPPED, ids=lambda found: found.command)
def test_what_is_shipped_is_a_setting_of_the_default_space_and_no_worse_than_the_base(found):
    default = SearchSpace.of(Config())
    assert default.covers(found.params)
    assert SearchSpace.of(default.config(found.params)).base_params() == found.params
    assert found.failures == 0
    assert len(found.scores) == len(found.base_scores)
    assert fmean(found.scores) <= fmean(found.base_scores)
    assert found.command.startswith("python -m benchmarks tuning --dataset ")


def test_entries_are_read_as_they_were_written(tmp_path):
    path = tmp_path / "settings.json"
    entries = [entry(), dataclasses.replace(entry(0.5, rows=10**9), base_scores=(), failures=2)]
    write_entries(path, entries)
    assert read_entries(path) == entries
    assert json.loads(path.read_text())[0] == json.loads(json.dumps(plain()))
    write_entries(path, [])
    assert read_entries(path) == []


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({}, "Input should be a valid"),
        ([5], r"0: .*\(got 5\)"),
        ([plain(), {**plain(), "shape": {"rows": 3}}], r"1\.shape\.columns: "),
        ([plain(shape={**SHAPE, "rows": 0})], r"0\.shape\.rows: .*greater than 0 \(got 0\)"),
        ([plain(shape={**SHAPE, "categories": 1.5})], r"0\.shape\.categories: .*\(got 1\.5\)"),
        ([plain(scores=[])], r"0\.scores: .*at least 1 item"),
        ([plain(scores=[float("nan")])], r"0\.scores\.0: .*finite number"),
        ([plain(params={"training.lr": [0.1]})], r"0\.params\.training\.lr: must be a number"),
        ([plain(date="yesterday")], r"0\.date: "),
        ([plain(failures=-1)], r"0\.failures: "),
        ([plain(worst=0.3)], r"0\.worst: Unexpected.*\(got 0\.3\)"),
    ],
)
def test_a_file_of_something_else_is_refused_with_the_place(values, reason, tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(json.dumps(values))
    message = rf"^cannot read the shipped settings '.*settings\.json': .*{reason}.*; install fingan again"
    with pytest.raises(ConfigError, match=message):
        read_entries(path)


@pytest.mark.parametrize("content", [None, b"", b"[{", b"\xff\xfe"])
def test_a_file_that_is_no_json_is_refused_with_its_name(content, tmp_path):
    path = tmp_path / "settings.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot read the shipped settings .*tune\.shipped=false"):
        read_entries(path)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, 0.0),
        ({"rows": 10_000}, 1.0),
        ({"rows": 100}, 1.0),
        ({"columns": 200}, 1.0),
        ({"columns": 2}, 1.0),
        ({"categories": 0.75}, 0.5),
        ({"rows": 10_000, "columns": 200}, 2.0**0.5),
    ],
)
def test_tenfold_rows_tenfold_columns_and_categories_throughout_are_equally_far(changed, expected):
    one, other = Shape(**SHAPE), Shape(**{**SHAPE, **changed})
    assert distance(one, other) == pytest.approx(expected)
    assert distance(other, one) == pytest.approx(expected)


def test_the_nearest_come_first_whatever_their_order():
    shapes = ({"rows": 3000}, {"columns": 50, "rows": 2000}, {"categories": 1.0}, {"rows": 10**6})
    ordered = [entry(**shape) for shape in shapes]
    for given in itertools.permutations(ordered):
        assert nearest(Shape(**SHAPE), given) == ordered
    assert nearest(Shape(**SHAPE), ordered, most=2) == ordered[:2]
    assert nearest(Shape(**SHAPE), []) == []


def test_equally_near_ones_keep_their_order():
    twins = [entry(0.3), entry(0.1), entry(0.2)]
    assert nearest(Shape(**SHAPE), twins) == twins


def test_a_search_begins_with_what_is_given_and_then_with_the_nearest(shipped):
    shipped(0.02, 0.03)
    assert beginnings(space(), SHAPE, [lr(0.05)]) == [lr(0.05), lr(0.02), lr(0.03)]


def test_a_search_begins_with_what_is_given_alone_where_nothing_shipped_is_wanted(shipped, monkeypatch):
    shipped(0.02)
    assert beginnings(space(shipped=False), SHAPE, [lr(0.05)]) == [lr(0.05)]
    monkeypatch.setattr("fingan.search.shipped.SETTINGS", SETTINGS.with_name("absent.json"))
    assert beginnings(space(shipped=False), SHAPE, []) == []


def test_settings_off_the_space_and_those_that_are_tried_anyway_take_no_place(shipped):
    shipped(7.0, 0.001, 0.02, 0.05, 0.02, 0.03)
    assert beginnings(space(), SHAPE, [lr(0.05), lr(9.0)]) == [lr(0.05), lr(0.02), lr(0.03)]


def test_given_settings_are_completed_and_told_of_where_they_do_not_fit(shipped):
    shipped(0.02)
    told: list[str] = []
    assert beginnings(space(), SHAPE, [lr(0.05), lr(9.0), lr(0.001), lr(0.05)], told.append) == [
        lr(0.05),
        lr(0.02),
    ]
    assert len(told) == 1
    with pytest.raises(ConfigError, match=r"'training\.lr'"):
        beginnings(space(), SHAPE, [{"trainin.lrr": 0.001}])


@pytest.mark.parametrize(("trials", "count"), [(1, 0), (3, 0), (4, 1), (7, 1), (8, 2), (12, 3), (100, MOST)])
def test_at_most_a_quarter_of_the_trials_begin_with_shipped_settings(trials, count, shipped):
    shipped(0.02, 0.03, 0.04, 0.05, 0.06)
    found = beginnings(space(trials=trials), SHAPE, [])
    assert found == [lr(rate) for rate in (0.02, 0.03, 0.04, 0.05, 0.06)[:count]]


def test_what_is_given_counts_in_the_quarter_and_is_never_left_out(shipped):
    shipped(0.02, 0.03, 0.04)
    given = [lr(0.05), lr(0.06)]
    assert beginnings(space(trials=12), SHAPE, given) == [*given, lr(0.02)]
    assert beginnings(space(trials=2), SHAPE, given) == given


def record(**changed: object) -> Record:
    repeated = [
        Trial(number, lr(rate), seed, "final", "finished", ((60.0, score + seed / 100),))
        for number, rate, score in ((0, 0.001, 0.5), (3, 0.02, 0.3))
        for seed in range(3)
    ]
    finalists = tuple(f.to_json(0.9) for f in ranked(repeated, 0.9, 0.0))
    base = to_mapping(from_mapping({"tune": {"trial_budget": "90s"}}))
    found = Record("adult", SHAPE, base, {}, (), finalists, lr(0.02), status="finished")
    return dataclasses.replace(found, **changed)


def test_a_search_becomes_an_entry(tmp_path):
    found = entry_of(Record.of_json(record().to_json()), "fingan tune adult.csv", DAY)
    assert found.shape == Shape(**SHAPE)
    assert (found.trial_seconds, found.command, found.date) == (90.0, "fingan tune adult.csv", DAY)
    assert found.params == lr(0.02)
    assert found.scores == pytest.approx((0.3, 0.31, 0.32))
    assert found.base_scores == pytest.approx((0.5, 0.51, 0.52))
    assert found.failures == 0
    write_entries(tmp_path / "settings.json", [found])
    assert read_entries(tmp_path / "settings.json") == [found]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"winner": None}, r"'adult' has no winner \(status: finished\)"),
        ({"status": "interrupted"}, r"'adult' has no winner \(status: interrupted\)"),
        ({"base": to_mapping(from_mapping({"tune": {"trial_steps": 40}}))}, "counted steps, not time"),
    ],
)
def test_a_search_that_tells_too_little_becomes_none(changed, message):
    with pytest.raises(ConfigError, match=message):
        entry_of(record(**changed), "", DAY)
