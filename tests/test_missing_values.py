"""Missing values through training: their shares and what they depend on come out of the generator."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from benchmarks.deletion import delete_cells
from fingan.config import from_mapping
from fingan.data import GERMAN_CREDIT, demo_table_path, read_table
from fingan.fitting import finish, start
from fingan.preparation import prepare

SETTINGS = (
    f"data.target={GERMAN_CREDIT.target}",
    "network.width=64",
    "network.blocks=1",
    "network.noise=16",
    "training.batch_size=256",
    "training.steps=700",
    "training.time_budget=null",
    "training.validations=1",
    "compute.precision=fp32",
)
DRIVER = "duration_in_month"
ROWS = 6_000


def _missing(table: pa.Table, name: str) -> np.ndarray:
    return pc.is_null(table[name]).to_numpy()


@pytest.mark.parametrize("share", [pytest.param(0.05, marks=pytest.mark.slow), 0.3])
@pytest.mark.parametrize("depends", [False, True])
def test_missing_cells_keep_their_share_and_their_dependence(share: float, depends: bool) -> None:
    whole = read_table(demo_table_path(GERMAN_CREDIT))
    table = delete_cells(whole, share, GERMAN_CREDIT.target, depends)
    prepared = prepare(table, from_mapping({}, SETTINGS))
    rows = finish(prepared, start(prepared).train()).sample(ROWS, seed=1)
    cut = [name for name in table.column_names if table[name].null_count]
    assert len(cut) == len(table.column_names) - 2
    shares = [(_missing(table, n).mean(), _missing(rows, n).mean()) for n in cut]
    assert max(abs(real - drawn) for real, drawn in shares) < 0.03
    assert rows[DRIVER].null_count == 0
    # How much more often cells are missing in rows of long duration, over all cut columns.
    lifts = []
    for part in (table, rows):
        long = part[DRIVER].to_numpy() > np.median(whole[DRIVER].to_numpy())
        gone = np.mean([_missing(part, n) for n in cut], axis=0)
        lifts.append(gone[long].mean() / gone[~long].mean())
    real, drawn = lifts
    if depends:
        assert real > 2.0
        # A generator that drew gaps at random would reach 1.0.
        assert drawn > 1.3
    else:
        assert abs(drawn - real) < 0.35
