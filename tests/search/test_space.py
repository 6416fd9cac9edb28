"""The space of a search: which keys may vary, on which axes, around which configuration."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.config import Choice, Config, Span, from_mapping, to_mapping
from fingan.errors import ConfigError
from fingan.search.space import BATCH, FIXED, FOR_TABLES, SearchSpace, on_axis, searchable


def space_of(axes, **sections) -> SearchSpace:
    return SearchSpace.of(from_mapping({"tune": {"space": axes}, **sections}))


def draw(axis) -> st.SearchStrategy:
    if isinstance(axis, Choice):
        return st.sampled_from(axis.choices)
    if axis.whole:
        return st.integers(axis.low, axis.high)
    return st.floats(axis.low, axis.high)


def test_the_default_space_is_that_for_tables():
    space = SearchSpace.of(Config())
    assert dict(space.axes) == FOR_TABLES
    assert space.base == Config()


def test_the_default_space_covers_the_default_configuration():
    space = SearchSpace.of(Config())
    assert space.covers(space.base_params())
    assert space.config(space.base_params()) == Config()


@given(params=st.fixed_dictionaries({key: draw(axis) for key, axis in FOR_TABLES.items()}))
def test_every_setting_of_the_default_space_is_a_configuration_that_differs_in_these_keys(params):
    space = SearchSpace.of(Config())
    assert space.covers(params)
    values = to_mapping(space.config(params))
    read = {key: values[key.partition(".")[0]][key.partition(".")[2]] for key in params}
    assert read == params
    base = to_mapping(Config())
    for key in params:
        section, _, name = key.partition(".")
        values[section][name] = base[section][name]
    assert values == base


def test_a_configuration_keeps_what_the_base_says_of_other_keys():
    space = space_of({"training.lr": [0.01]}, seed=7, training={"ema": 0.5, "steps": 3}, data={"target": "y"})
    trial = space.config({"training.lr": 0.01})
    assert (trial.training.lr, trial.training.ema, trial.training.steps) == (0.01, 0.5, 3)
    assert (trial.seed, trial.data.target) == (7, "y")
    assert space.base.training.lr == 0.001


def test_no_values_give_the_base():
    space = space_of({"training.lr": [0.01]}, seed=3)
    assert space.config({}) == space.base


def test_values_of_a_trial_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"training\.lr.*less than or equal to 1"):
        space_of({"training.lr": [0.01]}).config({"training.lr": 2.0})


def test_an_empty_space_is_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r"tune\.space is empty; name keys .*, or leave it out"):
        space_of({})


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("training.lrr", "training.lr"),
        ("network.widht", "network.width"),
        ("Training.LR", "training.lr"),
        ("objective.gama", "objective.gamma"),
    ],
)
def test_an_unknown_key_names_the_nearest(key, near):
    with pytest.raises(ConfigError) as caught:
        space_of({key: [0.1]})
    assert str(caught.value) == f"tune.space: {key!r} is no key that may vary. Did you mean {near!r}?"


def test_a_key_near_to_none_is_told_of_all():
    with pytest.raises(ConfigError) as caught:
        space_of({"zzzz": [1]})
    assert [key for key in searchable() if key not in str(caught.value)] == []


@pytest.mark.parametrize("key", FIXED)
def test_a_key_that_says_how_long_a_trial_is_is_refused_with_the_remedy(key):
    with pytest.raises(ConfigError, match=rf"'{key}' says how long a trial is.*; leave it out"):
        space_of({key: [1, 2]})


@pytest.mark.parametrize(
    "key",
    ["data.target", "seed", "kind", "compute.workers", "tune.trials", "checkpoint.keep", "training", ""],
)
def test_what_a_search_must_not_vary_is_refused(key):
    with pytest.raises(ConfigError, match=rf"tune\.space: '{key}' is no key that may vary"):
        space_of({key: [1]})


def test_the_keys_that_may_vary_are_those_of_four_sections_and_the_precision():
    keys = searchable()
    assert len(set(keys)) == len(keys)
    assert {key.partition(".")[0] for key in keys} == {
        "network",
        "objective",
        "training",
        "conditioning",
        "compute",
    }
    assert [key for key in keys if key.startswith("compute.")] == ["compute.precision"]
    assert set(FIXED).isdisjoint(keys)
    assert set(FOR_TABLES) <= set(keys)


@pytest.mark.parametrize(
    ("key", "axis", "value", "reason"),
    [
        ("training.lr", [0.1, 2.0], "2.0", "less than or equal to 1"),
        ("training.lr", {"low": 0.0, "high": 0.1}, "0.0", "greater than 0"),
        ("training.lr", {"low": 0.1, "high": 3}, "3", "less than or equal to 1"),
        ("network.width", [64, 4], "4", "greater than or equal to 8"),
        ("network.width", [64.5], "64.5", "valid integer"),
        ("objective.name", ["hinge"], "'hinge'", "'relativistic'"),
        ("training.ema", [None], "None", "valid number"),
        ("training.betas", [0.5], "0.5", "valid tuple"),
    ],
)
def test_a_value_out_of_its_range_is_named_with_its_key(key, axis, value, reason):
    with pytest.raises(ConfigError) as caught:
        space_of({"conditioning.unconditional_share": [0.5], key: axis})
    text = str(caught.value)
    assert text.startswith(f"tune.space.{key}: {value} does not fit: ")
    assert reason in text


def test_batches_that_the_rows_cannot_fill_are_left_out():
    space = space_of({BATCH: [512, 64, 128], "training.lr": [0.01]})
    fitted = space.fitting(130)
    assert fitted.axes == {BATCH: Choice(choices=(64, 128)), "training.lr": Choice(choices=(0.01,))}
    assert fitted.base == space.base
    assert space.axes[BATCH] == Choice(choices=(512, 64, 128))


def test_a_batch_of_all_rows_is_kept():
    assert space_of({BATCH: [64, 128]}).fitting(128).axes[BATCH] == Choice(choices=(64, 128))


def test_too_few_rows_for_every_batch_are_refused():
    with pytest.raises(ConfigError) as caught:
        space_of({BATCH: [64, 128]}).fitting(63)
    assert str(caught.value) == f"tune.space.{BATCH}: [64, 128] are all more than the 63 training rows"


def test_a_space_without_batches_fits_any_rows():
    space = space_of({"training.lr": [0.01]})
    assert space.fitting(1) == space


def test_the_base_may_lie_off_the_axes():
    space = space_of({"training.lr": [0.01, 0.1], "network.width": [64]}, training={"lr": 0.5})
    assert space.base_params() == {"training.lr": 0.5, "network.width": 256}
    assert not space.covers(space.base_params())


@pytest.mark.parametrize(
    ("params", "covered"),
    [
        ({"training.lr": 0.01, "network.blocks": 2}, True),
        ({"network.blocks": 3, "training.lr": 0.001}, True),
        ({"training.lr": 0.01}, False),
        ({"training.lr": 0.01, "network.blocks": 2, "network.width": 64}, False),
        ({"training.lr": 0.01, "network.blocks": 4}, False),
        ({"training.lr": 0.2, "network.blocks": 2}, False),
        ({}, False),
    ],
)
def test_exactly_the_keys_that_vary_are_covered_each_on_its_axis(params, covered):
    space = space_of({"training.lr": {"low": 0.001, "high": 0.1}, "network.blocks": {"low": 1, "high": 3}})
    assert space.covers(params) is covered


@pytest.mark.parametrize(
    ("axis", "value", "there"),
    [
        (Span(low=1, high=3), 1, True),
        (Span(low=1, high=3), 3, True),
        (Span(low=1, high=3), 2.0, False),
        (Span(low=1, high=3), True, False),
        (Span(low=1, high=3), 0, False),
        (Span(low=1, high=3), "2", False),
        (Span(low=1, high=3), None, False),
        (Span(low=0.5, high=2.0), 1, True),
        (Span(low=0.5, high=2.0), 2.0, True),
        (Span(low=0.5, high=2.0), 2.0000001, False),
        (Span(low=0.5, high=2.0), float("nan"), False),
        (Span(low=0.5, high=2.0), [1.0], False),
        (Choice(choices=(1, "a", None)), 1, True),
        (Choice(choices=(1, "a", None)), None, True),
        (Choice(choices=(1, "a", None)), "a", True),
        (Choice(choices=(1, "a", None)), True, False),
        (Choice(choices=(1, "a", None)), "b", False),
        (Choice(choices=(False,)), 0, False),
    ],
)
def test_a_value_is_on_its_axis_or_not(axis, value, there):
    assert on_axis(axis, value) is there


@given(params=st.fixed_dictionaries({key: draw(axis) for key, axis in FOR_TABLES.items()}))
def test_settings_are_covered_still_after_they_were_kept_as_json(params):
    assert SearchSpace.of(Config()).covers(json.loads(json.dumps(params)))
