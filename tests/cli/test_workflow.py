"""init, check, train, sample, evaluate, models, demo: the commands on a small table."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from fingan import load
from fingan.cli import demo
from fingan.cli.app import run
from fingan.data import DemoTable
from fingan.data.parts import open_parts
from tests.tiny import FLAGS, SETTINGS, arrow, frame


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with a table and, in `registry`, version 1 of the model `loans`."""
    folder = tmp_path_factory.mktemp("place")
    pq.write_table(arrow(), folder / "Loans.parquet")
    pq.write_table(arrow(400, 1), folder / "holdout.parquet")
    words = ["train", str(folder / "Loans.parquet"), "--target", "label", *FLAGS]
    assert run([*words, "--registry", str(folder / "registry")]) == 0
    return folder


@pytest.fixture
def command(place, capsys, monkeypatch):
    """Run a command in the place; return exit code, the one JSON object, standard error."""
    monkeypatch.chdir(place)

    def call(*words: str) -> tuple[int, dict, str]:
        code = run([*words, "--json"])
        output = capsys.readouterr()
        lines = output.out.splitlines()
        assert len(lines) == 1, lines
        return code, json.loads(lines[0]), output.err

    return call


def test_init_check_and_train_from_the_written_configuration(command, tmp_path):
    path = str(tmp_path / "fingan.yaml")
    code, result, _ = command("init", "Loans.parquet", "--target", "label", "-o", path)
    assert code == 0
    assert result["columns"]["customer"] == "identifier"
    assert yaml.safe_load(Path(path).read_text())["data"]["target"] == "label"
    code, result, _ = command("check", "Loans.parquet", "--config", path)
    assert (code, result["config"], result["data"]["rows"]) == (0, "ok", arrow().num_rows)
    assert any("years" in note for note in result["data"]["notes"])
    words = ("train", "Loans.parquet", "--config", path, "--name", "configured", *FLAGS)
    code, result, _ = command(*words, "--registry", str(tmp_path / "models"))
    assert (code, result["name"], result["version"]) == (0, "configured", 1)


def test_init_refuses_to_replace_files_and_unknown_targets(command, tmp_path):
    path = tmp_path / "c.yaml"
    assert command("init", "Loans.parquet", "-o", str(path))[0] == 0
    before = path.read_bytes()
    code, result, _ = command("init", "Loans.parquet", "-o", str(path))
    assert code == 2
    assert "--force" in result["error"]["message"]
    assert path.read_bytes() == before
    assert command("init", "Loans.parquet", "-o", str(path), "--force")[0] == 0
    code, result, _ = command("init", "Loans.parquet", "--target", "lable", "-o", str(tmp_path / "d.yaml"))
    assert code == 2
    assert "'label'" in result["error"]["message"]
    assert command("init", "Loans.parquet", "-o", str(tmp_path / "no" / "c.yaml"))[0] == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.schema.yaml", "c.yaml"]


def test_init_does_not_hold_a_table_that_comes_in_parts(command, tmp_path, monkeypatch):
    path = tmp_path / "c.yaml"
    words = ("init", "Loans.parquet", "--target", "label", "-o", str(path), "--force")
    assert command(*words)[0] == 0
    written = (tmp_path / "c.schema.yaml").read_bytes()
    monkeypatch.setattr("fingan.preparation.large_parts", lambda source, config: open_parts(source))
    for module in ("fingan.data", "fingan.preparation"):
        monkeypatch.setattr(f"{module}.read_table", None)
    code, result, _ = command(*words)
    assert (code, result["rows"]) == (0, arrow().num_rows)
    assert (tmp_path / "c.schema.yaml").read_bytes() == written


def test_check_without_data_checks_the_configuration(command):
    assert command("check")[:2] == (0, {"config": "ok"})


def test_check_of_an_address_where_no_ray_is(command):
    for address in ("127.0.0.1:1", "nonsense", "http://127.0.0.1:8265"):
        code, result, _ = command("check", "--address", address)
        assert code == 2
        assert address in result["error"]["message"]


def test_train_reports_figures_and_names_the_model_after_the_file(command):
    _, result, _ = command("models", "list")
    names = {model["name"]: model["versions"] for model in result["models"]}
    assert 1 in names["loans"]


def test_training_an_existing_name_makes_the_next_version(command, tmp_path):
    registry = str(tmp_path / "models")
    for version in (1, 2):
        words = ("train", "Loans.parquet", "--target", "label", "--seed", str(version), *FLAGS)
        code, result, error = command(*words, "--registry", registry)
        assert (code, result["version"], result["interrupted"]) == (0, version, False)
        assert result["training"]["steps"] == 40
        assert result["validation"]["score"] > 0
        assert "rows/s" in error
        assert "quality" in error
    runs = sorted((tmp_path / "models" / ".runs" / "loans").iterdir())
    assert [json.loads((r / "run.json").read_text())["version"] for r in runs] == [1, 2]
    assert {p.name for r in runs for p in r.iterdir()} == {"run.json", "progress.jsonl"}


def test_the_same_seed_gives_the_same_model(command, tmp_path):
    registry = str(tmp_path / "models")
    words = ("train", "Loans.parquet", "--target", "label", *FLAGS)
    assert command(*words, "--registry", registry)[0] == 0
    ours, theirs = load(tmp_path / "models" / "loans" / "1"), load(Path("registry") / "loans" / "1")
    assert ours.sample(100).equals(theirs.sample(100))


@pytest.mark.parametrize("suffix", ["parquet", "csv", "arrow"])
def test_sample_writes_by_suffix_and_resumes_by_offset(command, tmp_path, suffix):
    from fingan.data import read_table

    def draw(name: str, rows: int, offset: int) -> pd.DataFrame:
        path = str(tmp_path / f"{name}.{suffix}")
        words = ("sample", "loans:1", "-n", str(rows), "-o", path, "--seed", "9", "--offset", str(offset))
        code, result, _ = command(*words, "--threads", "2")
        assert (code, result["rows"], result["offset"], result["model"]) == (0, rows, offset, "loans:1")
        return read_table(path).to_pandas()

    whole = draw("whole", 3000, 0)
    parts = [draw("first", 1000, 0), draw("second", 2000, 1000)]
    assert pd.concat(parts, ignore_index=True).equals(whole)


def test_sample_refuses_a_number_of_candidates_out_of_range(command, tmp_path):
    out = tmp_path / "rows.csv"
    code, _, text = command("sample", "loans:1", "-n", "10", "-o", str(out), "--candidates", "0")
    assert code == 2
    assert "candidates must be from 1 to 64, got 0" in text
    assert not out.exists()


def test_sample_keeps_its_conditions(command, tmp_path):
    path = str(tmp_path / "bad.parquet")
    words = ("sample", "loans", "-n", "500", "-o", path, "--where", "label=bad", "--where", "age=30")
    assert command(*words)[0] == 0
    rows = pd.read_parquet(path)
    assert len(rows) == 500
    assert set(rows["label"]) == {"bad"}
    assert set(rows["age"]) == set(rows["years"]) == {30}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["loans", "-n", "5", "-o", "out.parquet", "--where", "label=bda"], 2, ["label", "bda"]),
        (["loans", "-n", "5", "-o", "out.parquet", "--where", "labl=bad"], 2, ["labl", "label"]),
        (["loans", "-n", "5", "-o", "out.parquet", "--where", "label"], 2, ["label", "COLUMN=VALUE"]),
        (["loans", "-n", "0", "-o", "out.parquet"], 2, ["-n"]),
        (["loans", "-n", "5", "-o", "out.parquet", "--threads", "0"], 2, ["threads"]),
        (["loans", "-n", "5", "-o", "out.parquet", "--offset", "-1"], 2, ["offset"]),
        (["loans", "-n", "5", "-o", "out.xls"], 1, ["out.xls", ".parquet"]),
        (["loans", "-n", "5", "-o", "nowhere/out.csv"], 1, ["nowhere"]),
        (["loan", "-n", "5", "-o", "out.csv"], 1, ["loan", "loans"]),
        (["loans:7", "-n", "5", "-o", "out.csv"], 1, ["7"]),
        (["../loans", "-n", "5", "-o", "out.csv"], 2, ["../loans"]),
    ],
)
def test_what_sample_refuses_leaves_no_file(command, place, words, code, said):
    before = sorted(place.iterdir())
    found, result, _ = command("sample", *words)
    assert found == code
    assert all(word in result["error"]["message"] for word in said)
    assert sorted(place.iterdir()) == before


def test_evaluate_writes_reports_and_gates_decide_the_exit_code(command, tmp_path):
    gates = tmp_path / "gates.yaml"
    gates.write_text("detection_auc: {max: 0.01}\n")
    page, figures = tmp_path / "report.html", tmp_path / "report.json"
    words = ("evaluate", "loans", "--real", "Loans.parquet", "--holdout", "holdout.parquet")
    code, result, error = command(
        *words, "-o", str(page), "--report-json", str(figures), "--gate", str(gates)
    )
    assert code == 3
    assert "detection_auc" in result["gate_failures"][0]
    assert "gate failed" in error
    assert {m["name"] for m in result["metrics"]} >= {"detection_auc"}
    assert page.read_text().lower().startswith("<!doctype html")
    assert json.loads(figures.read_text())["metrics"] == result["metrics"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--real", "nowhere.parquet"], 1, "nowhere.parquet"),
        (["--real", "Loans.parquet", "-o", "no/report.html"], 2, "no"),
        (["--real", "Loans.parquet", "--gate", "no-gates.yaml"], 2, "no-gates.yaml"),
        (["--real", "other.csv"], 1, "amount"),
    ],
)
def test_what_evaluate_refuses(command, place, words, code, said):
    (place / "other.csv").write_text("x,y\n1,2\n3,4\n")
    found, result, _ = command("evaluate", "loans", *words)
    assert found == code
    assert said in result["error"]["message"]


def test_an_unknown_metric_in_a_gate_names_the_nearest(command, tmp_path):
    (tmp_path / "g.yaml").write_text("detection_acu: {max: 1}\n")
    code, result, _ = command(
        "evaluate", "loans", "--real", "Loans.parquet", "--gate", str(tmp_path / "g.yaml")
    )
    assert code == 2
    assert "detection_auc" in result["error"]["message"]


def test_models_show_verify_alias_and_rm(command, tmp_path):
    registry = ("--registry", str(tmp_path / "models"))
    assert command("models", "list", *registry)[1] == {"models": []}
    assert command("train", "Loans.parquet", "--target", "label", *FLAGS, *registry)[0] == 0
    code, shown, _ = command("models", "show", "loans", *registry)
    assert (code, shown["version"], shown["metrics"]["training"]["steps"]) == (0, 1, 40)
    assert command("models", "verify", "loans:1", *registry)[1]["verified"] is True
    assert command("models", "alias", "loans", "production", "1", *registry)[0] == 0
    assert command("models", "verify", "loans:production", *registry)[1]["model"] == "loans:1"
    assert command("models", "rm", "loans:1", *registry)[0] == 2  # an alias points at it
    (tmp_path / "models" / "loans" / "aliases" / "production").write_bytes(b"")
    (listed,) = command("models", "list", *registry)[1]["models"]
    assert (listed["versions"], listed["aliases"]) == ([1], {})
    assert "Set the alias again" in listed["unreadable"]["production"]
    assert command("models", "alias", "loans", "production", "--remove", *registry)[0] == 0
    assert command("models", "rm", "loans:1", *registry)[0] == 0
    code, result, _ = command("models", "show", "loans", *registry)
    assert code == 1
    assert "loans" in result["error"]["message"]


def test_models_speak_to_people_too(place, capsys, monkeypatch):
    monkeypatch.chdir(place)
    for words, said in ((["list"], "loans  versions 1"), (["show", "loans"], '"version": 1')):
        assert run(["models", *words]) == 0
        assert said in capsys.readouterr().out


def test_a_torn_bundle_is_named_and_exits_1(command, tmp_path):
    registry = ("--registry", str(tmp_path / "models"))
    assert command("train", "Loans.parquet", "--target", "label", *FLAGS, *registry)[0] == 0
    weights = tmp_path / "models" / "loans" / "1" / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    out = tmp_path / "rows.parquet"
    for words in (["models", "verify", "loans"], ["sample", "loans", "-n", "5", "-o", str(out)]):
        code, result, _ = command(*words, *registry)
        assert code == 1
        assert result["error"]["type"] == "BundleError"
        assert "generator.safetensors" in result["error"]["message"]
    assert not out.exists()


def test_a_registry_url_keeps_models_there_and_runs_here(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(arrow(), "Loans.parquet")
    url = f"file://{tmp_path}/far"
    assert command("train", "Loans.parquet", "--target", "label", *FLAGS, "--registry", url)[0] == 0
    assert (tmp_path / "far" / "loans" / "1" / "manifest.json").is_file()
    assert len(list((tmp_path / "runs" / "loans").iterdir())) == 1
    assert command("sample", "loans", "-n", "5", "-o", "x.csv", "--registry", url)[0] == 0


def test_a_registry_that_cannot_be_opened_is_refused_before_any_work(command):
    words = ("train", "Loans.parquet", *FLAGS, "--registry", "nonsense://bucket/x")
    code, result, error = command(*words)
    assert code == 2
    assert "nonsense" in result["error"]["message"]
    assert "reading" not in error


def test_the_demo_checks_its_own_result(command, tmp_path, monkeypatch):
    """On a table of seconds; `make demo` runs the real one."""
    from fingan import data
    from fingan.cli import options

    table = frame().rename(columns={"label": "Class"})
    path = tmp_path / "tiny-lending.parquet"
    table.to_parquet(path, index=False)

    def small(path, sets, **given):
        given.update(compute__workers=0, training__time_budget=None)
        return options.configuration(path, SETTINGS, **given)

    monkeypatch.setattr(data, "LENDING", DemoTable("tiny-lending", "Class", "bad"))
    monkeypatch.setattr(data, "demo_table_path", lambda which: path)
    monkeypatch.setattr(demo, "configuration", small)
    monkeypatch.setattr(demo, "SHOWN", ("amount", "age", "Class"))
    monkeypatch.setattr(demo, "DETECTION_BOUND", 1.0)
    monkeypatch.setattr(demo, "RATE_TOLERANCE", 0.5)
    output = tmp_path / "out"
    words = ("demo", "-o", str(output), "--registry", str(tmp_path / "models"))
    code, result, _ = command(*words)
    assert (code, result["version"]) == (0, 1)
    assert result["checks"]["class_rate"]["passed"]
    assert {p.name for p in output.iterdir()} == {"report.html", "synthetic.parquet"}
    monkeypatch.setattr(demo, "DETECTION_BOUND", 0.0)
    code, result, error = command(*words)
    assert (code, result["version"]) == (1, 2)
    assert not result["checks"]["detection"]["passed"]
    assert "not good enough" in error
