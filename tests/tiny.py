"""A small table with every kind of column, and a small generator trained on it."""

from __future__ import annotations

import functools
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from fingan.config import Config, from_mapping
from fingan.fitting import finish, start
from fingan.generator import Generator
from fingan.preparation import prepare
from fingan.registry import Registry

ROWS = 1500
RARE = 0.02
RARE_ROWS = 7000
"""So many have a hundred of the rare class."""

SECRET = "Secretville-7341"
"""The city of one row alone."""

SETTINGS = (
    "network.width=16",
    "network.blocks=1",
    "network.noise=8",
    "network.knots=4",
    "training.batch_size=64",
    "training.steps=40",
    "training.time_budget=null",
    "training.validations=1",
    "training.warmup_steps=5",
    "compute.precision=fp32",
    "compute.workers=0",
    # Refinement takes seconds; tests/generator/test_refine.py is about it.
    "sampling.candidates=1",
)
FLAGS = [word for setting in SETTINGS for word in ("--set", setting)]
"""The same for the command line."""


def config(*overrides: str) -> Config:
    """Return a configuration under which training takes a second."""
    return from_mapping({}, ("data.target=label", *SETTINGS, *overrides))


def frame(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Return a table with gaps, a rare class, an identifier, equal columns and a constant column."""
    rng = np.random.default_rng(seed)
    amount = rng.gamma(2.0, 100.0, rows).round(2)
    label = np.where(rng.random(rows) < RARE, "bad", "good")
    city = rng.choice(["Bonn", "Lyon", "Oslo"], rows, p=[0.5, 0.3, 0.2]).astype(object)
    city[rows // 2] = SECRET
    day = [date(2024, 1, 1) + timedelta(days=int(d)) for d in rng.integers(0, 365, rows)]
    moment = [datetime(2024, 1, 1) + timedelta(seconds=int(s)) for s in rng.integers(0, 86_400 * 300, rows)]
    table = pd.DataFrame(
        {
            "customer": [f"cust-{n:08d}" for n in rng.permutation(10**6)[:rows]],
            "amount": np.where(rng.random(rows) < 0.1, np.nan, amount),
            "age": rng.integers(18, 80, rows),
            "fee": [Decimal(int(c)) / 100 for c in rng.integers(100, 99_999, rows)],
            "city": city,
            "member": rng.random(rows) < 0.3,
            "day": day,
            "moment": moment,
            "constant": "always",
            "label": label,
        }
    )
    table["years"] = table["age"]
    return table


@functools.cache
def arrow(rows: int = ROWS, seed: int = 0) -> pa.Table:
    """Return `frame` as an Arrow table."""
    return pa.Table.from_pandas(frame(rows, seed), preserve_index=False)


def train(table: pa.Table, *overrides: str) -> Generator:
    """Return a generator trained on a table for 40 steps."""
    prepared = prepare(table, config(*overrides))
    return finish(prepared, start(prepared).train())


@functools.cache
def generator(*overrides: str) -> Generator:
    """Return a generator trained on `arrow`; the same object for the same overrides."""
    return train(arrow(), *overrides)


@functools.cache
def rare_table() -> pa.Table:
    """Return rows of which those of the rare class lie apart: their amounts are a hundred times as large."""
    table = frame(RARE_ROWS)
    table.loc[table["label"] == "bad", "amount"] *= 100
    return pa.Table.from_pandas(table, preserve_index=False)


@functools.cache
def with_rare(*overrides: str) -> Generator:
    """Return a generator trained on rows enough for the rare class to have a network of its own."""
    return train(rare_table(), *overrides)


def published(folder: Path) -> str:
    """Return a registry in a folder, with version 1 of the model `m`."""
    generator().save(folder / "draft")
    Registry(folder / "registry").publish("m", folder / "draft")
    return str(folder / "registry")
