"""Fields and the text form of Arrow types."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fingan.encoding.base import (
    CategoryValues,
    FieldSpec,
    NumericIntervals,
    arrow_type,
    missing_of,
    narrow,
    one_chunk,
)


@pytest.mark.parametrize(
    "kind",
    [
        pa.int8(),
        pa.uint64(),
        pa.float16(),
        pa.float32(),
        pa.float64(),
        pa.bool_(),
        pa.string(),
        pa.date32(),
        pa.date64(),
        pa.timestamp("ns"),
        pa.timestamp("us", "Europe/Paris"),
        pa.timestamp("s", "+02:00"),
        pa.decimal128(12, 2),
        pa.decimal128(5, -2),
        pa.decimal256(60, 4),
    ],
    ids=str,
)
def test_types_are_read_back_from_their_text(kind):
    assert arrow_type(str(kind)) == kind


def test_a_category_field_knows_its_shares():
    spec = FieldSpec.category("c", np.array([3, 1]))
    assert (spec.kind, spec.width, spec.frequencies.tolist(), spec.edges.size) == (
        "category",
        2,
        [0.75, 0.25],
        0,
    )


def test_only_numeric_values_are_narrowed():
    codes = CategoryValues(np.array([1], dtype=np.int32))
    first, second = narrow([codes, NumericIntervals(np.array([0.1]), np.array([0.2]))])
    assert first is codes
    assert second.lower.dtype == second.width.dtype == np.float32


def test_chunks_and_dictionaries_are_joined():
    chunks = pa.chunked_array(
        [pa.array(["a", None]).dictionary_encode(), pa.array(["b"]).dictionary_encode()]
    )
    whole = one_chunk(chunks)
    assert whole.to_pylist() == ["a", None, "b"]
    assert whole.type == pa.string()
    assert missing_of(whole).tolist() == [False, True, False]
    assert len(one_chunk(pa.chunked_array([], pa.int64()))) == 0
