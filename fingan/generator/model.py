"""The trained generator: rows on demand, as tables or as a stream of record batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fingan.config import Config
from fingan.data.schema import TableSchema
from fingan.encoding.conditions import Where
from fingan.errors import ConfigError
from fingan.generator.engine import BLOCK, Condition, Engine
from fingan.types import Json

BLOCKS_PER_BATCH = 16
MOST_ROWS = 1 << 48


@dataclass(frozen=True)
class Generator:
    """A trained generator with everything that decoding needs.

    Attributes:
        engine: network, calibration and encoder.
        config: the configuration it was trained with.
        metrics: what was measured when it was published.
    """

    engine: Engine
    config: Config
    metrics: Json = field(default_factory=dict)

    @property
    def schema(self) -> TableSchema:
        """The columns of the generated rows."""
        return self.engine.encoder.schema

    def sample(
        self,
        rows: int,
        where: Mapping[str, Any] | None = None,
        seed: int = 0,
        offset: int = 0,
        threads: int = 1,
    ) -> pa.Table:
        """Return `rows` generated rows as a table; see `iter_batches` for the arguments."""
        batches = list(self.iter_batches(rows, where, seed, offset, threads=threads))
        return pa.Table.from_batches(batches, schema=self.schema.arrow())

    def iter_batches(
        self,
        rows: int,
        where: Mapping[str, Any] | None = None,
        seed: int = 0,
        offset: int = 0,
        threads: int = 1,
    ) -> Iterator[pa.RecordBatch]:
        """Generate rows in constant memory, in order.

        Row number i of a sample is a function of (bundle, seed, i): the same whatever `rows`,
        `offset` or `threads`. Bytes are equal on one type of processor and precision.

        Args:
            rows: how many rows, at least 0.
            where: column → value that every row shall have.
            seed: of the sample, 0 … 2^63 − 1.
            offset: number of the first row.
            threads: blocks made at a time.

        Raises:
            ConfigError: a count, seed or column that does not fit.
            ConditionError: a condition that no row can meet.
        """
        _check_whole(rows=rows, offset=offset, seed=seed, threads=threads)
        if rows + offset > MOST_ROWS:
            raise ConfigError(f"rows + offset must be at most 2^48, got {rows + offset}")
        if threads < 1:
            raise ConfigError(f"threads must be at least 1, got {threads}")
        condition = None if not where else Where.parse(self.engine.encoder, where).block
        return self._stream(rows, condition, seed, offset, threads)

    def _stream(
        self, rows: int, condition: Condition | None, seed: int, offset: int, threads: int
    ) -> Iterator[pa.RecordBatch]:
        span = BLOCK * BLOCKS_PER_BATCH
        stop = offset + rows
        starts = range(offset - offset % span, stop, span)
        bounds = ((max(offset, start), min(stop, start + span)) for start in starts)

        def make(first: int, last: int) -> pa.RecordBatch:
            return self._rows(first, last, condition, seed)

        if threads == 1:
            yield from (make(first, last) for first, last in bounds)
            return
        pool = ThreadPoolExecutor(threads)
        try:
            pending: deque[Future[pa.RecordBatch]] = deque()
            for first, last in bounds:
                pending.append(pool.submit(make, first, last))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            # A reader may leave early: what nobody waits for is not made.
            pool.shutdown(cancel_futures=True)

    def _rows(self, first: int, last: int, condition: Condition | None, seed: int) -> pa.RecordBatch:
        blocks = range(first // BLOCK, -(-last // BLOCK))
        start = blocks.start * BLOCK
        rows = self.engine.rows(seed, blocks, condition, "sample").cut(first - start, last - start)
        return self.engine.decode(rows, np.arange(first, last, dtype=np.int64), seed)

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
            DataError: a known value that was never seen in training.
        """
        from fingan.generator.impute import impute

        _check_whole(seed=seed)
        return impute(self.engine, table, columns, seed)

    def save(self, path: str | Path) -> None:
        """Write the generator as a bundle directory, whole or not at all."""
        from fingan.generator.storage import save_generator

        save_generator(self, path)


def _check_whole(**values: object) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
            raise ConfigError(f"{name} must be a whole number from 0 to 2^63 - 1, got {value!r}")
