"""Numbers cast and compared as they are written: 0.70 is 0.70 in every type that can hold it."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from fingan.types import Bool

_Column: TypeAlias = "pa.Array | pa.ChunkedArray"


def to_floats(column: _Column, type_: pa.DataType | None = None) -> _Column:
    """Return each number as the float nearest to it, nulls kept.

    Arrow's own cast of a decimal may miss the nearest double (0.35 becomes
    0.35000000000000003); its reading of text does not.

    Args:
        column: integers, floats, decimals or booleans.
        type_: float type of the result, float64 by default.
    """
    read = column.cast(pa.string()) if pt.is_decimal(column.type) else column
    return read.cast(type_ or pa.float64(), safe=False)


def outside_range(column: _Column, minimum: float | None, maximum: float | None) -> Bool:
    """Return which values lie outside [minimum, maximum]; missing ones do not [N].

    Values are compared in their own type. A bound means what its text says: exactly that for
    integers and decimals, the nearest float for floats.

    Args:
        column: N integers, floats or decimals.
        minimum: the least value allowed, float or int; None where there is no bound.
        maximum: the greatest value allowed, likewise.
    """
    wrong = np.zeros(len(column), dtype=np.bool_)
    for bound, beyond, inwards in ((minimum, pc.less, math.ceil), (maximum, pc.greater, math.floor)):
        if bound is None:
            continue
        limit = _limit(bound, column.type, inwards)
        if limit is not None:
            bad = pc.fill_null(beyond(column, limit), False)
        else:
            # The type ends before the bound, so all of its values lie on one side.
            bad = pc.and_(column.is_valid(), (bound > 0) == (beyond is pc.less))
        wrong |= bad.to_numpy(zero_copy_only=False)
    return wrong


def _limit(bound: float, kind: pa.DataType, inwards: Callable[[Fraction], int]) -> pa.Scalar | None:
    """Return the bound as a value of a type, moved inwards to the next one; None beyond the type."""
    if pt.is_floating(kind):
        return pa.scalar(float(bound), kind)
    scale = kind.scale if pt.is_decimal(kind) else 0
    unscaled = inwards(Fraction(str(bound)) * Fraction(10) ** scale)
    try:
        return pa.scalar(Decimal(f"{unscaled}E{-scale}") if pt.is_decimal(kind) else unscaled, kind)
    except (pa.ArrowInvalid, OverflowError):
        return None
