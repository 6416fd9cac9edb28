"""Bad input, end to end: exit code, a message that names place, value and remedy, nothing left behind."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fingan import load
from fingan.cli.app import run
from tests.tiny import FLAGS, arrow, frame


@pytest.fixture
def train(tmp_path, capsys, monkeypatch) -> Callable[..., tuple[int, str]]:
    """Train on what `data` writes; return the exit code and the message (empty on success)."""
    monkeypatch.chdir(tmp_path)

    def call(data: pd.DataFrame | str | bytes, *words: str, name: str = "table.csv") -> tuple[int, str]:
        path = tmp_path / name
        if isinstance(data, pd.DataFrame):
            data.to_parquet(path) if name.endswith("parquet") else data.to_csv(path, index=False)
        else:
            path.write_bytes(data.encode() if isinstance(data, str) else data)
        code = run(["train", name, *FLAGS, *words, "--json"])
        output = capsys.readouterr()
        lines = output.out.splitlines()
        assert len(lines) == 1, lines
        assert "Traceback" not in output.err
        if code != 0:
            assert sorted(p.name for p in tmp_path.iterdir()) == [name], "something was left behind"
        return code, json.loads(lines[0]).get("error", {}).get("message", "")

    return call


def numbers(rows: int = 300) -> pd.DataFrame:
    """Return a table of two plain columns."""
    rng = np.random.default_rng(0)
    return pd.DataFrame({"x": rng.normal(size=rows).round(3), "y": rng.integers(0, 50, rows)})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("", ["table.csv"]),
        ("x,y\n", ["table.csv", "row"]),
        ("x,y\n1,2\n", ["row"]),
        ("x,x\n1,2\n3,4\n", ["'x'"]),
        ("x,,z\n1,2,3\n4,5,6\n", ["name"]),
        ("x,y\n1,2\n3,4,5\n", ["table.csv"]),
        (b"\xff\xfe\x00\x01\x02", ["table.csv"]),
    ],
    ids=["empty", "header only", "one row", "duplicate name", "empty name", "ragged", "binary"],
)
def test_tables_that_cannot_be_learned_from_exit_1(train, data, said):
    code, message = train(data)
    assert code == 1
    assert all(word in message for word in said), message


def test_fewer_rows_than_a_batch_say_what_to_set(train):
    code, message = train(numbers(60))
    assert code == 1
    assert "training.batch_size" in message
    assert "64" in message


def test_a_file_that_is_not_what_its_suffix_says(train):
    code, message = train("this is no parquet", name="table.parquet")
    assert code == 1
    assert "table.parquet" in message


def test_an_unknown_suffix_and_a_missing_file(train):
    code, message = train("x\n1\n", name="table.xlsx")
    assert code == 1
    assert ".xlsx" in message
    assert ".parquet" in message


def test_a_missing_file_is_named_and_makes_no_registry(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["train", "nowhere.csv", *FLAGS]) == 1
    assert "nowhere.csv" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_infinity_names_column_and_remedy(train):
    table = numbers()
    table.loc[17, "x"] = np.inf
    code, message = train(table, name="table.parquet")
    assert code == 1
    assert "'x'" in message
    assert "inf" in message


def test_a_word_among_the_numbers_of_a_csv_makes_a_column_of_words(train):
    table = numbers().astype(object)
    table.loc[200, "y"] = "n/a?"
    assert train(table)[0] == 0
    assert load(Path("registry/table/1")).schema.column("y").kind == "category"


def test_an_unknown_target_names_the_nearest(train):
    code, message = train(frame(300), "--target", "lable")
    assert code == 2
    assert "'label'" in message


def test_an_unknown_constraint_column_names_the_nearest(train):
    code, message = train(frame(300), "--set", "data.constraints=['agee <= years']")
    assert code == 2
    assert "'age'" in message


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(z=None),
        lambda t: t.assign(z="always"),
        lambda t: t.assign(z=np.where(np.arange(len(t)) % 7 == 0, np.nan, 3.25)),
        lambda t: t.assign(z=2**60 + np.arange(len(t)) % 100),
        lambda t: t.assign(**{"<b onclick=alert(1)>&\"'": t["y"] % 3}),
        lambda t: t.assign(**{"=SUM(A1)": t["y"] % 5, "a=b": t["y"] % 2}),
    ],
    ids=["all null", "constant", "NaN", "beyond 2^53", "HTML name", "formula and equals names"],
)
def test_odd_columns_train_and_come_back(train, change):
    table = change(numbers())
    code, message = train(table, name="table.parquet")
    assert code == 0, message
    rows = load(Path("registry/table/1")).sample(2000).to_pandas()
    assert list(rows.columns) == list(table.columns)
    odd = table.columns[-1]
    assert set(rows[odd].dropna()) <= set(table[odd].dropna())
    assert rows[odd].isna().any() == table[odd].isna().any()


def test_columns_without_a_value_and_with_a_single_one_are_validated_too(train):
    empty = {"number": pd.Series(dtype="float64"), "date": pd.Series(dtype="datetime64[us]")}
    table = numbers(600).assign(**empty, seldom=pd.Series([2.5]))
    code, message = train(table, name="table.parquet")
    assert code == 0, message
    generator = load(Path("registry/table/1"))
    assert "score" in generator.metrics["validation"]
    assert generator.sample(100).to_pandas()[["number", "date"]].isna().all(axis=None)


def test_integers_beyond_2_to_the_53_are_exact_from_csv(train):
    table = numbers().assign(z=2**53 + 1 + 2 * (np.arange(300) % 40))
    assert train(table)[0] == 0
    drawn = load(Path("registry/table/1")).sample(500)["z"].to_pylist()
    assert all(value % 2 == 1 for value in drawn)


def test_a_where_on_a_hostile_column_name(train, capsys):
    table = numbers().assign(**{"a=b": np.arange(300) % 2})
    assert train(table)[0] == 0
    assert run(["sample", "table", "-n", "50", "-o", "rows.csv", "--where", "a=b=1"]) == 0
    assert set(pd.read_csv("rows.csv")["a=b"]) == {1}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let the kernel refuse larger files, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def trained(tmp_path, monkeypatch) -> Path:
    """A folder with a table and a model."""
    monkeypatch.chdir(tmp_path)
    pq.write_table(arrow(), "loans.parquet")
    assert run(["train", "loans.parquet", "--target", "label", *FLAGS]) == 0
    return tmp_path


@pytest.mark.parametrize("limit", [0, 2_000, 20_000])
def test_a_full_disk_in_training_leaves_no_version_and_no_half_run(trained, capsys, limit):
    before = sorted(p.relative_to(trained) for p in trained.rglob("*"))
    with largest_file(limit):
        code = run(["train", "loans.parquet", "--target", "label", *FLAGS])
    output = capsys.readouterr()
    assert code == 1
    assert "error:" in output.err
    assert "Traceback" not in output.err
    after = sorted(p.relative_to(trained) for p in trained.rglob("*"))
    assert after == before
    assert run(["models", "verify", "loans:1"]) == 0


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv", "rows.arrow"])
def test_a_full_disk_in_sampling_leaves_no_file(trained, capsys, name):
    with largest_file(50_000):
        code = run(["sample", "loans", "-n", "100000", "-o", name])
    assert code == 1
    assert name in capsys.readouterr().err
    assert sorted(p.name for p in trained.iterdir()) == ["loans.parquet", "registry"]


def test_a_full_disk_in_init_and_evaluate_leaves_no_file(trained, capsys):
    with largest_file(100):
        assert run(["init", "loans.parquet"]) == 1
        assert run(["evaluate", "loans", "--real", "loans.parquet", "--report-json", "r.json"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert sorted(p.name for p in trained.iterdir()) == ["loans.parquet", "registry"]


def test_a_registry_that_cannot_be_written(trained, capsys):
    (trained / "file").write_text("no folder")
    assert run(["train", "loans.parquet", "--target", "label", *FLAGS, "--registry", "file"]) == 1
    assert "file" in capsys.readouterr().err
