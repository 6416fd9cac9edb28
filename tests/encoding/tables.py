"""Tables for the table encoder's tests, and what the tests do with an encoder."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from fingan.config import Constraint
from fingan.data import infer_schema
from fingan.data.drift import conform
from fingan.encoding import TableEncoder, fit_encoder
from fingan.rng import numpy_generator

KEY = 7


def rules(*texts):
    """Return constraints from their text forms."""
    return [TypeAdapter(Constraint).validate_python(text) for text in texts]


def fitted(table, *texts, target=None, kinds=None):
    """Return the encoder of a table and the table in its schema."""
    schema = infer_schema(table, target)
    columns = tuple(c.model_copy(update={"kind": (kinds or {}).get(c.name, c.kind)}) for c in schema.columns)
    schema = schema.model_copy(update={"columns": columns})
    table = conform(table, schema)
    return fit_encoder(table, schema, rules(*texts), target), table


def anything(encoder, rows, seed=0, given=None):
    """Return rows decoded from uniform fields: a generator may output anything."""
    generator, layout = numpy_generator(seed, "anything"), encoder.layout
    codes = generator.integers(0, np.array(layout.widths, dtype=np.int64), (rows, len(layout.widths)))
    u, spare = generator.random((rows, layout.numeric)), generator.random((rows, layout.units))
    # The corners too: u = 0 and u = 1.
    u[:1], u[1:2] = 0.0, 1.0
    return decoded(encoder, u, codes, spare, given)


def decoded(encoder, u, codes, spare, given=None):
    """Return a record batch as a table."""
    batch = encoder.decode(u, codes, spare, np.arange(len(u)), KEY, given or {})
    batch.validate(full=True)
    return pa.Table.from_batches([batch])


def there_and_back(encoder, table, seed=0):
    """Return a table encoded and decoded."""
    encoded = encoder.encode(table)
    generator = numpy_generator(seed, "there and back")
    u = encoded.lower.astype(np.float64) + generator.random(encoded.lower.shape) * encoded.width
    return decoded(encoder, u, encoded.codes, generator.random((len(encoded), encoder.layout.units)))


def reloaded(encoder):
    """Return the encoder saved and loaded, its state through JSON text."""
    document, arrays = encoder.state()
    assert all(array.dtype.kind in "iuf" for array in arrays.values())
    copies = {name: array.copy() for name, array in arrays.items()}
    return TableEncoder.from_state(encoder.schema, json.loads(json.dumps(document)), copies)


def state_bytes(encoder):
    """Return everything a bundle would hold of an encoder, as bytes."""
    document, arrays = encoder.state()
    text = json.dumps([document, encoder.schema.to_mapping()], ensure_ascii=False).encode()
    return text + b"".join(array.tobytes() for array in arrays.values())


def numbers(column):
    """Return float64 values, NaN where null."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_temporal(array.type):
        array = array.cast(pa.int32() if pa.types.is_date32(array.type) else pa.int64())
    return array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def holds(table, low, high, strict=False):
    """Whether low <= high wherever both are present."""
    compare = pc.less if strict else pc.less_equal
    return pc.all(compare(table[low], table[high])).as_py() is not False


def mixed(rows=3000, seed=0):
    """Return a table with a column of every kind, 5 % to 10 % nulls in some."""
    r = numpy_generator(seed, "mixed")
    grade = r.integers(0, 6, rows)
    gone = r.random(rows) < 0.1
    start = 1_577_836_800 + r.integers(0, 3 * 365 * 86_400, rows)
    return pa.table(
        {
            "id": pa.array([f"K-{n:08d}" for n in r.permutation(10**6)[:rows]]),
            "amount": pa.array(np.round(r.lognormal(6, 1, rows), 2)),
            "score": pa.array(r.normal(size=rows), mask=gone),
            "count": pa.array(r.poisson(40, rows), pa.int32()),
            "price": pa.array(r.integers(0, 10**6, rows)).cast(pa.decimal128(22, 2)),
            "open": pa.array(r.random(rows) < 0.3, mask=np.roll(gone, 5)),
            "grade": pa.array(np.array(list("ABCDEF"))[grade], mask=np.roll(gone, 9)),
            "rate": pa.array(np.round(0.05 + grade * 0.011, 3), mask=np.roll(gone, 9)),
            "day": pa.array((start // 86_400).astype(np.int32)).cast(pa.date32()),
            "when": pa.array(start * 10**6, mask=gone).cast(pa.timestamp("us", "Europe/Paris")),
            "constant": pa.array(["x"] * rows),
            "empty": pa.nulls(rows, pa.float64()),
        }
    )
