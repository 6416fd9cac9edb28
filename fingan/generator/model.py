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

from fingan.config import MOST_CANDIDATES, Config
from fingan.data.schema import TableSchema
from fingan.encoding.conditions import Where
from fingan.errors import ConfigError
from fingan.generator.density import DensityRatio
from fingan.generator.engine import BLOCK, Condition, Engine
from fingan.generator.refine import chosen
from fingan.rng import numpy_generator
from fingan.types import Float64, Json

BLOCKS_PER_BATCH = 16
MOST_ROWS = 1 << 48


@dataclass(frozen=True)
class _Request:
    """What all rows of a sample share."""

    seed: int
    condition: Condition | None
    candidates: int


@dataclass(frozen=True)
class Generator:
    """A trained generator with everything that decoding needs.

    Attributes:
        engine: network, calibration and encoder.
        config: the configuration it was trained with.
        metrics: what was measured when it was published.
        density: chooses among candidates; None where rows are taken as they come.
    """

    engine: Engine
    config: Config
    metrics: Json = field(default_factory=dict)
    density: DensityRatio | None = None

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
            ConditionError: a condition that no row can meet.
        """
        _check_whole(rows=rows, offset=offset, seed=seed, threads=threads)
        if rows + offset > MOST_ROWS:
            raise ConfigError(f"rows + offset must be at most 2^48, got {rows + offset}")
        if threads < 1:
            raise ConfigError(f"threads must be at least 1, got {threads}")
        request = _Request(
            seed,
            None if not where else Where.parse(self.engine.encoder, where).block,
            self._candidates(candidates),
        )
        return self._stream(rows, offset, request, threads)

    def _candidates(self, asked: int | None) -> int:
        number = self.config.sampling.candidates if asked is None else asked
        if not 1 <= number <= MOST_CANDIDATES:
            raise ConfigError(f"candidates must be from 1 to {MOST_CANDIDATES}, got {number}")
        return number if self.density is not None else 1

    def _stream(self, rows: int, offset: int, request: _Request, threads: int) -> Iterator[pa.RecordBatch]:
        span = BLOCK * BLOCKS_PER_BATCH
        stop = offset + rows
        starts = range(offset - offset % span, stop, span)
        bounds = ((max(offset, start), min(stop, start + span)) for start in starts)

        def make(first: int, last: int) -> pa.RecordBatch:
            return self._rows(first, last, request)

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

    def _rows(self, first: int, last: int, request: _Request) -> pa.RecordBatch:
        made = [self._candidate(first, last, request, number) for number in range(request.candidates)]
        if self.density is None or len(made) == 1:
            return made[0]
        ratios = np.stack([self.density(batch) for batch in made])
        kept = chosen(ratios, self._uniform(first, last, request.seed))
        place = kept * (last - first) + np.arange(last - first)
        return pa.concat_batches(made).take(pa.array(place))

    def _candidate(self, first: int, last: int, request: _Request, number: int) -> pa.RecordBatch:
        blocks, start = _blocks(first, last)
        # The first candidates are the rows that a sample without a choice has.
        purpose = f"sample {number}" if number else "sample"
        rows = self.engine.rows(request.seed, blocks, request.condition, purpose)
        rows = rows.cut(first - start, last - start)
        return self.engine.decode(rows, np.arange(first, last, dtype=np.int64), request.seed)

    @staticmethod
    def _uniform(first: int, last: int, seed: int) -> Float64:
        """Return the draws by which rows first … last − 1 are chosen."""
        blocks, start = _blocks(first, last)
        draws = [numpy_generator(seed, "choose", block).random(BLOCK) for block in blocks]
        return np.concatenate(draws)[first - start : last - start]

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


def _blocks(first: int, last: int) -> tuple[range, int]:
    """Return the blocks that hold rows first … last − 1, and the number of their first row."""
    blocks = range(first // BLOCK, -(-last // BLOCK))
    return blocks, blocks.start * BLOCK


def _check_whole(**values: object) -> None:
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
            raise ConfigError(f"{name} must be a whole number from 0 to 2^63 - 1, got {value!r}")
