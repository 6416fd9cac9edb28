"""Reading tables from files, folders, URLs and memory."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.fs as pafs
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.data import data_name, infer_schema, read_conformed, read_table
from fingan.errors import DataError, SchemaMismatch

TABLE = pa.table(
    {
        "amount": [1.5, None, -0.0],
        "whole": pa.array([2**53 + 1, None, -(2**63)], pa.int64()),
        "label": ["good", None, "bad, but <b>bold</b>"],
        "flag": [True, False, None],
        "when": pa.array([0, 10**15 + 1, None], pa.timestamp("us", "Europe/Paris")),
    }
)


def write_parquet(path: Path) -> None:
    pq.write_table(TABLE, path)


def write_arrow(path: Path) -> None:
    with ipc.new_file(path, TABLE.schema) as writer:
        writer.write_table(TABLE)


def write_stream(path: Path) -> None:
    with ipc.new_stream(path, TABLE.schema) as writer:
        writer.write_table(TABLE)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("t.parquet", write_parquet),
        ("T.PARQUET", write_parquet),
        ("t.pq", write_parquet),
        ("t.arrow", write_arrow),
        ("t.feather", write_arrow),
        ("t.ipc", write_stream),
    ],
)
def test_files_of_arrow_and_parquet(tmp_path: Path, name: str, write: object) -> None:
    path = tmp_path / name
    assert callable(write)
    write(path)
    assert read_table(path) == TABLE
    assert read_table(str(path)) == TABLE
    assert read_table(f"file://{path}") == TABLE


def test_things_in_memory() -> None:
    assert read_table(TABLE) == TABLE
    assert read_table(TABLE.to_batches()[0]) == TABLE
    assert read_table(TABLE.to_reader()) == TABLE
    assert read_table(pl.from_arrow(TABLE)) == TABLE
    frame = pl.DataFrame({"c": pl.Series(["u", "v"], dtype=pl.Categorical), "n": [None, None]})
    assert read_table(frame) == pa.table({"c": ["u", "v"], "n": pa.nulls(2, pa.string())})


@pytest.mark.parametrize("source", [{"a": [1]}, [1, 2], 7, None, pl.LazyFrame({"a": [1]})])
def test_other_objects_are_refused(source: object) -> None:
    with pytest.raises(DataError, match=f"cannot read a table from {type(source).__name__}"):
        read_table(source)


def test_a_stream_that_breaks_is_a_data_error() -> None:
    def batches() -> object:
        yield TABLE.to_batches()[0]
        raise OSError("the line went dead")

    with pytest.raises(DataError, match="the line went dead"):
        read_table(pa.RecordBatchReader.from_batches(TABLE.schema, batches()))


def test_a_folder_of_parquet_files(tmp_path: Path) -> None:
    pq.write_table(TABLE.slice(1), tmp_path / "b.parquet")
    pq.write_table(TABLE.slice(0, 1), tmp_path / "a.parquet")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".c.parquet").write_bytes(b"half written")
    (tmp_path / "README.md").write_text("notes")
    assert read_table(tmp_path).combine_chunks() == TABLE
    assert read_table(f"{tmp_path}/").num_rows == 3


def test_a_partitioned_folder_gives_its_keys_as_columns(tmp_path: Path) -> None:
    pq.write_to_dataset(pa.table({"a": [1, 2], "k": ["x", "y"]}), tmp_path, partition_cols=["k"])
    assert read_table(tmp_path).to_pydict() == {"a": [1, 2], "k": ["x", "y"]}


def test_files_of_a_folder_that_differ_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet' differ from those of"):
        read_table(tmp_path)
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=re.escape(str(tmp_path))):
        read_table(tmp_path)


STRUCK = pa.table({"junk": [1.0, float("inf")], "a": [1, 2], "nested": [[1], [2]], "b": [3, 4]})


@pytest.mark.parametrize("suffix", ["parquet", "csv", None])
def test_a_column_that_the_schema_lacks_may_hold_anything(tmp_path: Path, suffix: str | None) -> None:
    given = STRUCK if suffix != "csv" else STRUCK.drop_columns("nested")
    source: object = given if suffix is None else tmp_path / f"t.{suffix}"
    if suffix is not None:
        (pq.write_table if suffix == "parquet" else pacsv.write_csv)(given, source)
    schema = infer_schema(pa.table({"b": [3], "a": [1]}))
    assert read_table(source, schema, drop_extra=True).to_pydict() == {"a": [1, 2], "b": [3, 4]}
    assert read_conformed(source, schema).to_pydict() == {"b": [3, 4], "a": [1, 2]}
    with pytest.raises(DataError, match="column 'junk': value inf in row 2"):
        read_table(source, schema)


def test_a_column_that_the_table_lacks_is_missed_as_before(tmp_path: Path) -> None:
    schema = infer_schema(pa.table({"amount": [1]}))
    table = pa.table({"amuont": [1], "b": [2]})
    with pytest.raises(SchemaMismatch, match=r"missing: 'amount' .*Did you mean 'amuont'"):
        read_conformed(table, schema)
    with pytest.raises(DataError, match="both named 'b'"):
        read_conformed(pa.table([[1], [2], [3]], names=["amount", "b", "b"]), schema)


def test_a_url_of_another_file_system() -> None:
    fsspec = pytest.importorskip("fsspec")
    pq.write_table(TABLE, path := "/fingan-test/t.parquet", filesystem=fsspec.filesystem("memory"))
    assert read_table(f"fsspec+memory:/{path}") == TABLE


@pytest.mark.parametrize("url", ["https://user:secret@x/t.csv?key=secret", "gopher://user:secret@x/t.csv"])
def test_an_unknown_scheme_is_refused_without_repeating_secrets(url: str) -> None:
    with pytest.raises(DataError, match="cannot use the URL") as error:
        read_table(url)
    assert "secret" not in str(error.value)
    assert error.value.__suppress_context__


def test_a_store_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline:
        @staticmethod
        def from_uri(_: str) -> object:
            raise OSError("could not resolve the host")

    monkeypatch.setattr(pafs, "FileSystem", Offline)
    with pytest.raises(DataError, match=r"cannot reach 's3://b/t\.csv': could not resolve the host; check"):
        read_table("s3://key:secret@b/t.csv")


BROKEN = {
    "missing.csv": (None, "no such file or folder"),
    "empty.csv": (b"", "the file is empty"),
    "blank.csv": (b"\n\n", "the file is empty"),
    "header.csv": (b"a,b\n", "no rows"),
    "ragged.csv": (b"a,b\n1,2\n3\n", "Row #3: Expected 2 columns, got 1"),
    "utf16.csv": ("a,b\n1,2\n".encode("utf-16"), "UTF-8"),
    "latin.csv": ("naïve,b\n1,2\n".encode("latin-1"), "save the file as UTF-8"),
    "latin-value.csv": ("a,b\nnaïve,2\n".encode("latin-1"), "column 'a' has type binary; decode it to UTF-8"),
    "twice.csv": (b"a,a\n1,2\n", "columns 1 and 2 are both named 'a'"),
    "index.csv": (b",a\n0,2\n", "column 1 has the empty name ''"),
    "spaces.csv": (b"a,  \n0,2\n", "column 2 has the empty name '  '"),
    "nul.csv": (b"a\x00,b\n0,2\n", "with a NUL"),
    "inf.csv": (b"a,b\n0,2\n-inf,3\n", "column 'a': value -inf in row 2 is infinite"),
    "empty.parquet": (b"", "cannot read"),
    "noise.parquet": (bytes(range(256)) * 9, "cannot read"),
    "noise.arrow": (bytes(range(256)) * 9, "cannot read"),
    "torn.arrow": (b"ARROW1\x00\x00", "cannot read"),
    "noise.csv.gz": (b"not gzip", "cannot read"),
    "table.xlsx": (b"PK", "unknown suffix '.xlsx'; fingan reads .csv"),
    "table.parquet.gz": (b"PK", "unknown suffix '.gz'"),
    "noise": (b"x", "unknown suffix ''"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_a_clear_error(tmp_path: Path, name: str) -> None:
    content, part = BROKEN[name]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_table(path)
    assert part in str(error.value)
    assert repr(str(path)) in str(error.value)


def test_a_torn_parquet_file_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_parquet(path)
    whole = path.read_bytes()
    for keep in (10, len(whole) // 2, len(whole) - 4):
        path.write_bytes(whole[:keep])
        with pytest.raises(DataError, match=r"cannot read '.*t\.parquet'"):
            read_table(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_stream_that_is_cut_short_anywhere_is_a_clear_error(tmp_path: Path, legacy: bool) -> None:
    # The last buffer looks like an end marker; the words of the second batch are replaced.
    table = pa.table({"w": pa.array(["x", "y"]).dictionary_encode(), "n": pa.array([-1, 0], pa.int32())})
    more = pa.table({"w": pa.array(["z", "u"]).dictionary_encode(), "n": pa.array([-1, 0], pa.int32())})
    path = tmp_path / "t.arrow"
    options = ipc.IpcWriteOptions(use_legacy_format=legacy)
    with ipc.new_stream(path, table.schema, options=options) as writer:
        writer.write_table(table)
        writer.write_table(more)
    whole = path.read_bytes()
    assert read_table(path).to_pydict() == {"w": ["x", "y", "z", "u"], "n": [-1, 0, -1, 0]}
    messages = []
    for keep in range(len(whole)):
        path.write_bytes(whole[:keep])
        with pytest.raises(DataError, match=re.escape(repr(str(path)))) as error:
            read_table(path)
        messages.append(str(error.value))
    wanted = (
        f"{str(path)!r}: the file is cut short, no end marker; write it anew, or in the Arrow file format"
    )
    # After the schema, and after each batch and dictionary.
    assert messages.count(wanted) == 5


def test_an_empty_folder_and_an_empty_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no \.parquet file"):
        read_table(tmp_path)
    for path in ("", "a\x00b"):
        with pytest.raises(DataError, match="is no path"):
            read_table(path)


def test_an_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    write_parquet(path)

    def refuse(*_: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pq, "ParquetFile", refuse)
    with pytest.raises(DataError, match=r"cannot read '.*t\.parquet': Permission denied"):
        read_table(path)


def test_parquet_with_repeated_names(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(DataError, match="both named 'a'"):
        read_table(table)
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="both named 'a'"):
        read_table(tmp_path / "t.parquet")


def test_html_and_unicode_names_are_just_names(tmp_path: Path) -> None:
    names = [
        "<script>alert(1)</script>",
        "prêt €",
        "日本",
        'quo"te',
        "two words",
        "a,b",
        "line\nbreak",
        "=1+1",
    ]
    table = pa.table({name: [i, i + 1] for i, name in enumerate(names)})
    pq.write_table(table, tmp_path / "t.parquet")
    pacsv.write_csv(table, tmp_path / "t.csv")
    assert read_table(tmp_path / "t.parquet") == table
    assert read_table(tmp_path / "t.csv") == table


def test_one_row_is_a_table() -> None:
    assert read_table(pd.DataFrame({"a": [1]})).num_rows == 1


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("data/Loans 2016.parquet", "loans-2016"),
        (Path("/x/modeldata_lending_club.parquet"), "modeldata_lending_club"),
        ("loans.csv.gz", "loans"),
        ("s3://key:secret@bucket/a/Loans%20A.parquet?region=eu", "loans-a"),
        ("folder/v1.2/", "v1.2"),
        ("_Crédit.csv", "credit"),
        ("日本.csv", "table"),
        ("x" * 100 + ".csv", "x" * 64),
        (TABLE, "table"),
    ],
)
def test_the_default_name_of_a_model(source: object, name: str) -> None:
    assert data_name(source) == name


@given(st.text(min_size=1))
def test_every_default_name_follows_the_grammar(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", data_name(text))


def test_compressed_csv(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,x\n"))
    assert read_table(path) == pa.table({"a": [1], "b": ["x"]})


def test_real_tables_read_without_loss(shared_data: Path) -> None:
    for path in sorted(shared_data.glob("*.parquet")):
        table = read_table(path)
        assert table.to_pandas().equals(pq.read_table(path).to_pandas()), path.name
    stock = read_table(shared_data / "stock_data.csv")
    assert (stock.num_rows, stock.num_columns) == (3685, 6)
