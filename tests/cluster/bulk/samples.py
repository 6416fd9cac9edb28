"""What the tests of partitioned samples share: the expected rows, a stop after some parts."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from fingan.cluster.bulk import PartProgress
from tests.tiny import generator

ROWS, PART = 5000, 1500
FILES = [f"part-{number:06d}.parquet" for number in range(4)]


def expected(rows: int = ROWS, **options) -> pa.Table:
    return stored_types(generator().sample(rows, **{"seed": 3, **options}))


def stored_types(table: pa.Table) -> pa.Table:
    """Return a table in the types that Parquet gives back."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return pq.read_table(pa.BufferReader(sink.getvalue())).combine_chunks()


def dataset(folder: Path) -> pa.Table:
    return ds.dataset(folder, format="parquet").to_table().combine_chunks()


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its name there."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class StopsAfter:
    """Asks to stop once a number of parts are done."""

    def __init__(self, parts: int) -> None:
        self.parts, self.seen = parts, list[PartProgress]()

    def on_progress(self, progress: PartProgress) -> None:
        self.seen.append(progress)

    def should_stop(self) -> bool:
        return len(self.seen) >= self.parts

    def options(self) -> dict:
        return {"on_progress": self.on_progress, "should_stop": self.should_stop}
