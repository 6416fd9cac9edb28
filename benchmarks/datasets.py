"""The real tables of the benchmarks, with the literature's splits.

Nothing here hands out test rows for training: `Split.train` goes to the model, `Split.test` to
the evaluation. Whatever chooses anything (ablation, stability) takes an `Inner` part, which is
made of training rows alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from fingan.data import GERMAN_CREDIT, LENDING, demo_table_path, read_table, split_rows

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

INNER_SHARE = 0.1
INNER_SEED = 20_26


CODED = ("SEX", "EDUCATION", "MARRIAGE", "PAY_0", *(f"PAY_{month}" for month in range(2, 7)))
"""Integers of credit default that the literature measures as categories."""


@dataclass(frozen=True)
class Split:
    """A table's training and test rows, and its label.

    Attributes:
        name: of the table.
        train, test: disjoint rows.
        target: the label.
        coded: integers that are measured as categories, besides the label. Training is not told.
    """

    name: str
    train: pa.Table
    test: pa.Table
    target: str
    coded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Inner:
    """A split of the *training* rows of a table, to choose by: the test rows cannot be reached from here.

    Attributes:
        name: of the table.
        train: 90 % of its training rows.
        held: the other 10 %.
        target: its label.
        coded: as of `Split`.
    """

    name: str
    train: pa.Table
    held: pa.Table
    target: str
    coded: tuple[str, ...] = ()


def inner(split: Split) -> Inner:
    """Return the inner split of a table's training rows, the same in every run."""
    labels = split.train[split.target].to_numpy()
    train, held = split_rows(split.train.num_rows, INNER_SHARE, INNER_SEED, labels)
    return Inner(split.name, _rows(split.train, train), _rows(split.train, held), split.target, split.coded)


def load_inner(name: str) -> Inner:
    """Return the inner split of a named table."""
    return inner(DATASETS[name]())


def _rows(table: pa.Table, numbers: np.ndarray) -> pa.Table:
    return table.take(pa.array(numbers))


def _published_split(table: pa.Table, share: float = 0.9, seed: int = 1234) -> tuple[pa.Table, pa.Table]:
    """Split as the quoted rows do: shuffled indices of a seeded legacy generator, first 90 % for training."""
    order = np.random.RandomState(seed).permutation(table.num_rows)
    cut = int(share * table.num_rows)
    return _rows(table, order[:cut]), _rows(table, order[cut:])


def _adult() -> Split:
    train, test = (read_table(SHARED / f"adult_{part}.parquet") for part in ("train", "test"))
    return Split("adult", train, test, "income")


def _default() -> Split:
    table = read_table(SHARED / "uci_default.parquet").drop_columns(["ID"])
    train, test = _published_split(table)
    return Split("default", train, test, "default payment next month", CODED)


def _own_split(name: str, table: pa.Table, target: str) -> Split:
    train, test = split_rows(table.num_rows, 0.2, 0, table[target].to_numpy())
    return Split(name, _rows(table, train), _rows(table, test), target)


def _cards() -> Split:
    # The scenario says why a transaction is a fraud: with it the label would be given away.
    table = read_table(SHARED / "card_transactions_simulated.parquet").drop_columns(["TX_FRAUD_SCENARIO"])
    return _own_split("card_transactions_simulated", table, "TX_FRAUD")


def _ulb() -> Split:
    return _own_split("ulb_creditcard_sample", read_table(SHARED / "ulb_creditcard_sample.parquet"), "Class")


def _lending() -> Split:
    return _own_split("lending_club", read_table(demo_table_path(LENDING)), LENDING.target)


def _german() -> Split:
    return _own_split("german_credit", read_table(demo_table_path(GERMAN_CREDIT)), GERMAN_CREDIT.target)


DATASETS: dict[str, Callable[[], Split]] = {
    "adult": _adult,
    "default": _default,
    "lending_club": _lending,
    "german_credit": _german,
    "ulb_creditcard_sample": _ulb,
    "card_transactions_simulated": _cards,
}
