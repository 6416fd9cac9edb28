"""The trained generator: rows on demand, as tables or as a stream of record batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from fingan.config import Config
from fingan.data.schema import TableSchema
from fingan.errors import ConfigError, UserError
from fingan.generator.density import DensityRatio
from fingan.generator.engine import BLOCK, Engine
from fingan.generator.packed import (
    BLOCKS_PER_BATCH,
    Piece,
    PreparedPiece,
    check_whole,
    prepare_piece,
    sample_packed,
)
from fingan.generator.rare import RareClass
from fingan.types import Json


@dataclass(frozen=True)
class Generator:
    """A trained generator with everything that decoding needs.

    Attributes:
        engine: network, calibration and encoder.
        config: the configuration it was trained with.
        metrics: what was measured when it was published.
        density: chooses among candidates; None where rows are taken as they come.
        rare: classes of the label whose rows come from networks of their own.
    """

    engine: Engine
    config: Config
    metrics: Json = field(default_factory=dict)
    density: DensityRatio | None = None
    rare: tuple[RareClass, ...] = ()

    @property
    def schema(self) -> TableSchema:
        """The columns of the generated rows."""
        return self.engine.encoder.schema

    @property
    def conditionable(self) -> frozenset[str]:
        """Columns whose values may be given: the network has learned what follows from them."""
        conditioning, units = self.config.conditioning, self.engine.encoder.unit_names()
        return frozenset(name for names in units if conditioning.covers(names) for name in names)

    def without_identifiers(self) -> Generator:
        """Return what makes the other columns of the same rows, however few identifiers a format has."""
        rare = tuple(replace(own, engine=own.engine.without_identifiers()) for own in self.rare)
        return replace(self, engine=self.engine.without_identifiers(), rare=rare)

    def making(self, columns: Collection[str]) -> Generator:
        """Return what makes these columns: without identifiers, which end, unless one is among them."""
        made = {encoder.column for encoder in self.engine.encoder.identifiers}
        return self.without_identifiers() if made and made.isdisjoint(columns) else self

    def sample(
        self,
        rows: int,
        where: Mapping[str, Any] | None = None,
        seed: int = 0,
        offset: int = 0,
        threads: int = 1,
        candidates: int | None = None,
    ) -> pa.Table:
        """Return `rows` generated rows as a table; see `iter_batches` for the arguments."""
        batches = list(self.iter_batches(rows, where, seed, offset, threads, candidates))
        return pa.Table.from_batches(batches, schema=self.schema.arrow())

    def iter_batches(
        self,
        rows: int,
        where: Mapping[str, Any] | None = None,
        seed: int = 0,
        offset: int = 0,
        threads: int = 1,
        candidates: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Generate rows in constant memory, in order.

        Row number i of a sample is a function of (bundle, seed, candidates, i): the same whatever
        `rows`, `offset` or `threads`. Bytes are equal on one type of processor and precision.

        Args:
            rows: how many rows, at least 0.
            where: column → value that every row shall have.
            seed: of the sample, 0 … 2^63 − 1.
            offset: number of the first row.
            threads: blocks made at a time.
            candidates: rows generated for each one kept, 1 … 64: more time, better rows; 1 takes the
                network's rows as they come. None for the configured number.

        Raises:
            ConfigError: a count, seed or column that does not fit.
            ConditionError: a condition that no row can meet, or of a column that training never gave.
        """
        check_whole(rows=rows, offset=offset, seed=seed, threads=threads)
        if threads < 1:
            raise ConfigError(f"threads must be at least 1, got {threads}")
        piece = prepare_piece(self, Piece(seed, offset, offset + rows, where, candidates))
        return self._stream(piece, threads)

    def _stream(self, whole: PreparedPiece, threads: int) -> Iterator[pa.RecordBatch]:
        span = BLOCK * BLOCKS_PER_BATCH
        starts = range(whole.first - whole.first % span, whole.last, span)
        bounds = ((max(whole.first, start), min(whole.last, start + span)) for start in starts)
        pieces = (replace(whole, first=first, last=last) for first, last in bounds)
        if threads == 1:
            yield from map(self._rows, pieces)
            return
        pool = ThreadPoolExecutor(threads)
        try:
            pending: deque[Future[pa.RecordBatch]] = deque()
            for piece in pieces:
                pending.append(pool.submit(self._rows, piece))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # A reader may leave early: what nobody waits for is not made.
            pool.shutdown(cancel_futures=True)

    def _rows(self, piece: PreparedPiece) -> pa.RecordBatch:
        (made,) = sample_packed(self, [piece])
        if isinstance(made, UserError):
            raise made
        return made

    def impute(self, table: object, columns: Collection[str] | None = None, seed: int = 0) -> pa.Table:
        """Fill the nulls of a table from the learned distribution given each row's other values.

        Exactly the gaps change. A gap stays null only in a column that was (nearly) always null
        in such rows of the training table.

        Args:
            table: rows of the training table's columns, in any form that `read_table` takes.
            columns: columns whose nulls are gaps; None for all of them.
            seed: of the draws; with the table it decides everything.

        Raises:
            ConfigError: an unknown column.
            SchemaMismatch: other columns than those of the training table.
            DataError: a known value that was never seen in training, or (`ConditionError`) that is
                given of a column that training never gave.
        """
        from fingan.generator.impute import impute

        check_whole(seed=seed)
        return impute(self, table, columns, int(seed))

    def save(self, path: str | Path) -> None:
        """Write the generator as a bundle directory, whole or not at all."""
        from fingan.generator.storage import save_generator

        save_generator(self, path)
