"""The table encoder: fields side by side, given values, damaged states."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingan.encoding import TableEncoder
from fingan.encoding.base import CategoryValues, NumericValues
from fingan.encoding.table import placeholder, stack
from fingan.errors import BundleError, ConfigError
from fingan.rng import numpy_generator
from tests.encoding.tables import KEY, anything, decoded, fitted, mixed


@pytest.fixture(scope="module")
def table():
    return mixed()


@pytest.fixture(scope="module")
def encoder(table):
    return fitted(table.append_column("again", table["amount"]))[0]


def test_the_layout_follows_the_units(encoder):
    layout = encoder.layout
    specs = [spec for unit in encoder.units for spec in unit.fields]
    assert layout.numeric == sum(spec.kind == "numeric" for spec in specs)
    assert layout.widths == tuple(spec.width for spec in specs if spec.kind == "category")
    assert layout.units == len(encoder.units)
    assert [len(f) for f in encoder.frequencies()] == list(layout.widths)
    assert all(f.sum() == pytest.approx(1) for f in encoder.frequencies())
    kinds = ["numeric"] * layout.numeric + ["category"] * len(layout.widths)
    for field, (owner, kind) in enumerate(zip(layout.unit_of_field, kinds, strict=True)):
        assert kind in [spec.kind for spec in encoder.units[owner].fields], field


def test_stack_and_take():
    numeric = NumericValues(np.arange(3, dtype=np.float32), np.ones(3, dtype=np.float32))
    codes = CategoryValues(np.array([2, 1, 0], dtype=np.int32))
    whole = stack([codes, numeric, codes], 3)
    assert (whole.lower.shape, whole.codes.shape, len(whole)) == ((3, 1), (3, 2), 3)
    assert whole.take(np.array([2, 0])).codes.tolist() == [[0, 0], [2, 2]]
    assert stack([], 4).lower.shape == (4, 0)


def test_placeholders(encoder):
    for spec in encoder.units[0].fields:
        values = placeholder(spec, 3)
        assert isinstance(values, NumericValues if spec.kind == "numeric" else CategoryValues)


@settings(max_examples=10)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_a_row_depends_on_itself_alone(encoder, seed, cut):
    generator, layout = numpy_generator(seed, "alone"), encoder.layout
    u, spare = generator.random((61, layout.numeric)), generator.random((61, layout.units))
    codes = np.stack([generator.integers(0, width, 61) for width in layout.widths], axis=1)
    whole = encoder.decode(u, codes, spare, np.arange(61), KEY, {})
    part = encoder.decode(u[cut:], codes[cut:], spare[cut:], np.arange(cut, 61), KEY, {})
    assert part.equals(whole.slice(cut))


def test_given_values_and_identifiers_are_put_back(encoder):
    where = np.array([True, False, True])
    given_values = {
        "count": (where, pa.array([1, 2, 3], pa.int32())),
        "id": (where, pa.array(["mine", None, "yours"])),
    }
    plain, made = anything(encoder, 3), anything(encoder, 3, given=given_values)
    assert made["count"].to_pylist() == [1, plain["count"][1].as_py(), 3]
    assert made["id"].to_pylist() == ["mine", plain["id"][1].as_py(), "yours"]


def test_without_identifiers_the_other_columns_are_the_same(encoder):
    others = encoder.without_identifiers()
    whole, made = anything(encoder, 20), anything(others, 20)
    assert made.schema == others.schema.arrow()
    assert made.equals(whole.select(others.schema.names))
    assert set(whole.schema.names) - set(made.schema.names) == {item.column for item in encoder.identifiers}


def test_aliases_are_equal_in_every_row(encoder):
    assert encoder.aliases == {"again": "amount"}
    made = anything(encoder, 500)
    assert made["again"].equals(made["amount"])
    assert encoder.unit_of("again") == encoder.unit_of("amount")


def test_an_empty_batch(encoder):
    layout = encoder.layout
    shape = (0, layout.numeric), (0, len(layout.widths)), (0, layout.units)
    made = decoded(encoder, np.zeros(shape[0]), np.zeros(shape[1], dtype=np.int64), np.zeros(shape[2]))
    assert made.num_rows == 0
    assert made.schema == encoder.schema.arrow()


def test_unknown_column(encoder):
    with pytest.raises(ConfigError, match=r"unknown column 'amuont'. Did you mean 'amount'"):
        encoder.unit_of("amuont")


def test_a_state_of_another_schema_is_refused(encoder):
    document, arrays = encoder.state()
    fewer = encoder.schema.select(encoder.schema.names[1:])
    with pytest.raises(BundleError, match="the encoder holds the columns"):
        TableEncoder.from_state(fewer, document, arrays)
    bound = {**document, "rules": [{"rule": "less_equal", "low": "rate", "high": "nowhere", "strict": False}]}
    with pytest.raises(BundleError, match="bound by rules"):
        _ = TableEncoder.from_state(encoder.schema, bound, arrays).repair
