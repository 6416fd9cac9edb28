"""Encoded rows in files: records of fixed width, of which any range is read without the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fingan.encoding.table import EncodedTable
from fingan.errors import DataError
from fingan.files import FileEntry, atomic_path, atomic_write_bytes, sha256_file
from fingan.types import Int64

_FIELDS = ("lower", "width", "codes")


@dataclass(frozen=True)
class Block:
    """Consecutive rows in a file of their own.

    Attributes:
        name: of the file.
        rows: its rows.
        left_out: rows beside them that could not be encoded.
        size, sha256: of the file.
    """

    name: str
    rows: int
    left_out: int
    size: int
    sha256: str


@dataclass(frozen=True, eq=False)
class StoredTable:
    """Encoded rows in the blocks of a folder.

    Attributes:
        folder: that every worker can read.
        blocks: in the order of the rows.
        sample: some of the rows, drawn evenly.
    """

    folder: Path
    blocks: tuple[Block, ...]
    sample: EncodedTable

    @cached_property
    def _ends(self) -> Int64:
        return np.cumsum([block.rows for block in self.blocks], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.blocks else 0

    def read(self, first: int, last: int) -> EncodedTable:
        """Return the rows from `first` up to, not including, `last`.

        Raises:
            DataError: a file is missing or not whole; names it.
        """
        pieces = []
        while first < last:
            number = int(np.searchsorted(self._ends, first, side="right"))
            begin = int(self._ends[number]) - self.blocks[number].rows
            end = min(last, int(self._ends[number]))
            pieces.append(_read(self.folder / self.blocks[number].name, first - begin, end - begin))
            first = end
        return concat(pieces)


def concat(tables: Sequence[EncodedTable]) -> EncodedTable:
    """Return the rows of all tables, one after the other."""
    if len(tables) == 1:
        return tables[0]
    return EncodedTable(*(np.concatenate([getattr(t, field) for t in tables]) for field in _FIELDS))


def write_block(folder: Path, name: str, rows: EncodedTable, left_out: int) -> Block:
    """Write rows to a file, whole or not at all.

    Raises:
        OSError: the device is full or not writable.
    """
    path = folder / name
    arrays = {field: np.ascontiguousarray(getattr(rows, field)) for field in _FIELDS}
    with atomic_path(path) as draft:
        try:
            save_file(arrays, draft)
        except SafetensorError as error:
            size = sum(array.nbytes for array in arrays.values())
            raise OSError(f"cannot write {path} ({size:,} bytes): {error}") from error
    return Block(name, len(rows), left_out, path.stat().st_size, sha256_file(path))


def save_blocks(path: Path, blocks: Sequence[Block]) -> None:
    """Write what `load_blocks` reads, once all the blocks are there."""
    atomic_write_bytes(path, json.dumps([asdict(block) for block in blocks]).encode())


def load_blocks(path: Path) -> list[Block] | None:
    """Return blocks that were written before; None where any of them is not there as it was written."""
    try:
        blocks = [Block(**values) for values in json.loads(path.read_text(encoding="utf-8"))]
        for block in blocks:
            file = path.parent / block.name
            found = FileEntry(file.stat().st_size, sha256_file(file))
            if FileEntry(block.size, block.sha256).difference(found):
                return None
    except (OSError, ValueError, TypeError):
        return None
    return blocks


def _read(path: Path, first: int, last: int) -> EncodedTable:
    try:
        with safe_open(path, framework="numpy") as file:
            fields = [file.get_slice(field)[first:last] for field in _FIELDS]
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"cannot read the encoded rows in {path}: {error}; start the run again with --resume"
        ) from error
    if any(len(field) != last - first for field in fields):
        raise DataError(f"{path} holds fewer rows than it should; start the run again with --resume")
    return EncodedTable(*fields)
