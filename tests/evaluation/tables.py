"""Tables for the tests of the evaluation: real ones cut to size, and the three control generators."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fingan.data import TableSchema, infer_schema
from fingan.evaluation.frame import Frame, frames

CODED = ("SEX", "EDUCATION", "MARRIAGE", "PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6")


@dataclass(frozen=True)
class Real:
    """Three disjoint real samples of one table: train, fresh (as many rows) and hold-out."""

    train: pa.Table
    fresh: pa.Table
    holdout: pa.Table
    schema: TableSchema
    target: str


def real_table(folder: Path, name: str) -> tuple[pa.Table, str]:
    """Read one of the four benchmark tables and name its target."""
    if name == "adult":
        parts = [pq.read_table(folder / f"adult_{part}.parquet") for part in ("train", "test")]
        return pa.concat_tables(parts), "income"
    file, target = {
        "default": ("uci_default", "default payment next month"),
        "german": ("german_credit", "creditability"),
        "lending": ("modeldata_lending_club", "Class"),
    }[name]
    table = pq.read_table(folder / f"{file}.parquet")
    return table.drop_columns([c for c in ("ID",) if c in table.column_names]), target


def real(folder: Path, name: str, rows: int | None = None) -> Real:
    """Deal a table 2 : 2 : 1 into train, fresh and hold-out, `rows` of train at most."""
    table, target = real_table(folder, name)
    order = np.random.default_rng(7).permutation(table.num_rows)
    size = table.num_rows * 2 // 5 if rows is None else min(rows, table.num_rows * 2 // 5)
    bounds = (0, size, 2 * size, 2 * size + size // 2)
    train, fresh, holdout = (table.take(order[a:b]) for a, b in pairwise(bounds))
    schema = infer_schema(table, target)
    return Real(train, fresh, holdout, schema, target)


def permuted(table: pa.Table, seed: int = 1) -> pa.Table:
    """Shuffle each column on its own: perfect marginals, no structure."""
    rng = np.random.default_rng(seed)
    columns = {n: table.column(n).take(rng.permutation(table.num_rows)) for n in table.column_names}
    return pa.table(columns, schema=table.schema)


def copied(table: pa.Table, seed: int = 1) -> pa.Table:
    """Draw training rows with replacement: a copy machine."""
    return table.take(np.random.default_rng(seed).integers(0, table.num_rows, table.num_rows))


def read(*tables: pa.Table) -> list[Frame]:
    """Infer the schema of the first table and read all of them."""
    return frames(infer_schema(tables[0]), list(tables))


def mixed(rows: int, seed: int = 0, missing: float = 0.0) -> pa.Table:
    """Make a table with every kind of column; two numbers and a category depend on each other."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=rows)
    amount = np.round(np.exp(base + 0.3 * rng.normal(size=rows)) * 100, 2)
    grade = np.array(["A", "B", "C", "D"])[np.digitize(base, [-0.7, 0.0, 0.7])]
    absent = rng.random((rows, 3)) < missing
    day = np.datetime64("2020-01-01") + rng.integers(0, 700, rows)
    return pa.table(
        {
            "row_id": pa.array([f"r{seed}-{i}" for i in range(rows)]),
            "amount": pa.array(amount, mask=absent[:, 0]),
            "score": pa.array(rng.poisson(np.exp(0.4 * base) * 4), pa.int64(), mask=absent[:, 1]),
            "grade": pa.array(grade, mask=absent[:, 2]),
            "code": pa.array(rng.integers(1, 6, rows), pa.int64()),
            "active": pa.array(base + rng.normal(size=rows) > 0),
            "opened": pa.array(day, pa.date32()),
            "seen": pa.array(day.astype("datetime64[us]"), pa.timestamp("us", tz="UTC")),
            "fee": pa.array(np.round(amount * 0.01, 2)).cast(pa.decimal128(12, 2), safe=False),
        }
    )
