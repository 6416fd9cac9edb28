"""Encoded rows in files: any range as it was written, and nothing that is torn."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from safetensors import SafetensorError

from fingan.encoding import stored
from fingan.encoding.stored import Block, StoredTable, concat, load_blocks, save_blocks, write_block
from fingan.encoding.table import EncodedTable
from fingan.errors import DataError

FIELDS = ("lower", "width", "codes")


def encoded(rows: int, numeric: int = 2, category: int = 3, seed: int = 0) -> EncodedTable:
    draw = np.random.default_rng(seed)
    lower, width = draw.random((2, rows, numeric), dtype=np.float32)
    return EncodedTable(lower, width, draw.integers(0, 9, (rows, category), dtype=np.int32))


def equal(left: EncodedTable, right: EncodedTable) -> bool:
    pairs = [(getattr(left, field), getattr(right, field)) for field in FIELDS]
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


def part(table: EncodedTable, first: int, last: int) -> EncodedTable:
    return table.take(np.arange(first, last))


def stored_as(folder: Path, table: EncodedTable, sizes: list[int]) -> StoredTable:
    """Write a table in blocks of the given sizes."""
    blocks, first = [], 0
    for size in sizes:
        rows = part(table, first, first + size)
        blocks.append(write_block(folder, f"rows-{first:06d}.safetensors", rows, left_out=size // 3))
        first += size
    return StoredTable(folder, tuple(blocks), part(table, 0, min(5, first)))


@examples(max_examples=25)
@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=6),
    st.sampled_from([(2, 3), (0, 2), (2, 0), (1, 1)]),
    st.data(),
)
def test_any_range_is_read_as_it_was_written(tmp_path_factory, sizes, fields, data):
    whole = encoded(sum(sizes), *fields)
    table = stored_as(tmp_path_factory.mktemp("stored"), whole, sizes)
    assert len(table) == len(whole)
    first = data.draw(st.integers(0, len(whole) - 1))
    last = data.draw(st.integers(first + 1, len(whole)))
    assert equal(table.read(first, last), part(whole, first, last))
    assert equal(table.read(0, len(whole)), whole)
    edge = sizes[0]
    assert equal(
        table.read(edge - 1, min(edge + 1, len(whole))), part(whole, edge - 1, min(edge + 1, len(whole)))
    )


def test_rows_that_are_no_contiguous_array_are_written_in_their_order(tmp_path: Path) -> None:
    whole = encoded(10)
    turned = EncodedTable(*(getattr(whole, field)[::-1].T.copy().T for field in FIELDS))
    block = write_block(tmp_path, "rows", turned, 0)
    assert equal(StoredTable(tmp_path, (block,), whole).read(0, 10), turned)


def test_a_table_travels_and_one_without_blocks_is_empty(tmp_path: Path) -> None:
    whole = encoded(12)
    table = pickle.loads(pickle.dumps(stored_as(tmp_path, whole, [5, 7])))
    assert equal(table.read(3, 9), part(whole, 3, 9))
    assert len(StoredTable(tmp_path, (), whole)) == 0


def test_concat_joins_rows() -> None:
    whole = encoded(9)
    assert concat([whole]) is whole
    assert equal(concat([part(whole, 0, 4), part(whole, 4, 9)]), whole)


def test_a_block_says_what_it_is(tmp_path: Path) -> None:
    block = write_block(tmp_path, "rows", encoded(7), 2)
    assert (block.name, block.rows, block.left_out) == ("rows", 7, 2)
    assert block.size == (tmp_path / "rows").stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


Change = Callable[[Path], object]


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


CUT: dict[str, Change] = {
    "missing": lambda path: path.unlink(),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "noise": lambda path: path.write_bytes(bytes(range(256))),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "header": lambda path: flip(path, 9),
}


@pytest.mark.parametrize("change", CUT)
def test_a_file_that_is_not_whole_is_named_and_others_are_read(tmp_path: Path, change: str) -> None:
    whole = encoded(10)
    table = stored_as(tmp_path, whole, [5, 5])
    CUT[change](tmp_path / "rows-000005.safetensors")
    assert equal(table.read(0, 5), part(whole, 0, 5))
    wanted = f"cannot read the encoded rows in {tmp_path}/rows-000005.safetensors: "
    with pytest.raises(DataError, match=f"{re.escape(wanted)}.*; start the run again with --resume"):
        table.read(4, 6)


def test_a_file_of_fewer_rows_is_named(tmp_path: Path) -> None:
    table = stored_as(tmp_path, encoded(10), [5, 5])
    write_block(tmp_path, "rows-000005.safetensors", encoded(3), 0)
    with pytest.raises(DataError, match=r"rows-000005\.safetensors.*start the run again with --resume"):
        table.read(7, 10)


def listed(folder: Path) -> tuple[Path, list[Block]]:
    table = stored_as(folder, encoded(10), [6, 4])
    path = folder / "rows.json"
    save_blocks(path, table.blocks)
    return path, list(table.blocks)


def test_blocks_are_listed_and_found_again(tmp_path: Path) -> None:
    path, blocks = listed(tmp_path)
    assert load_blocks(path) == blocks
    save_blocks(path, [])
    assert load_blocks(path) == []


@pytest.mark.parametrize("change", [*CUT, "payload"])
def test_blocks_of_which_one_is_altered_are_done_anew(tmp_path: Path, change: str) -> None:
    path, blocks = listed(tmp_path)
    altered = CUT[change] if change in CUT else lambda file: flip(file, blocks[1].size - 1)
    altered(tmp_path / blocks[1].name)
    assert load_blocks(path) is None


def without(path: Path, key: str) -> None:
    values = json.loads(path.read_text())
    del values[0][key]
    path.write_text(json.dumps(values))


LISTS: dict[str, Change] = {
    "missing": lambda path: path.unlink(),
    "torn": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "empty": lambda path: path.write_bytes(b""),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "a number": lambda path: path.write_text("5"),
    "null": lambda path: path.write_text("null"),
    "an object": lambda path: path.write_text('{"name": 1}'),
    "a word": lambda path: path.write_text('["rows"]'),
    "no size": lambda path: without(path, "size"),
    "text for a size": lambda path: path.write_text(
        path.read_text().replace('"size": ', '"size": "x", "rows": ')
    ),
    "another size": lambda path: path.write_text(path.read_text().replace('"size": ', '"size": 1')),
    "more keys": lambda path: path.write_text(path.read_text().replace('"size": ', '"more": 1, "size": ')),
}


@pytest.mark.parametrize("change", LISTS)
def test_a_torn_list_is_none(tmp_path: Path, change: str) -> None:
    path, _ = listed(tmp_path)
    LISTS[change](path)
    assert load_blocks(path) is None


def test_a_full_disk_is_told_with_path_and_size_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = write_block(tmp_path, "rows", encoded(4), 0)

    def refuse(arrays: dict[str, np.ndarray], path: Path) -> None:
        path.write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(stored, "save_file", refuse)
    # 100 rows of 2 × 2 floats and 3 codes.
    wanted = f"cannot write {tmp_path}/rows (2,800 bytes): Error while serializing: I/O error: No space left"
    with pytest.raises(OSError, match=re.escape(wanted)):
        write_block(tmp_path, "rows", encoded(100), 0)
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
    assert equal(StoredTable(tmp_path, (before,), encoded(4)).read(0, 4), encoded(4))
