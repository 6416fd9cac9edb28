"""The real tables of the benchmarks, with the literature's splits.

Nothing here hands out test rows for training: `Split.train` goes to the model,
`Split.test` to the evaluation, and selection uses a part of the training rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fingan.data import GERMAN_CREDIT, LENDING, demo_table_path, read_table, split_rows

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@dataclass(frozen=True)
class Split:
    """A table's training and test rows, and its label."""

    name: str
    train: pa.Table
    test: pa.Table
    target: str


def _published_split(table: pa.Table, share: float = 0.9, seed: int = 1234) -> tuple[pa.Table, pa.Table]:
    """Split as the quoted rows do: shuffled indices of a seeded legacy generator, first 90 % for training."""
    order = np.random.RandomState(seed).permutation(table.num_rows)
    cut = int(share * table.num_rows)
    return table.take(pa.array(order[:cut])), table.take(pa.array(order[cut:]))


def _adult() -> Split:
    train, test = (read_table(SHARED / f"adult_{part}.parquet") for part in ("train", "test"))
    return Split("adult", train, test, "income")


def _default() -> Split:
    table = read_table(SHARED / "uci_default.parquet").drop_columns(["ID"])
    train, test = _published_split(table)
    return Split("default", train, test, "default payment next month")


def _shipped(name: str, path: Path, target: str) -> Split:
    table = read_table(path)
    train, test = split_rows(table.num_rows, 0.2, 0, table[target].to_numpy())
    return Split(name, table.take(pa.array(train)), table.take(pa.array(test)), target)


def _shared(name: str, target: str) -> Callable[[], Split]:
    return lambda: _shipped(name, SHARED / f"{name}.parquet", target)


DATASETS: dict[str, Callable[[], Split]] = {
    "adult": _adult,
    "default": _default,
    "lending_club": lambda: _shipped("lending_club", demo_table_path(LENDING), LENDING.target),
    "german_credit": lambda: _shipped("german_credit", demo_table_path(GERMAN_CREDIT), GERMAN_CREDIT.target),
    "ulb_creditcard_sample": _shared("ulb_creditcard_sample", "Class"),
    "card_transactions_simulated": _shared("card_transactions_simulated", "TX_FRAUD"),
}
