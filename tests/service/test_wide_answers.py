"""Parquet answers of wide rows hold no more memory than those of narrow ones."""

from __future__ import annotations

import asyncio
import gc
import io
from collections.abc import AsyncIterator

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fingan.service.answer import PARQUET_BYTES, parquet
from fingan.service.formats import FORMATS


def test_parquet_of_wide_rows_holds_no_more_than_a_few_pieces() -> None:
    """Groups end by bytes too, and what is written is let go before the reader takes it."""
    rows, columns = 8192, 40
    names = [f"c{n}" for n in range(columns)]
    wide = pa.record_batch([pa.array(np.full(rows, n, np.float64)) for n in range(columns)], names)
    write = FORMATS["arrow"].pieces
    assert write is not None
    piece = write(wide)

    async def parts(number: int) -> AsyncIterator[bytes]:
        for _ in range(number):
            yield bytes(bytearray(piece))

    async def test() -> bytes:
        taken = []
        async for part in parquet(parts(17), wide.schema):
            taken.append(part)
            if len(taken) == 3:
                batches = (found for found in gc.get_objects() if type(found) is pa.RecordBatch)
                held = sum(batch.num_columns == columns for batch in batches)
                assert held == 1, "what was written is let go"
        return b"".join(taken)

    content = asyncio.run(test())
    assert content == asyncio.run(test())
    found = pq.ParquetFile(io.BytesIO(content)).metadata
    groups = [found.row_group(i).num_rows for i in range(found.num_row_groups)]
    assert groups[0] == rows
    assert sum(groups) == 17 * rows
    most = PARQUET_BYTES // wide.nbytes + 1
    assert all(number <= most * rows for number in groups)
    assert all(number == most * rows for number in groups[2:-1])
