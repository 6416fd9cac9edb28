"""The frame: help, usage errors, exit codes, one JSON object, verbs to come, light start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fingan.cli import app
from fingan.cli.app import run

ROOT = Path(__file__).resolve().parents[2]
VERBS = ("init", "check", "train", "tune", "sample", "evaluate", "models", "demo")
LATER = ("forecast", "risk", "apply")


def the_object(capsys) -> dict:
    """Return the one JSON object on standard output."""
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1, lines
    return json.loads(lines[0])


def test_help_lists_every_verb(capsys):
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {verb}" in text for verb in VERBS + LATER)


@pytest.mark.parametrize("verb", VERBS + LATER)
def test_every_verb_has_help(verb, capsys):
    assert run([verb, "--help"]) == 0
    assert "Usage: fingan" in capsys.readouterr().out


def test_no_arguments_show_help_and_are_a_usage_error(capsys):
    assert run([]) == 2
    assert "Usage: fingan" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["bogus"], "bogus"),
        (["train"], "DATA"),
        (["train", "x.csv", "--bogus"], "--bogus"),
        (["sample", "m", "-n", "many", "-o", "x.csv"], "--rows"),
        (["sample", "m", "-o", "x.csv"], "-n"),
        (["models", "paint"], "paint"),
        (["models", "alias", "m", "production"], "VERSION"),
        (["models", "alias", "m", "production", "1", "--remove"], "--remove"),
    ],
)
def test_usage_errors_exit_2_and_say_what(words, said, capsys):
    assert run(words) == 2
    output = capsys.readouterr()
    assert said in output.err
    assert output.out == ""
    assert "Traceback" not in output.err


@pytest.mark.parametrize("verb", LATER)
@pytest.mark.parametrize(
    "more", [[], ["NAME", "--trials", "3", "-o", "x", "--horizon=10", "--what", "--verb"]]
)
def test_verbs_to_come_exit_2_with_one_sentence(verb, more, capsys):
    assert run([verb, *more]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert f"fingan {verb}" in lines[0]
    assert "not available in this version yet" in lines[0]


def test_options_to_come_exit_2_with_one_sentence(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["train", "no-such-file.csv", "--kind", "series"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "not available yet" in lines[0]
    assert not list(tmp_path.iterdir())


def test_a_configured_series_exits_2_too(capsys, tmp_path):
    (tmp_path / "c.yaml").write_text("kind: series\n")
    (tmp_path / "x.csv").write_text("a\n1\n")
    assert run(["check", str(tmp_path / "x.csv"), "--config", str(tmp_path / "c.yaml")]) == 2
    assert "series" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (["bogus", "--json"], 2, "UsageError"),
        (["--json"], 2, "UsageError"),
        (["risk", "--json"], 2, "NotAvailable"),
        (["check", "--set", "training.step=1", "--json"], 2, "ConfigError"),
        (["check", "nowhere.csv", "--json"], 1, "DataError"),
        (["models", "show", "nobody", "--json"], 1, "NotFound"),
    ],
)
def test_a_failure_with_json_prints_exactly_one_object(words, code, kind, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(words) == code
    error = the_object(capsys)["error"]
    assert error["type"] == kind
    assert error["message"]


@pytest.mark.parametrize(
    ("raised", "code", "kind"),
    [
        (KeyboardInterrupt(), 130, "Interrupted"),
        (OSError(28, "No space left on device", "x"), 1, "OSError"),
        (MemoryError(), 1, "MemoryError"),
        (ZeroDivisionError("a mistake of ours"), 1, "ZeroDivisionError"),
    ],
)
def test_whatever_happens_there_is_one_object_and_a_code(raised, code, kind, capsys, monkeypatch):
    def broken(words):
        raise raised

    monkeypatch.setattr(app, "_invoke", broken)
    assert run(["check", "--json"]) == code
    assert the_object(capsys)["error"]["type"] == kind


def test_an_unknown_key_names_the_nearest(capsys):
    assert run(["check", "--set", "network.widht=3"]) == 2
    assert "network.width" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("tune.space.training.lrr=[0.1, 0.2]", "Did you mean 'training.lr'?"),
        ("tune.space.training.lr=[0.1, 7]", "tune.space.training.lr"),
        ("tune.space={}", "tune.space is empty"),
        ("data.schema=nowhere.yaml", "cannot read the schema 'nowhere.yaml'"),
        ("data.schema=none.yaml", "'none.yaml': "),
    ],
)
def test_check_refuses_what_a_later_command_would(setting, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("none.yaml").write_text("columns: [")
    assert run(["check", "--set", setting]) == 2
    output = capsys.readouterr()
    assert said in output.err
    assert not output.out


def test_check_takes_a_space_and_a_schema_that_are_sound(capsys, tmp_path):
    (tmp_path / "table.csv").write_text("x\n" + "\n".join(map(str, range(20))))
    assert run(["init", str(tmp_path / "table.csv"), "-o", str(tmp_path / "fingan.yaml")]) == 0
    words = ["--config", str(tmp_path / "fingan.yaml"), "--set", "tune.space.training.lr=[0.1, 0.2]"]
    assert run(["check", *words]) == 0
    assert "configuration: ok" in capsys.readouterr().out


def test_options_win_over_sets_and_sets_over_the_file(tmp_path, capsys):
    from fingan.cli.options import configuration

    path = tmp_path / "c.yaml"
    path.write_text("seed: 1\nnetwork: {width: 64, blocks: 3}\n")
    config = configuration(path, ["network.width=32", "seed=2"], seed=3, data__target="a: b\nc")
    assert (config.network.width, config.network.blocks, config.seed) == (32, 3, 3)
    assert config.data.target == "a: b\nc"


def test_conditions_know_columns_with_an_equals_sign():
    from fingan.cli.options import conditions

    names = ["a", "a=b", "c"]
    assert conditions(["c=1=2"], names) == {"c": "1=2"}
    assert conditions(["a=b=1"], ["a=b"]) == {"a=b": "1"}
    assert conditions(["x=1"], names) == {"x": "1"}
    assert conditions(None, names) is None


@pytest.mark.parametrize("texts", [["c"], ["c=1", "c=2"]])
def test_unreadable_conditions_exit_2(texts):
    from fingan.cli.options import conditions
    from fingan.errors import ConfigError

    with pytest.raises(ConfigError, match="c"):
        conditions(texts, ["c"])


def test_the_real_command_prints_help_in_half_a_second():
    """Best of five, because the machine has other work; 0.2 s on an idle one."""
    environment = {**os.environ, "NO_COLOR": "1"}
    for command in (["-c", "import fingan"], ["-m", "fingan", "--help"]):
        times = []
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, *command], check=True, cwd=ROOT, env=environment, capture_output=True
            )
            times.append(time.perf_counter() - started)
        assert min(times) <= 0.5, (command, times)


def test_help_loads_nothing_heavy():
    code = "import sys\nfrom fingan.cli.app import run\nrun(['--help'])\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {"torch", "ray", "pandas", "pyarrow", "numpy", "sklearn", "scipy", "matplotlib", "pydantic"}
    assert not set(done.stderr.split()) & heavy


def test_a_closed_pipe_is_no_traceback():
    command = f"{sys.executable} -m fingan train --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert "Traceback" not in done.stderr
