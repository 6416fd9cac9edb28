"""Tables larger than memory: surveyed and encoded part by part, by any number of processes.

Two passes over the Parquet row groups. The first learns what the encoder needs (`data.survey`);
the second encodes every row once into files of fixed-width records, from which the workers read
their windows while they train. Neither holds more than a block of rows and a sample.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import pyarrow as pa

from fingan.config import Constraint
from fingan.data import conform
from fingan.data.parts import Part, PartedTable
from fingan.data.survey import Survey, merge, sample_places, survey_part
from fingan.encoding.rules import check_rules
from fingan.encoding.stored import Block, StoredTable, load_blocks, save_blocks, write_block
from fingan.encoding.table import EncodedTable, TableEncoder
from fingan.errors import DataError

MOST_LEFT_OUT = 0.01
"""Share of rows that may hold what the sample does not."""

STATISTICS_ROWS = 20_000

_MERGED_AT_ONCE = 16
"""Surveys that are held before they are merged: each may hold a million values of a column."""

log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


class Each(Protocol):
    """Applies a function to all items and returns the results in their order; maybe by many processes."""

    def __call__(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Call `function` once for each item; both can be pickled."""
        ...


def in_turn(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
    """Apply a function to one item after the other, in this process."""
    return map(function, items)


def survey(table: PartedTable, seed: int, each: Each) -> Survey:
    """Survey all parts of a table.

    Raises:
        DataError: a part that cannot be read or holds what no table may hold.
    """
    known: list[Survey] = []
    for one in each(partial(survey_part, table, seed=seed), table.parts):
        known.append(one)
        if len(known) == _MERGED_AT_ONCE:
            known = [merge(known)]
    return merge(known)


@dataclass(frozen=True)
class Recipe:
    """How rows are encoded and which of them.

    Attributes:
        table: the rows.
        encoder: fitted on a sample of them.
        rules: the user's constraints, which every row must keep.
        held: places of the permutation that are not for training.
        seed: of the permutation.
    """

    table: PartedTable
    encoder: TableEncoder
    rules: tuple[Constraint, ...]
    held: int
    seed: int

    def digest(self) -> str:
        """Return what tells the encoded rows of two recipes apart."""
        document, arrays = self.encoder.state()
        rules = [rule.model_dump(mode="json") for rule in self.rules]
        schema = self.encoder.schema.fingerprint()
        told = [self.table.fingerprint(), schema, rules, self.held, self.seed, document]
        digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
        for name in sorted(arrays):
            digest.update(np.ascontiguousarray(arrays[name]).tobytes())
        return digest.hexdigest()


def store(recipe: Recipe, sample: pa.Table, root: Path, each: Each) -> StoredTable:
    """Encode all training rows into files; those that an earlier attempt left whole are kept.

    Args:
        recipe: rows and encoder.
        sample: conformed training rows, drawn evenly.
        root: folder that all workers can read; the files go into one of its folders.
        each: calls a function for every part.

    Raises:
        DataError: a row that breaks the schema or a constraint, or too many that hold levels or
            combinations which the sample does not.
        OSError: the device is full.
    """
    folder = root / recipe.digest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    parts = each(partial(_store_part, recipe, folder), recipe.table.parts)
    blocks = tuple(block for part in parts for block in part)
    left_out = sum(block.left_out for block in blocks)
    rows = left_out + sum(block.rows for block in blocks)
    if left_out > MOST_LEFT_OUT * rows:
        raise DataError(
            f"{left_out:,} of {rows:,} rows hold levels or combinations that a sample of the table does not; "
            "make columns of very many levels identifiers in the schema, or leave them out"
        )
    if left_out:
        log.warning(
            "%d of %d rows hold what a sample of the table does not; they are left out", left_out, rows
        )
    return StoredTable(folder, blocks, recipe.encoder.encode(sample.slice(0, STATISTICS_ROWS)))


def _store_part(recipe: Recipe, folder: Path, part: Part) -> list[Block]:
    """Encode one part, unless that is done already."""
    name = f"rows-{part.first:012d}"
    listed = folder / f"{name}.json"
    done = load_blocks(listed)
    if done is not None:
        return done
    blocks = []
    for first, rows in recipe.table.read(part):
        try:
            encoded, left_out = _encoded(recipe, first, rows)
        except DataError as error:
            raise DataError(f"{part.path!r}, from row {first + 1} of the table on: {error}") from error
        blocks.append(write_block(folder, f"rows-{first:012d}.safetensors", encoded, left_out))
    save_blocks(listed, blocks)
    return blocks


def _encoded(recipe: Recipe, first: int, rows: pa.Table) -> tuple[EncodedTable, int]:
    """Return the training rows of a block, and how many of them cannot be encoded."""
    encoder = recipe.encoder
    rows = conform(rows, encoder.schema, drop_extra=True)
    check_rules(rows, encoder.schema, recipe.rules)
    places = sample_places(first, len(rows), recipe.table.rows, recipe.seed)
    rows = rows.filter(pa.array(places >= recipe.held))
    known = encoder.known(rows)
    return encoder.encode(rows.filter(pa.array(known))), int(np.count_nonzero(~known))
