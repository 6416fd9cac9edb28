"""Reading and writing configurations: YAML, overrides, suggestions, round trips."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.config import Config, from_mapping, load, to_mapping, to_yaml
from fingan.errors import ConfigError


def read(tmp_path, text, *overrides):
    path = tmp_path / "fingan.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, overrides)


def test_no_file_means_the_defaults():
    assert load() == Config()


@pytest.mark.parametrize("text", ["", "# nothing\n", "data:\ntraining:\n", "{}"])
def test_an_empty_file_or_section_means_the_defaults(tmp_path, text):
    assert read(tmp_path, text) == Config()


def test_an_empty_section_takes_overrides(tmp_path):
    assert read(tmp_path, "training:\n", "training.lr=0.01").training.lr == 0.01


def test_a_file_as_in_the_readme(tmp_path):
    config = read(
        tmp_path,
        """
        version: 1
        data: {target: Class, constraints: [funded <= asked, "0 <= rate <= 40"]}
        network: {width: 256}
        training: {time_budget: 90s, lr: 1.0e-3}
        """,
    )
    assert config.data.target == "Class"
    assert [str(c) for c in config.data.constraints] == ["funded <= asked", "0 <= rate <= 40"]
    assert config.network.width == 256
    assert config.training.time_budget == 90.0


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("training.lr=1e-4", "training", "lr", 1e-4),
        ("training.time_budget=10m", "training", "time_budget", 600.0),
        ("training.betas=[0.5, 0.9]", "training", "betas", (0.5, 0.9)),
        ("data.target=Class", "data", "target", "Class"),
        ("data.target=a=b", "data", "target", "a=b"),
        ("data.target='2020'", "data", "target", "2020"),
        ("data.schema=my.yaml", "data", "schema_path", "my.yaml"),
        ("conditioning.columns=[term, grade]", "conditioning", "columns", ("term", "grade")),
        (" network.width =256", "network", "width", 256),
    ],
)
def test_overrides_are_yaml_values_at_dotted_keys(override, section, key, value):
    assert getattr(getattr(from_mapping({}, [override]), section), key) == value


def test_overrides_win_over_the_file_and_the_last_one_wins(tmp_path):
    config = read(tmp_path, "seed: 1\ntraining: {lr: 0.1}", "training.lr=0.2", "training.lr=0.3", "seed=4")
    assert (config.training.lr, config.seed) == (0.3, 4)


def test_the_given_mapping_stays_as_it_is():
    values = {"training": {"lr": 0.1}}
    from_mapping(values, ["training.lr=0.2", "network.width=64"])
    assert values == {"training": {"lr": 0.1}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainin.lr=1", r"unknown configuration key 'trainin'. Did you mean 'training'\?"),
        ("training.learning_rate=1", r"unknown configuration key 'training.learning_rate'"),
        ("training.step=1", r"Did you mean 'training.steps'\?"),
        ("lr=1", r"unknown configuration key 'lr'. Did you mean 'training.lr'\?"),
        ("training.width=3", r"unknown configuration key 'training.width'. Did you mean 'network.width'\?"),
        ("data.schema_path=x", r"Did you mean 'data.schema'\?"),
        ("xyzzyxyzzy=1", r"unknown configuration key 'xyzzyxyzzy'\.$"),
        ("training.lr", "cannot read the override 'training.lr'; write section.key=value"),
        ("=1", "write section.key=value"),
        ("seed.x=1", "unknown configuration key|not a section|valid integer"),
        ("training.lr.x=1", "unknown configuration key|valid number"),
        ("training.lr=[", r"cannot read the value of 'training.lr': '\['"),
        ("training.lr=fast", r"training.lr: .*valid number.* \(got 'fast'\)"),
        ("training.lr=", r"training.lr: .*valid number.* \(got None\)"),
        ("data.target=no", r"data.target: .*valid string.* \(got False\); put it in quotes"),
        ("training=3", "training: .*TrainingConfig"),
        (
            "conditioning.columns=5",
            r"^invalid configuration: conditioning\.columns: [^;]*; conditioning\.columns: ",
        ),
        ("data.constraints=[a = b]", "data.constraints.0: cannot read the constraint 'a = b'"),
    ],
)
def test_wrong_overrides_are_named_with_a_remedy(override, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping({}, [override])


def test_an_override_does_not_dig_into_a_plain_value():
    with pytest.raises(ConfigError, match="goes through 'seed', which is not a section"):
        from_mapping({"seed": 3}, ["seed.x=1"])


def test_all_faults_are_told_at_once():
    with pytest.raises(ConfigError, match=r"network\.width: .*; training\.lr: "):
        from_mapping({"network": {"width": 1}, "training": {"lr": -1}})


def test_a_long_wrong_value_is_cut_in_the_message():
    with pytest.raises(ConfigError) as caught:
        from_mapping({"network": {"width": "x" * 10_000}})
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "is not YAML"),
        ("[1, 2]", "must hold a mapping of sections, not list"),
        ("just text", "must hold a mapping of sections, not str"),
        ("seed: 1\nseed: 2", "the key 'seed' stands there twice"),
        ("training: {lr: 0.1}\ntraining: {ema: 0.9}", "the key 'training' stands there twice"),
        ("? [1, 2]\n: 3", "is not YAML|unknown configuration key"),
        ("1: 2", "unknown configuration key '1'"),
        ("seed: !!python/object/apply:os.getcwd []", "is not YAML"),
        ("version: 2", r"version: Input should be 1 \(got 2\)"),
        ("[" * 1_500, "is not YAML"),
    ],
)
def test_files_that_are_no_configuration_are_refused(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration '.*missing\.yaml'"):
        load(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"data: {target: \xe9t\xe9}")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load(tmp_path / "latin.yaml")


targets = st.none() | st.text(max_size=20)
rules = st.lists(
    st.sampled_from(["a <= b", "0 <= a <= 10", "fixed(a, b)", "unique(`an id`)", "a < `b c`", "a >= -1.5"]),
    max_size=4,
)
training = st.fixed_dictionaries(
    {},
    optional={
        "lr": st.floats(1e-8, 1.0),
        "time_budget": st.floats(1e-3, 1e9) | st.integers(1, 10**9),
        "steps": st.integers(1, 10**9),
        "epochs": st.none() | st.floats(1e-3, 1e9),
        "betas": st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)),
        "patience": st.none() | st.integers(1, 10),
    },
)


@given(targets, rules, training, st.integers(0, 2**63 - 1))
def test_what_is_written_reads_back_equal(tmp_path, target, constraints, training, seed):
    values = {"data": {"target": target, "constraints": constraints}, "training": training, "seed": seed}
    config = from_mapping(values)
    assert from_mapping(to_mapping(config)) == config
    assert read(tmp_path, to_yaml(config)) == config


def test_no_time_budget_reads_back(tmp_path):
    config = from_mapping({"training": {"steps": 5, "time_budget": None}})
    assert read(tmp_path, to_yaml(config)) == config


def test_durations_are_written_as_people_write_them():
    assert "time_budget: 10m" in to_yaml(Config())


def test_a_schema_lies_beside_the_configuration_that_names_it(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "loans"
    folder.mkdir()
    (folder / "fingan.yaml").write_text("data: {schema: schema.yaml}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert load("loans/fingan.yaml").data.schema_path == str(folder / "schema.yaml")
    assert load("loans/fingan.yaml", ["data.schema=mine.yaml"]).data.schema_path == "mine.yaml"
    (folder / "fingan.yaml").write_text("data: {schema: /elsewhere/s.yaml}\n", encoding="utf-8")
    assert load("loans/fingan.yaml").data.schema_path == "/elsewhere/s.yaml"


def test_what_looks_like_a_date_and_is_none_is_a_value_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the value of 'data.target': '2020-13-45'"):
        from_mapping({}, ["data.target=2020-13-45"])
    (tmp_path / "f.yaml").write_text("data: {target: 2020-13-45}")
    with pytest.raises(ConfigError, match="is not YAML: month must be in"):
        load(tmp_path / "f.yaml")


@pytest.mark.parametrize("text", ["data: !!map [1]", "data: !!map 1", "!!map [data]"])
def test_what_is_called_a_mapping_and_is_none_is_no_yaml(tmp_path, text):
    path = tmp_path / "fingan.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is not YAML: expected a mapping node"):
        load(path)
    with pytest.raises(ConfigError, match="cannot read the value of 'data'"):
        from_mapping({}, [f"data={text.removeprefix('data: ')}"])


@pytest.mark.parametrize("value", ["!!timestamp soon", "!!int ''", "!!int '-'", "!!float ''", "!!bool maybe"])
def test_what_is_not_what_its_tag_says_is_no_yaml(tmp_path, value):
    tag, _, text = value.partition(" ")
    said = re.escape(f"'{text.strip(chr(39))}' is not what {tag} says")
    with pytest.raises(ConfigError, match=rf"^cannot read the value of 'data\.target': .*{said}"):
        from_mapping({}, [f"data.target={value}"])
    path = tmp_path / "fingan.yaml"
    path.write_text(f"data:\n  target: {value}\n")
    with pytest.raises(ConfigError, match=rf"is not YAML: {said}[^§]*line 2"):
        load(path)
