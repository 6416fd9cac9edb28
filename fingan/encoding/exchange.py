"""Arrow arrays to numpy and back, exactly: integers, decimals by their unscaled value, floats."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fingan.encoding.base import Values, missing_of
from fingan.errors import DataError
from fingan.types import Bool, Float64, Int64

_DECIMAL_DIGITS = 38


def integers_from(column: str, array: pa.Array) -> Int64:
    """Return [N] int64 of an integer array, zero where null.

    Raises:
        DataError: an unsigned value of 2^63 or more.
    """
    try:
        whole = array.cast(pa.int64())
    except pa.ArrowInvalid:
        worst = pc.max(array).as_py()
        raise DataError(
            f"column {column!r}: {worst!r} does not fit in 64 bits with sign; "
            "cast the column to decimal or double, or drop it"
        ) from None
    values: Int64 = _filled(whole).to_numpy(zero_copy_only=False)
    return values


def unscaled_from(column: str, array: pa.Array) -> Int64:
    """Return [N] int64 of a decimal array times 10^scale, zero where null.

    Raises:
        DataError: more than 18 to 19 digits.
    """
    whole = _filled(array.cast(pa.decimal128(_DECIMAL_DIGITS, array.type.scale)))
    words = np.frombuffer(whole.buffers()[1], dtype=np.int64).reshape(-1, 2)
    words = words[whole.offset : whole.offset + len(whole)]
    if (bad := np.flatnonzero(words[:, 1] != words[:, 0] >> 63)).size:
        raise DataError(
            f"column {column!r}: {whole[bad[0].item()].as_py()!r} has too many digits for 64 bits; "
            "cast the column to double or to fewer decimals"
        )
    return words[:, 0].copy()


def floats_from(column: str, array: pa.Array) -> tuple[Float64, Bool]:
    """Return [N] float64 and [N] missing flags of a float array; NaN counts as null.

    Raises:
        DataError: an infinite value.
    """
    missing = missing_of(array)
    values = _filled(array.cast(pa.float64())).to_numpy(zero_copy_only=False)
    missing = missing | np.isnan(values)
    if (bad := np.flatnonzero(np.isinf(values) & ~missing)).size:
        raise DataError(
            f"column {column!r}: {values[bad[0]].item()!r} is not finite; replace it by null or a number"
        )
    return values, missing


def to_arrow(values: Values, missing: Bool, kind: pa.DataType) -> pa.Array:
    """Return an Arrow array of an integer, float, decimal, date or timestamp type.

    Args:
        values: [B] float64, or int64 (for decimals the unscaled value, for dates and
            timestamps the ticks of the type's unit).
        missing: [B] True where the result is null.
        kind: Arrow type of the result.
    """
    mask = missing if missing.any() else None
    if pa.types.is_decimal(kind):
        return _decimals(values, mask, kind.scale).cast(kind)
    if pa.types.is_date32(kind):
        return pa.array(values.astype(np.int32), mask=mask).view(kind)
    if pa.types.is_temporal(kind):
        return pa.array(values, mask=mask).view(kind)
    return pa.array(values.astype(kind.to_pandas_dtype()), type=kind, mask=mask)


def _filled(array: pa.Array) -> pa.Array:
    """Return the array with zeros for nulls."""
    return array.fill_null(pa.scalar(0, array.type)) if array.null_count else array


def _decimals(unscaled: Int64, mask: Bool | None, scale: int) -> pa.Array:
    """Return decimal128(38, scale) values from their unscaled int64."""
    words = np.stack([unscaled, unscaled >> 63], axis=1)
    present = None if mask is None else pa.array(~mask).buffers()[1]
    kind = pa.decimal128(_DECIMAL_DIGITS, scale)
    return pa.Array.from_buffers(kind, len(unscaled), [present, pa.py_buffer(words)])
