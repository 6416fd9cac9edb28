"""Tables with deleted cells: at random, or more often where another column is high."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.rng import numpy_generator


def delete_cells(table: pa.Table, share: float, target: str, depends: bool, seed: int = 0) -> pa.Table:
    """Return the table with a share of the cells of every column but the target made null.

    Args:
        table: complete rows.
        share: of the cells to delete.
        target: column that is left whole.
        depends: delete three times as often in rows whose first numeric column (left whole too)
            is above its median; else independently of everything.
        seed: of the draws.
    """
    rng = numpy_generator(seed, "deleted-cells")
    numeric = [f.name for f in table.schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
    driver = next(name for name in numeric if name != target)
    values = table[driver].cast(pa.float64()).to_numpy()
    weight = np.where(values > np.median(values), 1.5, 0.5) if depends else np.ones(table.num_rows)
    columns = {}
    for name in table.column_names:
        gone = rng.random(table.num_rows) < share * weight / weight.mean()
        column = table[name].combine_chunks()
        kept = name in (target, driver)
        columns[name] = column if kept else pc.if_else(pa.array(gone), pa.scalar(None, column.type), column)
    return pa.table(columns)
