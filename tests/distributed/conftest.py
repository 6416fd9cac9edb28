"""One spawn of four gloo processes serves all tests here: starting processes costs more than training."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch.multiprocessing as mp

from fingan.config.loading import from_mapping
from fingan.data import read_table
from fingan.data.demo import GERMAN_CREDIT, demo_table_path
from fingan.preparation import Prepared, prepare
from tests.distributed.workers import worker
from tests.training.toys import SMALL

CONDITIONED = ("conditioning.unconditional_share=0.3", "training.validations=3")


@pytest.fixture(scope="session")
def german() -> Prepared:
    """1,000 real loans with a rare label; batches of 62 rows, which 3 or 4 workers cannot share evenly."""
    config = from_mapping({}, [*SMALL, *CONDITIONED, f"data.target={GERMAN_CREDIT.target}"])
    return prepare(read_table(demo_table_path(GERMAN_CREDIT)), config)


@pytest.fixture(scope="session")
def streamed(german: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The same loans in ten row groups, encoded into files."""
    folder = tmp_path_factory.mktemp("streamed")
    loans = folder / "loans.parquet"
    pq.write_table(read_table(demo_table_path(GERMAN_CREDIT)), loans, row_group_size=100)
    config = german.config
    data = config.data.model_copy(update={"in_memory": 0})
    return prepare(loans, config.model_copy(update={"data": data}), folder / "rows")


@pytest.fixture(scope="session")
def groups(german: Prepared, streamed: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the workers of all groups left what they found."""
    folder = tmp_path_factory.mktemp("groups")
    (folder / "again").mkdir()
    mp.spawn(worker, (german, streamed, folder), nprocs=4)
    return folder
