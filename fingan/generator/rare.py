"""Rare classes of the label, whose rows come from a network of their own.

A network that learns a whole table sees little of a class that has one row in six hundred, and
what sets the class apart may lie where the table's scores leave no room: in the outermost
thousandth of a column. So each such class has an encoder, a network and a calibration that were
fitted on its rows alone. The table's own network says which rows are of the class; those are then
made again, with noise of their own.

Letters: B rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.config import ConditioningConfig
from fingan.encoding.codec import decode_table, encode_table
from fingan.encoding.conditions import Where
from fingan.errors import BundleError, ConditionError
from fingan.generator.engine import Condition, Engine
from fingan.types import Int64


@dataclass(frozen=True)
class RareClass:
    """A class of the label and what makes its rows.

    Attributes:
        label: the label column.
        value: the label of the class.
        engine: makes rows of the class, in the table's schema.
    """

    label: str
    value: pa.Scalar
    engine: Engine

    def rows_of(self, batch: pa.RecordBatch) -> Int64:
        """Return the places of the class's rows in a batch, ascending."""
        own = pc.fill_null(pc.equal(batch[self.label], self.value), False)
        places: Int64 = np.flatnonzero(own.to_numpy(zero_copy_only=False))
        return places

    def condition(
        self, where: Mapping[str, Any] | None, conditioning: ConditioningConfig
    ) -> Condition | None:
        """Return what is given of the class's rows where `where` is given of the table's.

        The label is not: all rows of the class have it, and a network knows best what it makes of nothing.

        Args:
            where: column → value.
            conditioning: how both networks were trained.

        Raises:
            ConditionError: values that no training row of the class has, or that lie outside their range; a
                column that this network was never given.
        """
        if not where:
            return None
        encoder, rest = self.engine.encoder, {name: where[name] for name in where if name != self.label}
        Where.parse(encoder, where).check_seen()
        if not rest:
            return None
        for columns in encoder.unit_names():
            # What ties columns is found anew among the rows of the class, and more may hold there.
            if not rest.keys().isdisjoint(columns) and not conditioning.covers(columns):
                raise ConditionError(f"columns {columns!r} were never given to the network of {self.value}")
        return Where.parse(encoder, rest).block

    def label_array(self) -> np.ndarray:
        """Return the label as an array that `read_label` takes."""
        return encode_table(pa.table({self.label: pa.repeat(self.value, 1)}))


def read_label(array: np.ndarray) -> tuple[str, pa.Scalar]:
    """Return the label column and the class that `label_array` wrote.

    Raises:
        BundleError: anything but one label.
    """
    table = decode_table(array)
    if table.num_columns != 1 or table.num_rows != 1:
        raise BundleError("a rare class has not one label; fetch the bundle again")
    return table.column_names[0], table.column(0)[0]


def conditions(
    rare: Sequence[RareClass], where: Mapping[str, Any] | None, conditioning: ConditioningConfig
) -> dict[int, Condition | None]:
    """Return, by the number of each class that can make rows with these values, what is given of its rows.

    Rows of the other classes come from the table's network.

    Args:
        rare: the classes of a generator.
        where: column → value, which the table's own encoder takes.
        conditioning: how the networks were trained.
    """
    found = {}
    for number, own in enumerate(rare):
        with suppress(ConditionError):
            found[number] = own.condition(where, conditioning)
    return found


def put(batch: pa.RecordBatch, places: Int64, rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return a batch [B] with other rows at some of its places."""
    index = np.arange(batch.num_rows)
    index[places] = batch.num_rows + np.arange(places.size)
    return pa.concat_batches([batch, rows]).take(pa.array(index))
