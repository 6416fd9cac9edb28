"""Columns and composites; mixed units are in test_mixed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fingan.encoding import ColumnUnit, CompositeUnit, load_unit
from fingan.encoding.codec import decode_table, encode_table, load_encoder
from fingan.encoding.number import NumberEncoder
from fingan.errors import BundleError, DataError
from fingan.rng import numpy_generator

ROWS = 1000


def places():
    r = numpy_generator(0, "places")
    city = r.integers(0, 12, ROWS)
    return pa.table(
        {
            "city": pa.array([f"c{c}" for c in city], mask=city == 5),
            "lat": pa.array(city * 1.5, mask=city == 7),
            "since": pa.array(city.astype(np.int32)).cast(pa.date32()),
        }
    )


def again(unit):
    document, arrays = unit.state()
    return load_unit(document, arrays)


def test_composite_round_trip_with_nulls():
    table = places()
    unit = again(CompositeUnit.fit(table, table.column_names))
    assert unit.columns == ("city", "lat", "since")
    assert unit.combinations.num_rows == 12
    (values,) = unit.encode(table)
    rows = unit.decode([values.codes], np.zeros(ROWS), {})
    assert all(rows[name].equals(table[name].combine_chunks()) for name in rows)
    assert unit.counts.sum() == ROWS
    assert np.bincount(values.codes).max() == unit.counts.max()


def test_composite_does_not_depend_on_the_order_of_rows():
    table = places()
    mixed = table.take(pa.array(numpy_generator(2, "order").permutation(ROWS)))
    one, other = (CompositeUnit.fit(t, t.column_names) for t in (table, mixed))
    assert one.combinations.equals(other.combinations)
    assert one.state()[0] == other.state()[0]


def test_composite_of_many_columns_has_no_overflow():
    r = numpy_generator(3, "many")
    key = r.integers(0, 500, 5000)
    table = pa.table({f"c{i}": r.permutation(10**6)[:500][key] for i in range(12)})
    unit = CompositeUnit.fit(table, table.column_names)
    assert unit.combinations.num_rows == np.unique(key).size
    assert np.array_equal(unit.take(unit.locate(table))["c7"].to_numpy(), table["c7"].to_numpy())


def test_unseen_combination_is_named():
    unit = CompositeUnit.fit(places(), ["city", "lat"])
    wrong = pa.table({"city": ["c1", "c1"], "lat": [1.5, 3.0]})
    with pytest.raises(DataError, match=r"\{'city': 'c1', 'lat': 3.0\} never occurs"):
        unit.encode(wrong)


def test_column_unit():
    table = pa.table({"bill": numpy_generator(1, "bills").integers(1, 10**6, ROWS)})
    unit = again(ColumnUnit(NumberEncoder.fit("bill", "integer", table["bill"])))
    assert unit.columns == ("bill",)
    (values,) = unit.encode(table)
    made = unit.decode([values.lower + values.width * 0.5], np.zeros(ROWS), {})["bill"]
    assert np.abs(made.to_numpy() - table["bill"].to_numpy()).max() <= 1


def test_damaged_states_are_refused():
    document, arrays = CompositeUnit.fit(places(), ["city", "lat"]).state()
    with pytest.raises(BundleError, match="unknown unit 'other'"):
        load_unit({**document, "unit": "other"}, arrays)
    with pytest.raises(BundleError, match="unknown column encoder"):
        load_encoder({"encoder": "other"}, {})
    fewer = encode_table(decode_table(arrays["combinations"]).slice(1))
    with pytest.raises(BundleError, match="combinations without codes"):
        load_unit(document, arrays | {"combinations": fewer})
    with pytest.raises(BundleError, match="cannot be read"):
        decode_table(np.arange(40, dtype=np.uint8))
