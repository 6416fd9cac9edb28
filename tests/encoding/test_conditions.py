"""What is given of rows: where= and tables with gaps."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fingan.encoding import Where, from_gaps
from fingan.encoding.base import CategoryValues
from fingan.errors import ConditionError, ConfigError, DataError
from fingan.rng import numpy_generator
from tests.encoding.tables import anything, fitted, mixed, numbers

ROWS = 400


def made(encoder, given, rows=ROWS, seed=0):
    """Return rows decoded with what is given; open fields hold anything."""
    generator, layout = numpy_generator(seed, "made"), encoder.layout
    owner = np.asarray(layout.unit_of_field)
    kept = given.mask[:, owner]
    u = generator.random((rows, layout.numeric))
    codes = generator.integers(0, np.array(layout.widths, dtype=np.int64), (rows, len(layout.widths)))
    u = np.where(kept[:, : layout.numeric], given.fields.lower + u * given.fields.width, u)
    codes = np.where(kept[:, layout.numeric :], given.fields.codes, codes)
    spare = generator.random((rows, layout.units))
    batch = encoder.decode(u.clip(0, 1), codes, spare, np.arange(rows), 7, given.columns)
    return pa.Table.from_batches([batch])


def rows_where(encoder, where, rows=ROWS, seed=0):
    spare = numpy_generator(seed, "choice").random((rows, encoder.layout.units))
    given = Where.parse(encoder, where).block(spare)
    assert given.mask.shape == (rows, encoder.layout.units)
    return made(encoder, given, rows, seed)


@pytest.fixture(scope="module")
def table():
    table = mixed()
    r = numpy_generator(1, "copy")
    bill = r.integers(1, 10**6, 3000)
    paid = np.where(r.random(3000) < 0.2, bill, r.integers(1000, 5000, 3000))
    for name, values in {"again": table["amount"], "bill": bill, "paid": paid}.items():
        table = table.append_column(name, values if isinstance(values, pa.ChunkedArray) else pa.array(values))
    return table


@pytest.fixture(scope="module")
def encoder(table):
    return fitted(table, target="open")[0]


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ({"count": 41}, {"count": 41}),
        ({"amount": "123.45"}, {"amount": 123.45, "again": 123.45}),
        ({"again": 200}, {"amount": 200.0, "again": 200.0}),
        ({"price": "1234.50"}, {"price": Decimal("1234.50")}),
        ({"open": "true"}, {"open": True}),
        ({"open": None}, {"open": None}),
        ({"score": None}, {"score": None}),
        ({"score": 0.123456789}, {"score": 0.123456789}),
        ({"grade": "C"}, {"grade": "C", "rate": 0.072}),
        ({"rate": 0.072, "grade": "C"}, {"grade": "C", "rate": 0.072}),
        ({"grade": None}, {"grade": None, "rate": None}),
        ({"day": "2020-05-01"}, {"day": dt.date(2020, 5, 1)}),
        ({"constant": "x"}, {"constant": "x"}),
        ({"empty": None}, {"empty": None}),
        ({"paid": 500_000}, {"paid": 500_000}),
        ({"bill": 777_000, "paid": 777_000}, {"bill": 777_000, "paid": 777_000}),
        (
            {"count": 41, "open": False, "grade": "A"},
            {"count": 41, "open": False, "grade": "A", "rate": 0.05},
        ),
        ({}, {}),
    ],
    ids=str,
)
def test_given_values_stand_in_every_row(encoder, where, wanted):
    rows = rows_where(encoder, where)
    assert rows.num_rows == ROWS
    for name, value in wanted.items():
        assert rows[name].unique().to_pylist() == [value], name
    open_columns = {"amount", "count", "bill"} - set(wanted)
    assert all(len(rows[name].unique()) > 20 for name in open_columns)


def test_a_timestamp_with_zone(encoder):
    rows = rows_where(encoder, {"when": "2021-03-04 05:06:07"})
    assert rows["when"].unique().cast(pa.string()).to_pylist() == ["2021-03-04 05:06:07.000000+0100"]


def test_a_given_copy_says_whether_it_is_one(encoder):
    number = encoder.unit_of("paid")
    for where, code in (
        ({"paid": 5_000}, 0),
        ({"bill": 5_000, "paid": 5_000}, 1),
        ({"bill": 5_001, "paid": 5_000}, 0),
    ):
        relation = Where.parse(encoder, where).fixed[number][0]
        assert isinstance(relation, CategoryValues)
        assert relation.codes.tolist() == [code]


@pytest.mark.parametrize(
    ("where", "error", "words"),
    [
        ({"cuont": 1}, ConfigError, r"unknown column 'cuont'. Did you mean 'count'"),
        ({"id": "K-1"}, ConditionError, r"column 'id' is an identifier"),
        ({"count": "many"}, ConditionError, r"column 'count' has the type int32; 'many'"),
        ({"count": 41.5}, ConditionError, r"column 'count' has the type int32; 41.5"),
        ({"count": 10**6}, ConditionError, r"column 'count': 1000000 lies outside the training range"),
        ({"count": None}, ConditionError, r"column 'count': a missing value"),
        ({"amount": float("inf")}, ConditionError, r"column 'amount': inf is not finite"),
        ({"paid": 10**7}, ConditionError, r"column 'paid': 10000000 lies outside"),
        ({"day": "1990-01-01"}, ConditionError, r"column 'day': '1990-01-01' lies outside"),
        ({"grade": "G"}, ConditionError, r"column 'grade': 'G' is not among"),
        ({"constant": "xx"}, ConditionError, r"column 'constant': 'xx' is not among .* Did you mean 'x'"),
        ({"grade": "A", "rate": 0.072}, ConditionError, r"never occur together"),
        ({"amount": 100.0, "again": 101.0}, ConditionError, r"'amount' and 'again' are equal in every"),
        ({"empty": 1.0}, ConditionError, r"column 'empty'"),
        ({"open": "maybe"}, ConditionError, r"column 'open' has the type bool; 'maybe'"),
    ],
    ids=str,
)
def test_conditions_that_cannot_be(encoder, where, error, words):
    with pytest.raises(error, match=words):
        Where.parse(encoder, where)


def test_nearest_member_of_a_combination():
    r = numpy_generator(2, "nearest")
    c = r.integers(0, 9, 2000)
    encoder, _ = fitted(
        pa.table({"city": [f"town {n}" for n in c], "zone": c // 3, "x": r.normal(size=2000)})
    )
    with pytest.raises(ConditionError, match=r"'twon 5' is not among .* Did you mean 'town 5'"):
        Where.parse(encoder, {"city": "twon 5"})
    zones = rows_where(encoder, {"zone": 1}, 3000)
    shares = np.bincount([int(v[-1]) for v in zones["city"].to_pylist()], minlength=9) / 3000
    assert zones["zone"].unique().to_pylist() == [1]
    assert (shares[[0, 1, 2, 6, 7, 8]] == 0).all()
    assert shares[3:6] == pytest.approx(np.bincount(c)[3:6] / np.bincount(c)[3:6].sum(), abs=0.04)


def wide():
    """Return a table of more combinations than codes, so that codes are shared."""
    r = numpy_generator(3, "wide")
    shop = r.integers(0, 600, 6000)
    return pa.table({"shop": [f"s{s:03d}" for s in shop], "town": shop % 90, "x": r.normal(size=6000)})


def test_wide_combinations_agree_with_what_is_given():
    encoder, _ = fitted(wide())
    rows = rows_where(encoder, {"town": 17})
    assert rows["town"].unique().to_pylist() == [17]
    assert {int(s[1:]) % 90 for s in rows["shop"].to_pylist()} == {17}
    rows = rows_where(encoder, {"shop": "s123"})
    assert rows["shop"].unique().to_pylist() == ["s123"]
    assert rows["town"].unique().to_pylist() == [33]


def test_wide_combinations_are_completed_from_either_side():
    encoder, table = fitted(wide())
    part = table.slice(0, ROWS)
    r = numpy_generator(4, "sides")
    no_shop, no_town = r.random(ROWS) < 0.5, r.random(ROWS) < 0.5
    gaps = part.set_column(0, "shop", pa.array(part["shop"].to_pylist(), mask=no_shop))
    gaps = gaps.set_column(1, "town", pa.array(part["town"].to_pylist(), mask=no_town))
    given = from_gaps(encoder, gaps, {"shop", "town"}, r.random((ROWS, encoder.layout.units)))
    unit = encoder.unit_of("shop")
    assert np.array_equal(given.mask[:, unit], ~(no_shop & no_town))
    rows = made(encoder, given)
    shop, town = np.array([int(s[1:]) for s in rows["shop"].to_pylist()]), numbers(rows["town"])
    assert (shop % 90 == town).all()
    kept = np.array([int(s[1:]) for s in part["shop"].to_pylist()])
    assert (shop[~no_shop] == kept[~no_shop]).all()
    assert (town[~no_town] == numbers(part["town"])[~no_town]).all()
    assert (shop[no_shop & no_town] != kept[no_shop & no_town]).mean() > 0.9


def with_gaps(table, names, share=0.3, seed=5):
    """Return the table with a share of the cells of some columns deleted."""
    r = numpy_generator(seed, "gaps")
    for name in names:
        column = table[name].combine_chunks()
        gone = pa.array(r.random(len(column)) < share)
        gaps = pc.if_else(gone, pa.nulls(len(column), column.type), column)
        table = table.set_column(table.column_names.index(name), name, gaps)
    return table


NAMES = ["amount", "count", "price", "open", "grade", "rate", "day", "when", "bill", "paid"]


def test_known_cells_stay_and_gaps_are_filled(encoder, table):
    _, table = fitted(table, target="open")
    part = table.slice(0, ROWS)
    gaps = with_gaps(part, NAMES)
    given = from_gaps(encoder, gaps, set(NAMES), numpy_generator(6, "s").random((ROWS, encoder.layout.units)))
    rows = made(encoder, given)
    for name in table.column_names:
        known = gaps[name].is_valid().to_numpy()
        before, after = np.array(gaps[name].to_pylist(), object), np.array(rows[name].to_pylist(), object)
        assert (before[known] == after[known]).all(), name
    # The other one of two equal columns fills it; null is no value of these columns in training.
    assert rows["amount"].equals(part["amount"])
    for name in ("count", "price", "day", "bill", "paid"):
        assert rows[name].null_count == 0
    # Nulls of other columns are values.
    assert rows["score"].equals(part["score"])
    assert rows["id"].equals(part["id"])


def test_a_column_of_nothing_but_gaps(encoder, table):
    part = fitted(table, target="open")[1].slice(0, 50)
    gaps = with_gaps(part, ["count", "paid", "day", "rate", "grade", "id"], share=1.1)
    given = from_gaps(
        encoder, gaps, set(part.column_names), numpy_generator(7, "s").random((50, encoder.layout.units))
    )
    assert not given.mask[:, encoder.unit_of("count")].any()
    assert not given.mask[:, encoder.unit_of("grade")].any()
    rows = made(encoder, given, 50)
    assert rows["count"].null_count == rows["paid"].null_count == rows["id"].null_count == 0
    assert len(set(rows["id"].to_pylist())) == 50


def test_gaps_that_cannot_be_filled(encoder, table):
    part = fitted(table, target="open")[1].slice(0, 5)
    spare = np.zeros((5, encoder.layout.units))

    def change(name, values):
        column = pa.array(values, part[name].type)
        return part.set_column(part.column_names.index(name), name, column)

    with pytest.raises(DataError, match=r"'amount' and 'again' are equal in every training row, but here"):
        from_gaps(encoder, change("again", [-1.0] * 5), {"count"}, spare)
    with pytest.raises(DataError, match=r"column 'count': 100000 lies outside"):
        from_gaps(encoder, change("count", [100_000] * 5), {"price"}, spare)
    with pytest.raises(DataError, match="never occurs in the training rows"):
        from_gaps(encoder, change("rate", [0.07] * 5), {"price"}, spare)
    alone = change("rate", [0.07] * 5)
    alone = alone.set_column(alone.column_names.index("grade"), "grade", pa.nulls(5, pa.string()))
    with pytest.raises(DataError, match=r"column 'rate': 0\.07 is not among"):
        from_gaps(encoder, alone, {"grade"}, spare)


def test_constraints_bind_conditions():
    r = numpy_generator(8, "bound")
    a = r.integers(0, 1000, 3000)
    table = pa.table({"a": a, "b": a + r.integers(0, 50, 3000), "c": a + r.integers(50, 90, 3000)})
    encoder, _ = fitted(table, "a <= b", "b <= c")
    rows = rows_where(encoder, {"b": 300})
    assert numbers(rows["a"]).max() <= 300 <= numbers(rows["c"]).min()
    with pytest.raises(ConditionError, match="a <= b"):
        Where.parse(encoder, {"a": 500, "b": 400})
    with pytest.raises(ConditionError, match="constraint"):
        Where.parse(encoder, {"a": 500, "c": 400})
    rows = rows_where(encoder, {"a": 400, "c": 400}, 20)
    assert rows["b"].unique().to_pylist() == [400]


def test_a_given_number_keeps_the_rule_of_its_range():
    encoder, _ = fitted(pa.table({"util": np.arange(3000) % 151 * 1.0}), "0 <= util <= 150")
    for value in (150.4, -0.4):
        with pytest.raises(ConditionError, match=rf"column 'util': {value} lies outside .* \[0.0, 150.0\]"):
            Where.parse(encoder, {"util": value})
    assert rows_where(encoder, {"util": 100.4})["util"].unique().to_pylist() == [100.4]


def test_given_rows_leave_the_random_ones_alone(encoder):
    free = anything(encoder, 10)
    again = anything(encoder, 10, given={})
    assert free.equals(again)
