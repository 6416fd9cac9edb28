"""Parquet files and folders as row groups that are read on their own."""

from __future__ import annotations

import itertools
import math
import pickle
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from fingan.data import parts, read_table
from fingan.data.parts import PartedTable, open_parts
from fingan.errors import DataError


def numbered(first: int, last: int) -> pa.Table:
    """Rows that know their number, with gaps."""
    rows = range(first, last)
    return pa.table(
        {
            "n": pa.array(rows, pa.int64()),
            "share": pa.array([None if n % 7 == 3 else n / 8 for n in rows], pa.float64()),
            "text": pa.array(
                [None if n % 5 == 1 else f"t{n % 3}" for n in rows], pa.string()
            ).dictionary_encode(),
        }
    )


def write(folder: Path, sizes: list[int], group: int = 4) -> Path:
    """Write files of the given sizes, whose rows are numbered on."""
    folder.mkdir(exist_ok=True)
    ends = [0, *itertools.accumulate(sizes)]
    for k, (first, last) in enumerate(itertools.pairwise(ends)):
        pq.write_table(numbered(first, last), folder / f"{k:03d}.parquet", row_group_size=group)
    return folder


def opened(source: object) -> PartedTable:
    table = open_parts(source)
    assert table is not None
    return table


def blocks_of(table: PartedTable) -> list[tuple[int, pa.Table]]:
    return [block for part in table.parts for block in table.read(part)]


def whole(table: PartedTable) -> pa.Table:
    """All rows, with their order checked."""
    blocks, first = blocks_of(table), 0
    for start, block in blocks:
        assert start == first
        first += len(block)
    assert first == table.rows
    return pa.concat_tables([block for _, block in blocks])


@examples(max_examples=25)
@given(
    st.lists(st.integers(0, 23), min_size=1, max_size=4), st.integers(1, 9), st.integers(1, 12), st.booleans()
)
def test_parts_hold_every_row_once_in_order(tmp_path_factory, sizes, group, most, as_text):
    folder = write(tmp_path_factory.mktemp("parts"), [*sizes, 1], group)
    table = opened(str(folder) if as_text else folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "BLOCK_ROWS", most)
        assert all(0 < len(block) <= most for _, block in blocks_of(table))
        assert whole(table).equals(read_table(folder))
    assert all(0 < part.rows <= group for part in table.parts)
    assert [part.first for part in table.parts] == [
        0,
        *itertools.accumulate(part.rows for part in table.parts[:-1]),
    ]


def test_a_single_file_is_parts_too(tmp_path: Path) -> None:
    path = write(tmp_path, [11]) / "000.parquet"
    for source in (path, str(path), f"file://{path}"):
        table = opened(source)
        assert [(part.group, part.first, part.rows) for part in table.parts] == [
            (0, 0, 4),
            (1, 4, 4),
            (2, 8, 3),
        ]
        assert whole(table).equals(read_table(path))
    # A folder's name gives no column to a file that is named itself.
    (folder := tmp_path / "k=1").mkdir()
    path.rename(folder / path.name)
    assert opened(folder / path.name).schema.names == ["n", "share", "text"]


def test_hidden_and_other_files_are_passed_over(tmp_path: Path) -> None:
    folder = write(tmp_path, [3])
    (folder / ".b.parquet").write_bytes(b"half written")
    (folder / "_SUCCESS").touch()
    (folder / "notes.md").write_text("notes")
    assert opened(folder).rows == 3


KEYS = {
    "whole": {"k": [1, 2]},
    "long": {"k": [2**40, 1]},
    "text": {"k": ["7", "x"]},
    "escaped": {"k": ["a b/ü", "%"]},
    "null": {"k": ["x", None]},
    "two": {"year": [2021, 2022], "month": ["01", "12"]},
}


@pytest.mark.parametrize("keys", KEYS)
def test_folders_that_name_values_give_the_columns_that_read_table_gives(tmp_path: Path, keys: str) -> None:
    pq.write_to_dataset(pa.table({"a": [1.0, 2.0], **KEYS[keys]}), tmp_path, partition_cols=list(KEYS[keys]))
    table, read = opened(tmp_path), read_table(tmp_path)
    assert table.schema.names == ["a", *KEYS[keys]]
    assert whole(table).equals(read)
    assert whole(table).schema == read.schema


def write_key(folder: Path, key: str, file: pa.Table) -> None:
    (folder / key).mkdir(parents=True)
    pq.write_table(file, folder / key / "t.parquet")


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["01234", "98765"], ["01234", "98765"]),
        (["-007", "3"], ["-007", "3"]),
        (["0", "-98765"], [0, -98765]),
        (["2147483648", "1"], ["2147483648", "1"]),
        (["__HIVE_DEFAULT_PARTITION__", "08"], [None, "08"]),
        (["__HIVE_DEFAULT_PARTITION__", "8"], [None, 8]),
    ],
)
def test_folders_keep_the_leading_zeros_of_their_values(
    tmp_path: Path, texts: list[str], values: list[object]
) -> None:
    for number, text in enumerate(texts):
        write_key(tmp_path, f"k%20y={text}/n={number}", pa.table({"a": [text]}))
    read = read_table(tmp_path)
    found = {row["a"]: (row["k y"], row["n"]) for row in read.to_pylist()}
    assert found == {text: (value, n) for n, (text, value) in enumerate(zip(texts, values, strict=True))}
    assert whole(opened(tmp_path)).equals(read)


def test_a_key_that_some_folders_lack_is_null_there(tmp_path: Path) -> None:
    write_key(tmp_path, "k=1/m=x", pa.table({"a": [0]}))
    write_key(tmp_path, "k=2", pa.table({"a": [1]}))
    wanted = {"a": [0, 1], "k": [1, 2], "m": ["x", None]}
    assert whole(opened(tmp_path)).to_pydict() == read_table(tmp_path).to_pydict() == wanted


OWN = {
    "text": (["x", "y"], pa.string()),
    "digits": (["01", "22"], pa.string()),
    "int32": ([1, 2], pa.int32()),
    "int64": ([1, 2], pa.int64()),
    "contradicting": ([3, 4], pa.int64()),
}


@pytest.mark.parametrize("case", OWN)
def test_a_column_of_folders_and_of_files_is_what_the_folders_say(tmp_path: Path, case: str) -> None:
    values, type_ = OWN[case]
    for number, value in enumerate(values):
        own = pa.array([9 if case == "contradicting" else value], type_)
        write_key(tmp_path, f"k={value}", pa.table({"a": [number], "k": own, "b": [0.5]}))
    table, read = opened(tmp_path), read_table(tmp_path)
    assert read.to_pydict() == {"a": [0, 1], "k": values, "b": [0.5, 0.5]}
    assert read.schema.field("k").type == type_
    assert whole(table).equals(read)


def test_columns_that_are_not_selected_may_hold_anything(tmp_path: Path) -> None:
    junk = pa.table({"junk": [math.inf] * 9, "a.b": range(9), "a": range(9), "nested": [[1]] * 9})
    write_key(tmp_path, "k=7", junk)
    table = opened(tmp_path)
    for names in (["k", "a"], ["a.b"], ["k"]):
        chosen = table.select(names)
        wanted = {name: [7] * 9 if name == "k" else list(range(9)) for name in names}
        assert whole(chosen).to_pydict() == wanted
        assert chosen.fingerprint() != table.fingerprint()


def test_a_part_and_its_table_travel(tmp_path: Path) -> None:
    table = opened(write(tmp_path, [5, 6]))
    again = pickle.loads(pickle.dumps(table))
    assert whole(again).equals(whole(table))
    assert again.fingerprint() == table.fingerprint()


@pytest.mark.parametrize(
    "source", [pa.table({"a": [1]}), pd.DataFrame({"a": [1]}), "t.csv", "t.arrow", "t", 7, None]
)
def test_other_sources_have_no_parts(source: object) -> None:
    assert open_parts(source) is None


def test_a_csv_file_has_no_parts(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n")
    assert open_parts(tmp_path / "t.csv") is None


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.parquet"
    with pytest.raises(
        DataError, match=re.escape(f"{str(missing)!r}: there is no such file or folder; check")
    ):
        open_parts(missing)
    with pytest.raises(DataError, match=re.escape(f"{str(tmp_path)!r}: the folder holds no .parquet file")):
        open_parts(tmp_path)


def test_a_table_without_rows_has_no_parts_but_is_a_table(tmp_path: Path) -> None:
    table = opened(write(tmp_path, [0, 0]))
    assert (table.rows, table.parts) == (0, ())


def test_a_file_that_goes_or_is_damaged_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, [40, 40], group=40)
    table, torn = opened(folder), folder / "001.parquet"
    content = torn.read_bytes()
    torn.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=f"cannot read {str(folder)!r}: .*"):
        open_parts(folder)
    for change in (lambda: torn.write_bytes(content[:4] + bytes(200) + content[204:]), torn.unlink):
        change()
        assert len(list(table.read(table.parts[0]))) == 1
        with pytest.raises(DataError, match=f"cannot read '{torn}': ."):
            list(table.read(table.parts[1]))


def test_files_of_different_columns_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet' differ from those of '.*a\.parquet'; make them alike"):
        open_parts(tmp_path)


@pytest.mark.parametrize("bad", [math.inf, -math.inf])
def test_a_value_that_no_table_may_hold_is_named_with_file_and_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    monkeypatch.setattr(parts, "BLOCK_ROWS", 5)
    pq.write_table(pa.table({"a": [0.5] * 10}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": [0.5] * 7 + [bad]}), tmp_path / "b.parquet")
    table = opened(tmp_path)
    wanted = (
        f"'{tmp_path}/b.parquet', from row 16 of the table on: column 'a': value {bad} in row 3 is infinite"
    )
    with pytest.raises(DataError, match=re.escape(wanted)):
        blocks_of(table)


WIDTHS = [
    (pa.int32(), pa.int64()),
    (pa.int64(), pa.int32()),
    (pa.float64(), pa.int64()),
    (pa.string(), pa.int64()),
]


@pytest.mark.parametrize(("first", "second"), WIDTHS)
def test_files_of_different_types_are_read_in_the_first_ones(
    tmp_path: Path, first: pa.DataType, second: pa.DataType
) -> None:
    pq.write_table(pa.table({"a": pa.array([1, None]).cast(first)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": pa.array([7]).cast(second)}), tmp_path / "b.parquet")
    table = whole(opened(tmp_path))
    assert table.schema.field("a").type == first
    assert table.equals(read_table(tmp_path))


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [(pa.array([1], pa.int32()), [2**40], "1099511627776 not in range"), (pa.array([1]), ["x"], "'x'")],
)
def test_a_value_that_the_first_files_type_cannot_hold_is_named_with_its_file(
    tmp_path: Path, first: pa.Array, second: list[object], message: str
) -> None:
    pq.write_table(pa.table({"a": first}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"a": second}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=rf"cannot read '{tmp_path}/b\.parquet': .*{message}"):
        blocks_of(opened(tmp_path))
    for read in (read_table, lambda folder: blocks_of(opened(folder))):
        with pytest.raises(DataError, match=rf"b\.parquet'.* column 'a' of type .*{message}.* in one type"):
            read(tmp_path)


def test_a_column_that_is_null_in_the_first_files_takes_the_type_of_the_next(tmp_path: Path) -> None:
    for number, values in enumerate([pa.nulls(2), pa.nulls(1), pa.array(["x", None]), pa.nulls(1)]):
        pq.write_table(pa.table({"n": [number] * len(values), "a": values}), tmp_path / f"{number}.parquet")
    read = read_table(tmp_path)
    assert read["a"].to_pylist() == [None, None, None, "x", None, None]
    assert whole(opened(tmp_path)).equals(read)


ZONED = pa.timestamp("us", "Europe/Paris")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pa.date32(), pa.timestamp("us")),
        (pa.timestamp("us"), ZONED),
        (ZONED, pa.timestamp("us")),
        (ZONED, pa.date32()),
        (pa.bool_(), pa.int64()),
    ],
)
def test_types_of_files_that_would_change_values_silently_are_refused(
    tmp_path: Path, first: pa.DataType, second: pa.DataType
) -> None:
    for name, type_ in (("a", pa.null()), ("b", first), ("c", second)):
        pq.write_table(pa.table({"t": pa.nulls(1, type_)}), tmp_path / f"{name}.parquet")
    wanted = f"column 't' is of type {second} in '{tmp_path}/c.parquet', but of type {first} before"
    for read in (read_table, open_parts):
        with pytest.raises(DataError, match=re.escape(wanted)):
            read(tmp_path)


def test_the_fingerprint_tells_files_apart(tmp_path: Path) -> None:
    folder = write(tmp_path, [8, 8])
    print_ = opened(folder).fingerprint
    before = print_()
    assert before == opened(folder).fingerprint() == opened(f"{folder}/").fingerprint()
    seen = {before}
    pq.write_table(numbered(8, 15), folder / "001.parquet", row_group_size=4)
    seen.add(opened(folder).fingerprint())
    pq.write_table(numbered(8, 16), folder / "001.parquet", row_group_size=8)
    seen.add(opened(folder).fingerprint())
    (folder / "001.parquet").rename(folder / "002.parquet")
    seen.add(opened(folder).fingerprint())
    (folder / "k=1").mkdir()
    (folder / "002.parquet").rename(folder / "k=1" / "002.parquet")
    (folder / "000.parquet").unlink()
    seen.add(opened(folder).fingerprint())
    (folder / "k=1").rename(folder / "k=2")
    seen.add(opened(folder).fingerprint())
    pq.write_table(
        numbered(8, 16).select(["n", "text", "share"]), folder / "k=2" / "002.parquet", row_group_size=8
    )
    seen.add(opened(folder).fingerprint())
    assert len(seen) == 7
