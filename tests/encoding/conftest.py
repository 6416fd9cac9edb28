"""What the column encoders' tests share."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from fingan.encoding.base import CategoryValues
from fingan.rng import numpy_generator


def _drawn(values, seed=0):
    """Return one draw of each field: codes, or u = lower + V * width in double precision."""
    rng = numpy_generator(seed, "test draw")
    return [
        v.codes if isinstance(v, CategoryValues) else v.lower + rng.random(len(v.lower)) * v.width
        for v in values
    ]


def _round_trip(encoder, array, seed=0):
    """Return the array encoded, saved, loaded and decoded, in double precision."""
    document, arrays = encoder.state()
    again = type(encoder).from_state(json.loads(json.dumps(document)), arrays)
    spare = numpy_generator(seed, "test spare").random(len(array))
    fields = _drawn(encoder.intervals(array), seed)
    decoded = again.decode(fields, spare)
    assert decoded.equals(encoder.decode(fields, spare))
    assert [(f.name, f.kind, f.width) for f in again.fields] == [
        (f.name, f.kind, f.width) for f in encoder.fields
    ]
    assert all(values.dtype.kind in "iuf" for values in arrays.values())
    return decoded


@pytest.fixture(scope="session")
def drawn():
    """Draw the fields of encoded rows."""
    return _drawn


@pytest.fixture(scope="session")
def round_trip():
    """Encode, save, load and decode."""
    return _round_trip


@pytest.fixture(scope="session")
def with_nulls():
    """Return an array of numpy values with a share of nulls at random."""

    def make(values, kind, share, seed=0):
        mask = numpy_generator(seed, "test nulls").random(len(values)) < share
        plain = pa.array(values)
        plain = plain if plain.type == kind else plain.cast(kind)
        return pa.array(plain.to_pylist(), kind, mask=mask) if share else plain

    return make
