"""Streaming output: whole files or none, in constant memory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from fingan.data import conform, infer_schema, open_sink, read_table
from fingan.data import sink as sink_module
from fingan.errors import DataError

TABLE = pa.table(
    {
        "amount": [1.5, None, 5e-324, 1e22],
        "whole": pa.array([2**63 - 1, None, -(2**63), 0], pa.int64()),
        "small": pa.array([1, 2, 3, 255], pa.uint8()),
        "label": ["good", None, 'a "b", c\nd', "=1+1"],
        "flag": [True, False, None, True],
        "day": pa.array([0, 1, None, -1], pa.date32()),
        "s": pa.array([0, 1, None, -1], pa.timestamp("s")),
        "ns": pa.array([0, 10**18 + 1, None, -1], pa.timestamp("ns")),
        "zone": pa.array([0, 10**15 + 1, None, -1], pa.timestamp("us", "Europe/Paris")),
        "price": pa.array([None, "1.50", "-2.25", "0.00"]).cast(pa.decimal128(12, 2)),
        '<b>é, "x"</b>': ["1", "007", "NA", "null"],
    }
)
SCHEMA = infer_schema(TABLE)
NAMES = ["t.parquet", "t.csv", "t.csv.gz", "t.arrow", "t.feather", "t.ipc"]


def write(path: str | Path, table: pa.Table, rows: int = 2, **options: bool) -> None:
    with open_sink(path, table.schema, **options) as sink:
        for batch in table.to_batches(max_chunksize=rows):
            sink.write(batch)
        assert sink.rows == table.num_rows


def fail(path: Path, error: type[BaseException]) -> None:
    """Write a batch, then fail as a generator would."""
    with open_sink(path, TABLE.schema) as sink:
        sink.write(TABLE.to_batches()[0])
        assert any(name.endswith(".partial") for name in os.listdir(path.parent))
        raise error("stop")


def read(path: str | Path) -> pa.Table:
    """Read in the types written: Parquet has no whole seconds, and CSV no types at all."""
    return conform(read_table(path, SCHEMA), SCHEMA).combine_chunks().cast(TABLE.schema)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_reads_back(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, TABLE)
    assert read(tmp_path / name) == TABLE
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", NAMES)
def test_no_rows_give_a_file_with_columns(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, TABLE.slice(0, 0))
    with pytest.raises(DataError, match="no rows"):
        read_table(tmp_path / name)


def test_a_single_column_with_missing_values_keeps_its_rows(tmp_path: Path) -> None:
    table = pa.table({"a": [1, None, 3, None]})
    write(tmp_path / "t.csv", table)
    assert read_table(tmp_path / "t.csv") == table


def test_urls(tmp_path: Path) -> None:
    for url in (f"file:{tmp_path}/t.parquet", f"file://{tmp_path}/t.parquet"):
        write(url, TABLE)
        assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]
    assert read(tmp_path / "t.parquet") == TABLE
    pytest.importorskip("fsspec")
    write("fsspec+memory://fingan-sink/t.parquet", TABLE)
    write("fsspec+memory://fingan-sink/t.parquet", TABLE)
    assert read("fsspec+memory://fingan-sink/t.parquet") == TABLE
    filesystem, path = pafs.FileSystem.from_uri("fsspec+memory://fingan-sink")
    assert [i.base_name for i in filesystem.get_file_info(pafs.FileSelector(path))] == ["t.parquet"]


def test_an_existing_file_is_replaced_only_by_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(path, TABLE)
    with pytest.raises(RuntimeError):
        fail(path, RuntimeError)
    assert read(path) == TABLE
    write(path, TABLE.slice(0, 1))
    assert read_table(path).num_rows == 1
    assert os.listdir(tmp_path) == ["t.parquet"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, DataError])
def test_an_error_leaves_nothing(tmp_path: Path, name: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        fail(tmp_path / name, error)
    assert os.listdir(tmp_path) == []


def test_small_batches_become_large_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink_module, "_GROUP_ROWS", 100)
    table = pa.table({"a": np.arange(1050)})
    write(tmp_path / "t.parquet", table, rows=10)
    meta = pq.read_metadata(tmp_path / "t.parquet")
    assert [meta.row_group(i).num_rows for i in range(meta.num_row_groups)] == [100] * 10 + [50]
    assert read_table(tmp_path / "t.parquet") == table


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.arrow"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, name: str) -> None:
    batch = pa.record_batch({"a": np.random.default_rng(0).normal(size=20_000), "b": np.arange(20_000)})
    peaks = []
    with open_sink(tmp_path / name, batch.schema) as sink:
        for _ in range(4):
            for _ in range(12):
                sink.write(batch)
            peaks.append(pa.total_allocated_bytes())
    assert max(peaks) - min(peaks) < 8 << 20


def test_formulas_can_be_made_harmless(tmp_path: Path) -> None:
    table = pa.table({"=cmd()": ["=1+1", "+x", "-x", "@x", "\tx", "x=1", None, ""], "n": [-1.5] * 8})
    write(tmp_path / "t.csv", table, escape_formulas=True)
    text = (tmp_path / "t.csv").read_text()
    assert text.splitlines()[:5] == [
        '"\'=cmd()","n"',
        '"\'=1+1",-1.5',
        '"\'+x",-1.5',
        '"\'-x",-1.5',
        '"\'@x",-1.5',
    ]
    assert '"x=1",-1.5' in text
    write(tmp_path / "t.parquet", table, escape_formulas=True)
    assert read_table(tmp_path / "t.parquet") == table


def test_other_columns_are_refused(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64())])
    for batch in (
        pa.record_batch({"b": [1]}),
        pa.record_batch({"a": ["x"]}),
        pa.record_batch({"a": [1], "b": [1]}),
    ):
        with (
            pytest.raises(DataError, match=r"cannot write columns .* which has 'a' \(int64\)"),
            open_sink(tmp_path / "t.csv", schema) as sink,
        ):
            sink.write(batch)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("t.xlsx", "cannot tell the format"),
        ("t.parquet.gz", "cannot tell the format"),
        ("absent/t.csv", "there is no folder"),
        ("folder.csv", "it is a folder"),
    ],
)
def test_places_that_cannot_be(tmp_path: Path, place: str, part: str) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=part), open_sink(tmp_path / place, TABLE.schema):
        pytest.fail("opened")
    assert os.listdir(tmp_path) == ["folder.csv"]


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(DataError, match=r"cannot write '.*t\.csv': Permission denied"):
        write(tmp_path / "t.csv", TABLE)
    assert os.listdir(tmp_path) == []


def test_a_failure_while_opening_leaves_nothing(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.list_(pa.int64()))])
    with pytest.raises(DataError, match="cannot write"), open_sink(tmp_path / "t.csv", schema):
        pytest.fail("opened")
    assert os.listdir(tmp_path) == []


FILL = """
import resource, signal, sys
import numpy as np, pyarrow as pa
from fingan.data import open_sink
from fingan.errors import DataError
path, limit = sys.argv[1], int(sys.argv[2])
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
batch = pa.record_batch({"a": np.random.default_rng(0).normal(size=50_000)})
try:
    with open_sink(path, batch.schema) as sink:
        for _ in range(200):
            sink.write(batch)
except DataError as error:
    print(error)
    sys.exit(7)
"""


def fill(path: Path, limit: int) -> str:
    """Write more than fits, in a process of its own; return its message."""
    command = [sys.executable, "-c", FILL, str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 7, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("name", ["t.parquet", "t.csv.gz", "t.arrow"])
def test_a_file_that_may_not_grow_leaves_nothing(tmp_path: Path, name: str) -> None:
    message = fill(tmp_path / name, 1 << 20)
    assert f"cannot write '{tmp_path / name}': File too large" in message
    assert os.listdir(tmp_path) == []


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 1 MiB, or a skip where it cannot be mounted."""
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small disk needs root; the limit on file size is tested instead")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("name", ["t.parquet", "t.csv", "t.arrow"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, name: str) -> None:
    with small_disk(tmp_path):
        message = fill(tmp_path / name, 0)
        assert f"cannot write '{tmp_path / name}': No space left on device" in message
        assert os.listdir(tmp_path) == []
