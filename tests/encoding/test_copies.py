"""Copies: found, encoded, shown where real rows have them, and decoded."""

import json

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import ndtri

from fingan.data import infer_schema
from fingan.encoding import load_unit
from fingan.encoding.copies import CopyUnit, copied_from
from fingan.encoding.fit import fit_encoder
from fingan.encoding.number import NumberEncoder
from fingan.encoding.relations import heavy_values
from fingan.errors import DataError
from fingan.rng import numpy_generator

ROWS = 4000


def chain() -> pa.Table:
    """`second` repeats `first` in a third of the rows, `third` repeats `second` in a third."""
    r = numpy_generator(5, "chain")
    first = r.lognormal(8, 1, ROWS).round(2)
    second = np.where(r.random(ROWS) < 0.33, first, r.lognormal(8, 1, ROWS).round(2))
    third = np.where(r.random(ROWS) < 0.33, second, r.lognormal(8, 1, ROWS).round(2))
    return pa.table({"first": first, "second": second, "third": third, "kind": r.choice(["a", "b"], ROWS)})


def test_maps_send_sources_where_real_rows_have_the_copies():
    table = chain()
    encoder = fit_encoder(table, infer_schema(table))
    fields = encoder.encode(table)
    scores = ndtri(np.clip(fields.lower + 0.5 * fields.width, 1e-6, 1 - 1e-6))
    copies = encoder.layout.copies
    assert len(copies) == 2
    for copy in copies:
        for code, (source, line) in enumerate(zip(copy.sources, copy.scores, strict=True), start=1):
            copied = (fields.codes[:, copy.relation] == code) & (np.abs(scores[:, source]) < 3)
            assert copied.sum() > 0.2 * ROWS
            grid = np.linspace(-copy.reach, copy.reach, line.size)
            there = np.interp(scores[copied, source], grid, line)
            off = np.abs(there - scores[copied, copy.target])
            assert np.quantile(off, 0.5) < 0.005
            assert np.quantile(off, 0.98) < 0.05


def test_sources_come_before_what_repeats_them():
    table = chain()
    copies = fit_encoder(table, infer_schema(table)).layout.copies
    done = {c.target for c in copies}
    for copy in reversed(copies):
        done.discard(copy.target)
        assert all(source in done or source not in {c.target for c in copies} for source in copy.sources)


def test_a_column_of_too_few_numbers_is_no_source():
    """Twenty values and null are 21 levels, of which a number has 20: it is learned as a category."""
    rng = np.random.default_rng(0)
    target = np.where(rng.random(10_000) < 0.7, 0, rng.integers(1, 21, 10_000))
    source = np.where(rng.random(10_000) < 0.5, target, rng.integers(0, 20, 10_000))
    table = pa.table({"source": pa.array(source, mask=source == 20), "target": target})
    encoder = fit_encoder(table, infer_schema(table))
    assert encoder.layout.copies == ()


def test_columns_without_repeats_are_no_copies():
    table = chain().select(["first", "kind"])
    assert fit_encoder(table, infer_schema(table)).layout.copies == ()


def payments() -> pa.Table:
    """Payments of nothing, of the bill, of 500, or of any amount."""
    r = numpy_generator(1, "payments")
    bill = r.integers(2_000, 10**6, ROWS)
    kind = r.random(ROWS)
    paid = np.select([kind < 0.2, kind < 0.4, kind < 0.5], [0, bill, 500], r.integers(1, 5_000, ROWS))
    return pa.table({"bill": bill, "paid": paid})


def unit_of(table: pa.Table) -> CopyUnit:
    """The unit of `paid`, after a trip through its state."""
    heavy = heavy_values(table["paid"])
    encoder = NumberEncoder.fit("paid", "integer", table["paid"])
    unit = CopyUnit.fit(table, encoder, ("bill",), heavy)
    document, arrays = unit.state()
    made = load_unit(json.loads(json.dumps(document)), arrays)
    assert isinstance(made, CopyUnit)
    return made


def test_round_trip_and_fields():
    table = payments()
    unit = unit_of(table)
    assert [f.kind for f in unit.fields] == ["category", "numeric"]
    relation, values = unit.encode(table)
    np.testing.assert_allclose(unit.fields[0].frequencies, [0.8, 0.2], atol=0.03)
    paid, bill = table["paid"].to_numpy(), {"bill": table["bill"].combine_chunks()}
    u = (values.lower + np.float32(0.5) * values.width).astype(float)
    # Shown on the scale of all rows, own or repeated.
    shown = unit.encoder.decode([u], np.zeros(ROWS)).to_numpy()
    # Single precision takes a few of the wide copies to a neighbour.
    assert (shown != paid).mean() < 0.01
    back = unit.decode([relation.codes, u], np.zeros(ROWS), bill)["paid"].to_numpy()
    assert np.array_equal(back, paid)
    # Where a source is repeated the number does not count.
    lost = unit.decode([relation.codes, np.full(ROWS, 0.999)], np.zeros(ROWS), bill)["paid"].to_numpy()
    assert np.array_equal(lost[relation.codes > 0], paid[relation.codes > 0])


def test_a_copy_is_a_value_that_training_rows_may_copy():
    unit = unit_of(payments())
    bill = pa.array([-5, 2000, None, 10**12, 500])
    made = unit.decode([np.ones(5, dtype=int), np.full(5, 0.5)], np.zeros(5), {"bill": bill})["paid"]
    assert made[1].as_py() == 2000
    assert all(0 <= v.as_py() <= 10**6 for v in made)
    # 500 is heavy: as a copy it never occurs in training.
    assert made[4] == made[0]


def test_a_value_outside_the_training_range_is_refused():
    table = pa.table({"bill": [1], "paid": [10**9]})
    with pytest.raises(DataError, match=r"'paid': 1000000000 lies outside"):
        unit_of(payments()).encode(table)


def test_agreement_on_a_heavy_value_is_no_copy():
    table = pa.table({"bill": [0, 5, None], "paid": [0, 5, None]})
    assert copied_from(table, "paid", ("bill",), pa.array([0])).tolist() == [0, 1, 0]
