"""`fingan sample -o OUT/`: parts in a folder, what is printed, what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from fingan.cli.app import run
from fingan.cluster.bulk.tasks import Stopped
from tests.tiny import generator, published


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> str:
    """A registry with version 1 of the model `m`."""
    return published(tmp_path_factory.mktemp("models"))


@pytest.fixture
def sample(models, tmp_path, monkeypatch, capsys):
    """Run `fingan sample m`; return exit code, the one JSON object, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, dict, str]:
        code = run(["sample", "m", "--registry", models, *words, "--json"])
        output = capsys.readouterr()
        (line,) = output.out.splitlines()
        return code, json.loads(line), output.err

    return call


PARTS = ("-n", "5000", "--partition-rows", "2000", "--workers", "0")


def test_a_folder_of_parts(sample, tmp_path):
    code, result, said = sample(*PARTS, "-o", "rows/", "--seed", "3", "--where", "label=bad")
    assert code == 0
    assert (result["rows"], result["parts"], result["made"], result["finished"]) == (5000, 3, 5000, True)
    assert (result["place"], result["model"], result["seed"], result["offset"]) == ("rows", "m:1", 3, 0)
    assert result["bytes"] == sum(p.stat().st_size for p in (tmp_path / "rows").glob("*.parquet"))
    assert result["seconds"] > 0
    assert "making 3 of 3 parts" in said
    assert "5,000 rows" in said
    assert "rows/s" in said
    labels = generator().sample(5000, {"label": "bad"}, seed=3)["label"]
    assert ds.dataset(tmp_path / "rows").to_table()["label"].to_pylist() == labels.to_pylist()
    assert sample(*PARTS, "-o", "rows/", "--seed", "3", "--where", "label=bad")[1]["made"] == 0


def test_columns_and_verifying(sample, tmp_path):
    words = (*PARTS, "-o", "rows/", "--columns", "age,label")
    assert sample(*words)[0] == 0
    assert ds.dataset(tmp_path / "rows").schema.names == ["age", "label"]
    part = tmp_path / "rows" / "part-000001.parquet"
    part.write_bytes(b"x" * part.stat().st_size)
    assert sample(*words)[1]["made"] == 0
    code, result, _ = sample(*words, "--verify")
    assert (code, result["made"], result["rows"]) == (0, 2000, 5000)


def test_an_interrupted_run_says_so_and_goes_on(sample, models, capsys, monkeypatch):
    from fingan.cluster.bulk import tasks

    def stop_at(job, number, generator, should_stop, make=tasks._make):
        if number == 1:
            raise Stopped
        return make(job, number, generator, should_stop)

    with monkeypatch.context() as own:
        own.setattr(tasks, "_make", stop_at)
        assert run(["sample", "m", "--registry", models, *PARTS, "-o", "rows/"]) == 130
        output = capsys.readouterr().out
        assert "2,000 rows of m:1 in 1 part in rows; the same command makes the rest" in output
        code, result, _ = sample(*PARTS, "-o", "rows/")
        assert (code, result["rows"], result["parts"], result["finished"]) == (130, 2000, 1, False)
    assert run(["sample", "m", "--registry", models, *PARTS, "-o", "rows/"]) == 0
    assert "5,000 rows of m:1 in 3 parts in rows, 3,000 of them made now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("-o", "rows/", "--threads", "2"), 2, "--threads is for a single file"),
        (("-o", "rows/", "--escape-formulas"), 2, "--escape-formulas is for a single file"),
        (("-o", "rows.parquet", "--escape-formulas"), 2, "--escape-formulas is for CSV: end OUT in .csv"),
        (("-o", "rows.arrow", "--escape-formulas"), 2, "--escape-formulas is for CSV: end OUT in .csv"),
        (("-o", "rows.csv", "--workers", "2"), 2, "--workers is for a folder of parts"),
        (("-o", "rows.csv", "--partition-rows", "2"), 2, "--partition-rows is for a folder"),
        (("-o", "rows.csv", "--columns", "age"), 2, "--columns is for a folder"),
        (("-o", "rows.csv", "--verify"), 2, "--verify is for a folder"),
        (("-o", "rows/", "--address", "http://127.0.0.1:8265"), 2, "ray job submit"),
        (("-o", "rows.csv", "--address", "http://127.0.0.1:8265"), 2, "ray job submit"),
        (("-o", "rows/", "--where", "lable=bad"), 2, "'label'"),
        (("-o", "rows/", "--columns", "agee"), 2, "'age'"),
        (("-o", "rows/", "--workers", "0", "--partition-rows", "0"), 2, "partition_rows"),
        (("-o", "rows/", "--seed", "-1"), 2, "seed"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(sample, tmp_path, words, code, said):
    found, result, _ = sample("-n", "10", *words)
    assert (found, said in result["error"]["message"]) == (code, True), result
    assert not os.listdir(tmp_path)


def test_another_request_is_refused(sample):
    assert sample(*PARTS, "-o", "rows/")[0] == 0
    code, result, _ = sample(*PARTS, "-o", "rows/", "--seed", "1")
    assert code == 2
    assert "seed is 0 there and 1 here" in result["error"]["message"]


def test_a_ray_that_is_not_there(models, tmp_path):
    # In a process of its own: a Ray that this one is connected to would be used as it is.
    words = ["sample", "m", "--registry", models, "-n", "10", "-o", "rows/", "--address", "127.0.0.1:9"]
    done = subprocess.run(
        [sys.executable, "-m", "fingan", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "127.0.0.1:9" in done.stderr


def test_a_single_file_is_written_here_whatever_the_address(sample, tmp_path: Path):
    code, result, said = sample("-n", "10", "-o", "rows.parquet", "--address", "auto")
    assert (code, result["rows"]) == (0, 10)
    assert "--address is for an OUT that ends in /" in said
    assert pq.read_table(tmp_path / "rows.parquet").num_rows == 10
