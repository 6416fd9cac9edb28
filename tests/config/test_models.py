"""The configuration's models: defaults, bounds, durations, rules over several keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fingan.config import Config, DataConfig, TrainingConfig, duration_text, from_mapping, seconds
from fingan.config.models import Section
from fingan.errors import ConfigError

SECTIONS = [f.annotation for f in Config.model_fields.values() if isinstance(f.annotation, type)]
MODELS = [Config, *(s for s in SECTIONS if issubclass(s, Section))]


def test_the_defaults_are_those_of_the_contract():
    config = Config()
    assert (config.version, config.kind, config.seed) == (1, "table", 0)
    assert config.data.model_dump(by_alias=True) == {
        "target": None,
        "schema": None,
        "validation": 0.1,
        "constraints": (),
        "in_memory": 200_000_000,
    }
    assert (config.network.generator, config.network.discriminator) == ("residual", "residual")
    assert (config.objective.name, config.objective.penalty) == ("relativistic", "first_order")
    assert config.training.steps is None
    assert config.training.time_budget == 600.0
    assert config.conditioning.columns == "any"
    assert (config.health.on_nonfinite, config.health.max_rollbacks) == ("rollback", 3)
    assert (config.checkpoint.every_steps, config.checkpoint.keep) == (500, 3)
    assert (config.compute.workers, config.compute.gpus_per_worker) == (1, 0)
    assert config.compute.precision == "auto"


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_every_section_is_frozen_closed_and_documented(model):
    assert model.__doc__
    with pytest.raises(ValidationError, match="Extra inputs"):
        model.model_validate({"no_such_key": 1})
    with pytest.raises(ValidationError, match="frozen"):
        setattr(model(), next(iter(model.model_fields)), 1)
    for name, field in model.model_fields.items():
        assert field.description or issubclass(field.annotation, Section), f"{model.__name__}.{name}"


def test_two_defaults_share_nothing_that_can_change():
    assert Config() == Config()
    assert hash(Config()) == hash(Config())


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        ("data", {"validation": 0.9}, "less than 0.9"),
        ("data", {"validation": -0.1}, "greater than or equal to 0"),
        ("network", {"generator": "transformer"}, "'residual', 'dense' or 'conv'"),
        ("network", {"width": 4}, "greater than or equal to 8"),
        ("network", {"noise": 0}, "greater than or equal to 1"),
        ("objective", {"name": "hinge"}, "'relativistic', 'wasserstein_gp' or 'minimax'"),
        ("objective", {"gamma": -1}, "greater than or equal to 0"),
        ("objective", {"gamma": float("nan")}, "finite number"),
        ("objective", {"penalty_every": 0}, "greater than or equal to 1"),
        ("training", {"batch_size": 1}, "greater than or equal to 2"),
        ("training", {"batch_size": 2.5}, "valid integer"),
        ("training", {"lr": 0}, "greater than 0"),
        ("training", {"lr": float("inf")}, "finite number"),
        ("training", {"betas": [0.0, 1.0]}, "less than 1"),
        ("training", {"betas": [0.0]}, "Field required"),
        ("training", {"ema": 1.0}, "less than 1"),
        ("training", {"time_budget": "soon"}, "write 90s, 10m or 1.5h"),
        ("training", {"time_budget": 0}, "greater than 0"),
        ("training", {"steps": 0}, "greater than or equal to 1"),
        ("training", {"steps": None, "time_budget": None}, "nothing ends the training"),
        ("conditioning", {"unconditional_share": 1.1}, "less than or equal to 1"),
        ("health", {"on_nonfinite": "ignore"}, "'rollback' or 'stop'"),
        ("checkpoint", {"keep": 0}, "greater than or equal to 1"),
        ("compute", {"workers": -1}, "greater than or equal to 0"),
        ("compute", {"workers": 17}, "raise training.shards"),
        (
            "compute",
            {"workers": 0, "gpus_per_worker": 0.5},
            "compute.gpus_per_worker to 0 or raise compute.wo",
        ),
        ("compute", {"precision": "fp8"}, "'auto', 'fp64', 'fp32' or 'bf16'"),
    ],
)
def test_values_out_of_range_are_refused(section, values, message):
    with pytest.raises(ValidationError, match=message):
        Config.model_validate({section: values})


@pytest.mark.parametrize(
    "override",
    [
        "seed=yes",
        "training.steps=true",
        "training.time_budget=on",
        "training.epochs=true",
        "training.betas=[no, 0.99]",
        "data.validation=no",
        "compute.workers=off",
        "compute.threads=true",
        "tune.trials=true",
        "tune.trial_budget=true",
        "data.constraints=[{range: {column: age, min: true}}]",
    ],
)
def test_true_and_false_are_no_numbers(override):
    key = override.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"{key}\b.*: must be a number; .* are true and false \(got "):
        from_mapping({}, [override])


def test_true_and_false_are_themselves_where_they_are_meant():
    config = from_mapping({}, ["tune.shipped=no", "tune.space.sampling.candidates=[1, true]"])
    assert config.tune.shipped is False
    assert config.tune.space["sampling.candidates"].choices == (1, True)


@pytest.mark.parametrize("seed", [-1, 2**63, 0.5])
def test_a_seed_is_a_natural_number_of_63_bits(seed):
    with pytest.raises(ValidationError):
        Config(seed=seed)


def test_every_worker_has_a_row_of_the_batch():
    sections = {"training": {"batch_size": 2}, "compute": {"workers": 2}}
    assert Config.model_validate(sections).compute.workers == 2
    with pytest.raises(ValidationError, match=r"training\.batch_size is 2; lower compute\.workers"):
        Config.model_validate({**sections, "compute": {"workers": 3}})


def test_more_shards_let_in_more_workers():
    config = Config.model_validate({"compute": {"workers": 17}, "training": {"shards": 17}})
    assert config.compute.workers == 17


def test_steps_alone_may_end_the_training():
    assert TrainingConfig(steps=10, time_budget=None).time_budget is None


@pytest.mark.parametrize(
    ("values", "covered"),
    [
        ({}, True),
        ({"columns": "none"}, False),
        ({"columns": ["age"]}, True),
        ({"columns": ["zip"]}, False),
        ({"unconditional_share": 1.0}, False),
    ],
)
def test_columns_that_training_gives(values, covered):
    conditioning = Config.model_validate({"conditioning": values}).conditioning
    assert conditioning.covers(("years", "age")) is covered


def test_columns_that_may_be_given_are_any_none_or_a_list():
    for value, expected in (("any", "any"), ("none", "none"), (["a", "b"], ("a", "b"))):
        config = Config.model_validate({"conditioning": {"columns": value}})
        assert config.conditioning.columns == expected
    with pytest.raises(ValidationError, match="any"):
        Config.model_validate({"conditioning": {"columns": "Class"}})


def test_the_schema_key_goes_by_both_of_its_names():
    assert DataConfig.model_validate({"schema": "a.yaml"}) == DataConfig(schema_path="a.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), ("1d", 86400), (" 2 m ", 120), ("0.5s", 0.5)],
)
def test_durations_are_read(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "m", "10 minutes", "-5m", "1e3", "1h30m", "٣m x"])
def test_durations_that_make_no_sense_are_refused(text):
    with pytest.raises(ValueError, match="cannot read the duration"):
        seconds(text)


def test_durations_that_are_no_text_pass_through():
    assert seconds(5) == 5
    assert seconds(None) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(600, "10m"), (90, "90s"), (7200, "2h"), (86400, "1d"), (0.25, "0.25s"), (1e6 + 1, "1000001s")],
)
def test_durations_are_written_in_the_largest_unit_that_divides_them(value, text):
    assert duration_text(value) == text


@given(st.floats(1e-6, 1e12) | st.integers(1, 10**9))
def test_durations_read_back_exactly(value):
    assert seconds(duration_text(value)) == value


def test_a_json_schema_of_the_whole_file_exists():
    schema = Config.model_json_schema(by_alias=True)
    assert set(schema["properties"]) == set(Config.model_fields)
    assert "schema" in schema["$defs"]["DataConfig"]["properties"]
