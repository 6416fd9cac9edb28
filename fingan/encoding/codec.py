"""Encoders and small tables as JSON and numeric arrays, without pickle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from fingan.encoding.base import Arrays, ColumnEncoder
from fingan.encoding.category import CategoryEncoder
from fingan.encoding.number import NumberEncoder
from fingan.encoding.temporal import TemporalEncoder
from fingan.errors import BundleError
from fingan.types import Json

_ENCODERS: dict[str, type[NumberEncoder] | type[CategoryEncoder] | type[TemporalEncoder]] = {
    "number": NumberEncoder,
    "category": CategoryEncoder,
    "temporal": TemporalEncoder,
}


def save_encoder(encoder: ColumnEncoder) -> tuple[Json, Arrays]:
    """Return the state of a column encoder with its type's name."""
    name = next(n for n, kind in _ENCODERS.items() if isinstance(encoder, kind))
    document, arrays = encoder.state()
    return {"encoder": name, **document}, arrays


def load_encoder(document: Json, arrays: Mapping[str, np.ndarray]) -> ColumnEncoder:
    """Read what `save_encoder` wrote.

    Raises:
        BundleError: an encoder of a type that this version does not know.
    """
    name = document["encoder"]
    if name not in _ENCODERS:
        raise BundleError(f"unknown column encoder {name!r}; use the version of fingan that wrote the bundle")
    return _ENCODERS[name].from_state(document, arrays)


def prefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return the arrays with `prefix.` before their names."""
    return {f"{prefix}.{name}": array for name, array in arrays.items()}


def unprefixed(prefix: str, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """Return the arrays whose names begin with `prefix.`, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: array for name, array in arrays.items() if name.startswith(start)}


def encode_table(table: pa.Table) -> np.ndarray:
    """Return a small table as the bytes of an Arrow IPC stream, uint8."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8).copy()


def decode_table(data: np.ndarray) -> pa.Table:
    """Read what `encode_table` wrote.

    Raises:
        BundleError: bytes that are no valid Arrow table.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(data.astype(np.uint8).tobytes())) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise BundleError(f"a table of values cannot be read ({error}); fetch the bundle again") from error
    return table
