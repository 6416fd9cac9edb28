"""The section `tune`: axes as lists and spans, bounds, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fingan.config import Choice, Config, Span, TuneConfig, from_mapping, load, to_mapping, to_yaml
from fingan.errors import ConfigError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)


def kind_and_value(value):
    return type(value).__name__, value


def reread(config: Config, folder: Path) -> Config:
    path = folder / "fingan.yaml"
    path.write_bytes(to_yaml(config).encode())
    return load(path)


def test_the_defaults_are_those_of_the_contract():
    tune = Config().tune
    assert tune.model_dump(mode="json") == {
        "space": None,
        "trials": 40,
        "shipped": True,
        "time_budget": None,
        "trial_budget": "1m",
        "trial_steps": None,
        "clock": "processor",
        "scheduler": "asha",
        "reduction": 3,
        "rungs": 3,
        "intervals": 6,
        "finalists": 4,
        "seeds": 5,
        "confidence": 0.9,
        "max_failures": 0.0,
        "concurrency": None,
        "winner": "retrain",
    }


def test_a_list_is_a_choice_and_is_written_as_a_list():
    config = from_mapping({"tune": {"space": {"network.width": [256, 384]}}})
    assert config.tune.space == {"network.width": Choice(choices=(256, 384))}
    assert to_mapping(config)["tune"]["space"] == {"network.width": [256, 384]}


def test_a_span_is_written_with_its_three_keys():
    config = from_mapping({"tune": {"space": {"training.lr": {"low": 0.001, "high": 0.1}}}})
    assert to_mapping(config)["tune"]["space"] == {"training.lr": {"low": 0.001, "high": 0.1, "log": False}}


@given(values=st.lists(SCALARS, min_size=1, max_size=6, unique_by=kind_and_value))
def test_choices_are_read_back_with_their_types_and_their_order(values, tmp_path):
    again = reread(Config(tune=TuneConfig(space={"training.lr": Choice(choices=tuple(values))})), tmp_path)
    read = again.tune.space["training.lr"].choices
    assert [kind_and_value(v) for v in read] == [kind_and_value(v) for v in values]


@given(
    ends=st.lists(st.integers(1, 10**9) | st.floats(1e-300, 1e300), min_size=2, max_size=2, unique=True).map(
        sorted
    ),
    log=st.booleans(),
)
def test_spans_are_read_back_with_their_types(ends, log, tmp_path):
    span = Span(low=ends[0], high=ends[1], log=log)
    read = reread(Config(tune=TuneConfig(space={"training.lr": span})), tmp_path).tune.space["training.lr"]
    assert read == span
    assert [type(read.low), type(read.high), read.whole] == [type(span.low), type(span.high), span.whole]


def test_the_whole_section_is_read_back(tmp_path):
    values = {
        "space": {"training.lr": {"low": 0.001, "high": 0.1, "log": True}, "objective.name": ["minimax"]},
        "trials": 7,
        "shipped": False,
        "time_budget": "2h",
        "trial_budget": "90s",
        "trial_steps": 30,
        "scheduler": "population",
        "max_failures": 0.2,
        "concurrency": 3,
        "winner": "best_run",
    }
    config = from_mapping({"tune": values})
    assert (config.tune.time_budget, config.tune.trial_budget) == (7200.0, 90.0)
    assert reread(config, tmp_path) == config


def test_an_override_gives_a_whole_space():
    config = load(None, ["tune.space={training.lr: [0.001, 0.01]}", "tune.trials=3"])
    assert config.tune.space == {"training.lr": Choice(choices=(0.001, 0.01))}
    assert config.tune.trials == 3


@pytest.mark.parametrize(
    ("low", "high", "whole"), [(1, 3, True), (1, 3.0, False), (1.0, 3, False), (0.5, 1.5, False)]
)
def test_a_span_is_whole_where_both_ends_are(low, high, whole):
    assert Span(low=low, high=high).whole is whole


FORMS = "must be a list of choices, as [128, 256], or a span, as {low: 0.1, high: 0.5}"
ENDS = "a span has low and high, as {low: 0.1, high: 0.5}; got"


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        ({"low": 2, "high": 1}, ": low (2) must be below high (1)"),
        ({"low": 0.5, "high": 0.5}, ": low (0.5) must be below high (0.5)"),
        ({"low": 0, "high": 1, "log": True}, ": log needs low above 0, got 0"),
        ({"low": -0.5, "high": 1, "log": True}, ": log needs low above 0, got -0.5"),
        ({"low": float("nan"), "high": 1.0}, ".low: must be a finite number (got nan)"),
        ({"low": 0.0, "high": float("inf")}, ".high: must be a finite number (got inf)"),
        ({"low": "one", "high": 2}, ".low: must be a number, as 0.001 or 1e-3 (got 'one')"),
        ({"low": True, "high": 2}, ".low: must be a number, as 0.001 or 1e-3 (got True)"),
        ({"low": 1, "high": None}, ".high: must be a number, as 0.001 or 1e-3 (got None)"),
        ({"low": 1}, f": {ENDS} {{'low': 1}}"),
        ({"lower": 1, "high": 2}, f": {ENDS} {{'high': 2, 'lower': 1}}"),
        ({"span": {"low": 1, "high": 2}}, f": {ENDS} {{'span': {{'high': 2, 'low': 1}}}}"),
        ({}, f": {ENDS} {{}}"),
        ({"low": 1, "high": 2, "step": 1}, ".step: Extra inputs are not permitted (got 1); leave it out"),
        ({"low": 1, "high": 2, "span": 1}, ".span: Extra inputs are not permitted (got 1); leave it out"),
        ([], ": nothing to choose from; name at least one value (got [])"),
        ([1, 2, 1], ": 1 stands there twice; name it once (got [1, 2, 1])"),
        (["a", "b", "b"], ": 'b' stands there twice; name it once (got ['a', 'b', 'b'])"),
        ([None, None], ": None stands there twice; name it once (got [None, None])"),
        ([3, [1, 2]], ".1: must be a number, a text, true, false or null (got [1, 2])"),
        ([float("inf")], ".0: must be a finite number (got inf)"),
        (5, f": {FORMS} (got 5)"),
        (None, f": {FORMS} (got None)"),
        ("0.1", f": {FORMS} (got '0.1')"),
    ],
)
def test_a_wrong_axis_is_named_as_it_was_written_with_value_and_remedy(axis, text):
    with pytest.raises(ConfigError) as caught:
        from_mapping({"tune": {"space": {"training.lr": axis, "network.width": [64]}}})
    assert str(caught.value) == f"invalid configuration: tune.space.training.lr{text}"


def test_a_key_below_its_section_is_told_how_to_be_written(tmp_path):
    path = tmp_path / "fingan.yaml"
    path.write_text("tune:\n  space:\n    training:\n      lr: [0.001, 0.01]\n")
    with pytest.raises(ConfigError, match=r"'lr' stands below 'training'; write 'training\.lr' as one key"):
        load(path)


LR = Choice(choices=(0.001, 0.002))


@pytest.mark.parametrize("tune", ["{}", "", "{space: null}", "{space: {training.lr: [5, 6]}}"])
def test_an_override_gives_one_key_of_the_space(tune, tmp_path):
    path = tmp_path / "fingan.yaml"
    path.write_text(f"tune: {tune}\n")
    assert load(path, ["tune.space.training.lr=[0.001, 0.002]"]).tune.space == {"training.lr": LR}


def test_an_override_gives_one_end_of_a_span_and_keeps_the_rest():
    values = {"tune": {"space": {"training.lr": {"low": 0.001, "high": 0.1, "log": True}, "seed": [1]}}}
    space = from_mapping(values, ["tune.space.training.lr.low=5e-4", "tune.space.seed=[2]"]).tune.space
    assert space == {"training.lr": Span(low=0.0005, high=0.1, log=True), "seed": Choice(choices=(2,))}
    assert values["tune"]["space"]["training.lr"]["low"] == 0.001, "the given values stay as they are"


def test_overrides_make_a_span_end_by_end():
    space = load(None, [f"tune.space.network.blocks.{end}" for end in ("low=1", "high=3")]).tune.space
    assert space == {"network.blocks": Span(low=1, high=3)}


@pytest.mark.parametrize(
    ("axis", "override", "message"),
    [
        (None, "low=0.1", r"training\.lr: a span has low and high.* got {'low': 0\.1}"),
        ([0.5], "low=0.1", r"goes through 'training\.lr', which is not a section \(got \[0\.5\]\)"),
        ({"low": 1, "high": 2}, "low=3", r"training\.lr: low \(3\) must be below high \(2\)"),
        ({"low": 1, "high": 2}, "mid=3", r"training\.lr\.mid: Extra inputs.*leave it out"),
    ],
)
def test_an_override_that_makes_no_axis_is_refused(axis, override, message):
    values = {} if axis is None else {"tune": {"space": {"training.lr": axis}}}
    with pytest.raises(ConfigError, match=message):
        from_mapping(values, [f"tune.space.training.lr.{override}"])


def test_equal_configurations_have_equal_hashes_whatever_the_order_of_the_space():
    axes = {"training.lr": {"low": 1, "high": 2}, "network.width": [8, 16]}
    one, other = (
        from_mapping({"tune": {"space": dict(items)}}) for items in (axes.items(), [*axes.items()][::-1])
    )
    assert one == other
    assert len({one, other, from_mapping({}), from_mapping({"tune": {"space": {}}})}) == 3


@pytest.mark.parametrize("choices", [(0, False), (1, True), (1, "1"), (0, None, "")])
def test_values_of_other_types_are_no_duplicates(choices):
    assert Choice(choices=choices).choices == choices


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trials": 0}, "greater than or equal to 1"),
        ({"trials": 100_001}, "less than or equal to 100000"),
        ({"trials": 1.5}, "valid integer"),
        ({"time_budget": 0}, "greater than 0"),
        ({"trial_budget": 0}, "greater than 0"),
        ({"trial_budget": None}, "valid number"),
        ({"trial_budget": "soon"}, "write 90s, 10m or 1.5h"),
        ({"trial_steps": 0}, "greater than or equal to 1"),
        ({"clock": "sun"}, "'processor' or 'wall'"),
        ({"scheduler": "hyperband"}, "'asha', 'population' or 'none'"),
        ({"reduction": 1}, "greater than or equal to 2"),
        ({"reduction": 17}, "less than or equal to 16"),
        ({"rungs": 0}, "greater than or equal to 1"),
        ({"rungs": 9}, "less than or equal to 8"),
        ({"intervals": 1}, "greater than or equal to 2"),
        ({"intervals": 101}, "less than or equal to 100"),
        ({"finalists": 0}, "greater than or equal to 1"),
        ({"finalists": 65}, "less than or equal to 64"),
        ({"seeds": 1}, "greater than or equal to 2"),
        ({"seeds": 101}, "less than or equal to 100"),
        ({"confidence": 0.5}, "greater than 0.5"),
        ({"confidence": 1.0}, "less than 1"),
        ({"confidence": float("nan")}, "finite number"),
        ({"max_failures": -0.1}, "greater than or equal to 0"),
        ({"max_failures": 1.0}, "less than 1"),
        ({"concurrency": 0}, "greater than or equal to 1"),
        ({"concurrency": 4097}, "less than or equal to 4096"),
        ({"winner": "best"}, "'retrain' or 'best_run'"),
    ],
)
def test_values_out_of_range_are_refused_with_their_key(values, message):
    (key,) = values
    with pytest.raises(ConfigError, match=rf"tune\.{key}.*{message}"):
        from_mapping({"tune": values})


@pytest.mark.parametrize(
    "values",
    [
        {"trials": 1, "reduction": 2, "rungs": 1, "intervals": 2, "finalists": 1, "seeds": 2},
        {"trials": 100_000, "reduction": 16, "rungs": 8, "intervals": 100, "finalists": 64, "seeds": 100},
        {"concurrency": 4096, "max_failures": 0.99, "confidence": 0.51, "trial_steps": 1},
    ],
)
def test_values_at_the_ends_of_their_ranges_are_taken(values):
    assert from_mapping({"tune": values}).tune.model_dump(include=set(values)) == values


def test_an_unknown_key_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'tune.finalist'. Did you mean 'tune.finalists'"):
        from_mapping({"tune": {"finalist": 3}})


@pytest.mark.parametrize("axis", [Choice(choices=(1,)), Span(low=0, high=1)])
def test_an_axis_does_not_change(axis):
    with pytest.raises(ValidationError, match="frozen"):
        setattr(axis, next(iter(type(axis).model_fields)), (2,))
