"""Columns, composites and copies."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import ks_2samp

from fingan.encoding import ColumnUnit, CompositeUnit, CopyUnit, load_unit
from fingan.encoding.base import CategoryValues
from fingan.encoding.codec import decode_table, encode_table, load_encoder
from fingan.encoding.number import NumberEncoder
from fingan.encoding.relations import heavy_values
from fingan.encoding.units import copied_from
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


def payments(share=0.2):
    r = numpy_generator(1, "payments")
    bill = r.integers(1, 10**6, ROWS)
    paid = np.where(r.random(ROWS) < share, bill, r.integers(1000, 5000, ROWS))
    return pa.table({"bill": bill, "paid": np.where(r.random(ROWS) < 0.1, 0, paid)})


def copy_unit(table):
    heavy = heavy_values(table["paid"])
    encoder = NumberEncoder.fit("paid", "integer", table["paid"])
    return CopyUnit.fit(table, encoder, ("bill",), heavy)


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


def test_copy_round_trip_and_fields():
    table = payments()
    unit = again(copy_unit(table))
    assert [f.kind for f in unit.fields] == ["category", "numeric"]
    assert unit.fields[0].frequencies[1] == pytest.approx(0.18, abs=0.03)
    relation, values = unit.encode(table)
    assert isinstance(relation, CategoryValues)
    copied = relation.codes == 1
    # Shown among all values, copied or own.
    u = values.lower + values.width * np.float32(0.5)
    shown = unit.encoder.decode([u.astype(float)], np.zeros(ROWS)).to_numpy()
    assert np.array_equal(shown, table["paid"].to_numpy())
    bill = {"bill": table["bill"].combine_chunks()}
    rows = unit.decode([relation.codes, u.astype(float)], np.zeros(ROWS), bill)
    assert np.array_equal(rows["paid"].to_numpy(), table["paid"].to_numpy())
    lost = unit.decode([relation.codes, np.zeros(ROWS)], np.zeros(ROWS), bill)["paid"].to_numpy()
    assert np.array_equal(lost[copied], table["bill"].to_numpy()[copied])


def test_own_places_have_the_distribution_of_own_values():
    table = payments()
    unit = copy_unit(table)
    relation, _ = unit.encode(table)
    u = np.interp((np.arange(20_000) + 0.5) / 20_000, unit.own[1], unit.own[0])
    made = unit.encoder.decode([u], np.zeros(u.size))
    own = table["paid"].to_numpy()[relation.codes == 0]
    assert ks_2samp(made.to_numpy(), own).statistic < 0.005


def test_a_copy_stays_in_the_training_range():
    unit = copy_unit(payments())
    bill = pa.array([-5, 2000, None, 10**12])
    made = unit.decode([np.ones(4, dtype=int), np.full(4, 0.5)], np.zeros(4), {"bill": bill})["paid"]
    assert made[1].as_py() == 2000
    assert all(0 <= v.as_py() <= 10**6 for v in made)


def test_copy_refuses_a_value_outside_the_training_range():
    table = pa.table({"bill": [1], "paid": [10**9]})
    with pytest.raises(DataError, match=r"'paid': 1000000000 lies outside"):
        copy_unit(payments()).encode(table)


def test_agreement_on_a_heavy_value_is_no_copy():
    table = pa.table({"bill": [0, 5, None], "paid": [0, 5, None]})
    assert copied_from(table, "paid", ("bill",), pa.array([0])).tolist() == [0, 1, 0]


def test_column_unit():
    table = payments()
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
