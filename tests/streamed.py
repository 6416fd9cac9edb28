"""A Parquet folder that is not held, and what was stored of it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingan import ingest
from fingan.config import Config, from_mapping
from fingan.data.survey import survey_part
from tests import tiny

ROWS = 1_200


def table(rows: int = ROWS, seed: int = 0) -> pa.Table:
    """Every row has a number of its own; towns lie in regions, some rows have no amount."""
    rng = np.random.default_rng(seed)
    town = rng.integers(0, 12, rows)
    low = rng.integers(0, 500, rows)
    return pa.table(
        {
            "customer": [f"cust-{n:08d}" for n in rng.permutation(10**6)[:rows]],
            "n": 3 * rng.permutation(rows),
            "amount": pa.array(rng.gamma(2.0, 100.0, rows).round(2), mask=rng.random(rows) < 0.1),
            "low": low,
            "high": low + rng.integers(0, 300, rows),
            "town": [f"town-{t}" for t in town],
            "region": [f"region-{t % 4}" for t in town],
            "label": np.where(rng.random(rows) < 0.04, "bad", "good"),
        }
    )


def config(*overrides: str, target: str | None = "label") -> Config:
    own = ("data.in_memory=0", *([f"data.target={target}"] if target else []))
    return from_mapping({}, (*tiny.SETTINGS, *own, *overrides))


def write(folder: Path, whole: pa.Table, files: int = 3, group: int = 150) -> Path:
    folder.mkdir(exist_ok=True)
    for k in range(files):
        first, last = k * len(whole) // files, (k + 1) * len(whole) // files
        pq.write_table(whole.slice(first, last - first), folder / f"{k}.parquet", row_group_size=group)
    return folder


def sample_only(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(ingest, "survey_part", partial(survey_part, sample_rows=rows))
