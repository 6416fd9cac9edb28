"""Which columns are learned, how, and what ties them; on the real tables too."""

from __future__ import annotations

import datetime as dt
import time
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from fingan.data import read_table
from fingan.encoding import ColumnUnit, CompositeUnit, CopyUnit, fit_encoder
from fingan.encoding.summaries import correlated_pairs, row_profile
from fingan.errors import ConfigError, DataError
from fingan.rng import numpy_generator
from tests.encoding.tables import (
    anything,
    fitted,
    holds,
    mixed,
    numbers,
    reloaded,
    rules,
    state_bytes,
    there_and_back,
)

REAL = {
    "uci_default": "default payment next month",
    "adult_train": "income",
    "german_credit": "creditability",
    "modeldata_lending_club": "Class",
    "card_transactions_simulated": "TX_FRAUD",
    "ulb_creditcard_sample": "Class",
}
# Fields are kept in single precision: a position deep inside a run of rare values may come
# back as a neighbour. In units of the column's standard deviation:
NEIGHBOUR = 2e-3
# Share of a column's values that may differ at all, where it lies on a lattice.
MOVED = 0.07


@pytest.fixture(scope="module", params=REAL)
def real(request, shared_data):
    """A fitted encoder, its table (20,000 rows at most) and the name of the file."""
    table = read_table(shared_data / f"{request.param}.parquet").slice(0, 20_000)
    encoder, table = fitted(table, target=REAL[request.param])
    return request.param, encoder, table


def grouped(encoder):
    """Return the columns of wide categories, whose levels share codes."""
    wide = [u for u in encoder.units if isinstance(u, ColumnUnit) and getattr(u.encoder, "_grouped", False)]
    return {name for unit in wide for name in unit.columns}


def test_real_tables_round_trip(real):
    _, encoder, table = real
    made = there_and_back(encoder, table)
    assert made.schema == encoder.schema.arrow()
    loose = grouped(encoder) | {item.column for item in encoder.identifiers}
    for name in table.column_names:
        if name in loose or made[name].equals(table[name]):
            continue
        before, after = numbers(table[name]), numbers(made[name])
        assert np.array_equal(np.isnan(before), np.isnan(after)), name
        assert np.nanmax(np.abs(before - after)) <= NEIGHBOUR * np.nanstd(before), name
        if encoder.schema.column(name).kind != "number":
            assert (before != after).mean() <= MOVED, name


def test_real_tables_reload_and_stay_in_their_domain(real):
    _, encoder, table = real
    made = anything(encoder, 2000)
    assert made.equals(anything(reloaded(encoder), 2000))
    for name in table.column_names:
        if name in {item.column for item in encoder.identifiers}:
            assert len(set(made[name].to_pylist())) == 2000
            continue
        if pa.types.is_string(table[name].type):
            assert set(made[name].to_pylist()) <= set(table[name].to_pylist()), name
        else:
            assert numbers(made[name]).min() >= numbers(table[name]).min(), name
            assert numbers(made[name]).max() <= numbers(table[name]).max(), name


def test_relations_of_the_real_tables(real):
    name, encoder, _ = real
    composites = [unit.columns for unit in encoder.units if isinstance(unit, CompositeUnit)]
    copies = {unit.columns[0]: unit.sources[0] for unit in encoder.units if isinstance(unit, CopyUnit)}
    assert not encoder.aliases
    tied = {
        "adult_train": [("education", "education-num")],
        "modeldata_lending_club": [("int_rate", "sub_grade")],
    }
    assert composites == tied.get(name, [])
    if name == "uci_default":
        assert copies["PAY_AMT1"] == "BILL_AMT2"
        assert [item.column for item in encoder.identifiers] == ["ID"]
    else:
        assert not copies


def test_education_determines_its_number_in_every_random_row(shared_data):
    encoder, table = fitted(read_table(shared_data / "adult_train.parquet"), target="income")
    pairs = set(zip(table["education"].to_pylist(), table["education-num"].to_pylist(), strict=True))
    made = anything(encoder, 20_000)
    assert set(zip(made["education"].to_pylist(), made["education-num"].to_pylist(), strict=True)) == pairs


def test_payments_repeat_bills_as_often_as_in_training(shared_data):
    encoder, table = fitted(read_table(shared_data / "uci_default.parquet"))
    made = there_and_back(encoder, table)
    for month in range(1, 6):
        shares = [
            np.mean(
                (numbers(t[f"PAY_AMT{month}"]) == numbers(t[f"BILL_AMT{month + 1}"]))
                & (numbers(t[f"PAY_AMT{month}"]) > 0)
            )
            for t in (table, made)
        ]
        assert shares[0] > 0.1
        assert shares[1] == pytest.approx(shares[0], abs=0.005)


def test_every_kind_of_column():
    table = mixed()
    encoder, table = fitted(table, target="open")
    kinds = [type(unit).__name__ for unit in encoder.units]
    assert kinds.count("CompositeUnit") == 1
    assert encoder.unit_of("grade") == encoder.unit_of("rate")
    assert encoder.unit_of("id") is None
    made = there_and_back(encoder, table)
    for name in ("amount", "count", "price", "open", "grade", "rate", "day", "constant", "empty"):
        same = np.mean([a == b for a, b in zip(made[name].to_pylist(), table[name].to_pylist(), strict=True)])
        assert same >= 0.98, name
    assert np.nanmax(np.abs(numbers(made["score"]) - numbers(table["score"]))) < 1e-3
    assert anything(encoder, 500).equals(anything(reloaded(encoder), 500))


@pytest.mark.parametrize("share", [0.05, 0.3])
@pytest.mark.parametrize("dependent", [False, True])
def test_missing_values_and_what_they_depend_on(share, dependent):
    table = mixed(4000).drop_columns(["id", "empty", "constant"])
    r = numpy_generator(1, "deleted")
    high = numbers(table["count"]) > 40
    for i, name in enumerate(table.column_names):
        if name == "count":
            continue
        odds = np.where(high, 1.8, 0.2) * share if dependent else share
        gone = (r.random(4000) < odds) | table[name].is_null().to_numpy()
        column = pa.array(table[name].to_pylist(), table[name].type, mask=gone)
        table = table.set_column(i, name, column)
    encoder, table = fitted(table)
    made = there_and_back(encoder, table)
    for name in table.column_names:
        assert made[name].is_null().equals(table[name].is_null()), name
    marginal = anything(encoder, 4000)
    codes = {unit.columns[0] for unit in encoder.units if unit.fields[0].kind == "category"}
    for name in set(table.column_names) - codes - {"rate"}:
        assert marginal[name].null_count / 4000 == pytest.approx(table[name].null_count / 4000, abs=0.03), (
            name
        )


def test_all_rules_at_once_in_random_rows():
    table = mixed()
    later = pa.array(numbers(table["day"]).astype(np.int32) + np.arange(3000, dtype=np.int32) % 90)
    table = table.append_column("due", later.cast(pa.date32()))
    texts = ["day <= due", "0 <= count <= 200", "fixed(open, grade)", "unique(id)", "price >= 0"]
    encoder, table = fitted(table, *texts, kinds={"due": "date"})
    made = anything(encoder, 5000)
    assert holds(made, "day", "due")
    assert numbers(made["count"]).min() >= 0
    assert numbers(made["price"]).min() >= 0
    seen = set(zip(table["open"].to_pylist(), table["grade"].to_pylist(), strict=True))
    assert set(zip(made["open"].to_pylist(), made["grade"].to_pylist(), strict=True)) <= seen
    assert len(set(made["id"].to_pylist())) == 5000
    assert not set(made["id"].to_pylist()) & {None}


def test_wide_fixed_combinations_hold_in_random_rows():
    # More than 128 combinations share codes.
    r = numpy_generator(2, "wide")
    shop = r.integers(0, 600, 6000)
    table = pa.table(
        {"shop": [f"s{s}" for s in shop], "town": [f"t{s % 90}" for s in shop], "x": r.normal(size=6000)}
    )
    for encoder, _ in (fitted(table), fitted(table, "fixed(town, shop)")):
        assert any(isinstance(unit, CompositeUnit) for unit in encoder.units)
        made = anything(encoder, 3000)
        pairs = zip(made["shop"].to_pylist(), made["town"].to_pylist(), strict=True)
        assert all(int(s[1:]) % 90 == int(t[1:]) for s, t in pairs)


def test_rules_that_clash_or_reveal_rows():
    table = mixed()
    with pytest.raises(ConfigError, match="'grade' is part of another constraint"):
        fitted(table, "fixed(grade, open)", "fixed(rate, grade)")
    with pytest.raises(ConfigError, match="'amount' is part of another"):
        fitted(table.append_column("more", table["amount"]), "amount <= more", "fixed(amount, open)")
    with pytest.raises(ConfigError, match="fixed combinations must repeat"):
        fitted(table, "fixed(amount, open)")
    with pytest.raises(DataError, match="training rows break the constraint amount <= score"):
        fitted(table, "amount <= score")


def test_nothing_to_learn_and_unknown_target():
    only = pa.table({"id": [f"K-{n:08d}" for n in range(100)]})
    with pytest.raises(ConfigError, match="every column is an identifier"):
        fitted(only)
    encoder, table = fitted(mixed())
    with pytest.raises(ConfigError, match=r"unknown column 'opne'. Did you mean 'open'"):
        fit_encoder(table, encoder.schema, [], "opne")


def test_the_target_stays_a_unit_of_its_own():
    r = numpy_generator(3, "target")
    level = r.integers(0, 8, 2000)
    table = pa.table({"level": level, "bad": level > 5, "same": level > 5, "x": r.normal(size=2000)})
    encoder, _ = fitted(table, target="bad")
    assert isinstance(encoder.units[encoder.unit_of("bad")], ColumnUnit)
    assert isinstance(encoder.units[encoder.unit_of("same")], CompositeUnit)
    assert not encoder.aliases


def test_no_training_value_of_an_identifier_in_the_state():
    rows = 3000
    keys = [f"Zq{n:06x}XY" for n in numpy_generator(4, "keys").permutation(10**6)[:rows]]
    notes = [f"unique note {key}" for key in keys]
    table = mixed(rows).append_column("key", pa.array(keys)).append_column("note", pa.array(notes))
    encoder, table = fitted(table)
    assert {item.column for item in encoder.identifiers} == {"id", "key", "note"}
    held = state_bytes(encoder)
    for column in ("id", "key", "note"):
        assert not [v for v in table[column].to_pylist() if v.encode() in held]


def test_no_training_row_in_the_state():
    # Continuous columns: what is held of them is far fewer values than rows.
    r = numpy_generator(5, "rows")
    table = pa.table({f"x{i}": r.normal(size=5000) for i in range(3)})
    held = state_bytes(fitted(table)[0])
    rows = np.stack([numbers(table[n]) for n in table.column_names], axis=1)
    found = np.array([[value.tobytes() in held for value in row] for row in rows[:300]])
    # Only the ends of runs are held, a column apart from the other.
    assert found.mean() < 0.4
    assert not any(row.tobytes() in held for row in rows)


HOSTILE = [
    "<script>alert(1)</script>",
    "a.b",
    "units.0.low",
    "encoder",
    "ü 数",
    "a,b",
    "__class__",
    "x" * 300,
]


def test_hostile_column_names():
    r = numpy_generator(6, "hostile")
    data = {name: r.integers(0, 3 + 200 * (i % 2), 1500) for i, name in enumerate(HOSTILE)}
    encoder, table = fitted(pa.table(data))
    assert there_and_back(reloaded(encoder), table).equals(table)


CONSTANTS = {
    pa.int64(): 5,
    pa.float64(): 0.1,
    pa.string(): "a",
    pa.bool_(): True,
    pa.date32(): dt.date(2020, 1, 31),
    pa.timestamp("ns"): dt.datetime(2020, 1, 31, 5),
    pa.decimal128(9, 2): Decimal("3.25"),
}


@pytest.mark.parametrize("kind", CONSTANTS, ids=str)
def test_all_null_and_constant_columns(kind):
    constant = pa.array([CONSTANTS[kind]] * 50, kind)
    table = pa.table({"null": pa.nulls(50, kind), "same": constant, "x": np.arange(50) % 7})
    encoder, table = fitted(table)
    assert there_and_back(encoder, table).equals(table)
    assert anything(encoder, 10)["null"].null_count == 10
    assert anything(reloaded(encoder), 50)["same"].combine_chunks().equals(constant)


def test_one_row():
    encoder, table = fitted(pa.table({"a": [1], "b": ["x"], "c": [0.5]}))
    assert there_and_back(encoder, table).equals(table)


def test_a_hundred_thousand_levels_in_bounded_time():
    r = numpy_generator(7, "levels")
    rows, levels = 200_000, 100_000
    level = np.minimum(r.zipf(1.2, rows) - 1, levels - 1) if rows < levels else r.permutation(rows) % levels
    names = np.array([f"merchant {i:06d}" for i in range(levels)])
    table = pa.table(
        {"merchant": names[level], "x": (level % 10) + r.normal(size=rows), "y": r.integers(0, 4, rows)}
    )
    start = time.monotonic()
    encoder, table = fitted(table, kinds={"merchant": "category"})
    made = there_and_back(encoder, table)
    assert time.monotonic() - start < 20
    assert encoder.layout.codes <= 128 + 4
    assert made["y"].equals(table["y"])
    assert len(set(made["merchant"].to_pylist())) > 40_000
    # The groups keep what the level says of the other columns.
    own = numbers(made["x"])
    drawn = np.array([int(name[-1]) for name in made["merchant"].to_pylist()])
    assert np.corrcoef(own, drawn)[0, 1] > 0.7


def test_profile_and_pairs():
    r = numpy_generator(8, "summaries")
    x = r.normal(size=2000)
    zeros = [np.where(r.random(2000) < 0.9, 0.0, r.random(2000)) for _ in range(2)]
    table = pa.table({"x": x, "y": -x + 0.1 * r.normal(size=2000), "a": zeros[0], "b": zeros[1]})
    # Columns that only share many zeros are no pair.
    assert correlated_pairs(table, {3: "x", 5: "y", 6: "a", 7: "b"}) == ((3, 5),)
    assert correlated_pairs(table, {0: "x"}) == ()
    profile = row_profile(table, ["x", "y"], {})
    assert profile.shape == (2000, 2)
    assert np.allclose(profile.std(axis=0), 1, atol=1e-3)
    assert row_profile(table, [], {}).shape == (2000, 1)


def units_of(encoder):
    return {unit.columns for unit in encoder.units}


def test_few_rows_keep_the_relations_of_the_table_that_they_are_from():
    """A hundred rows prove none of them, and the encoder that learns these rows alone must not break them."""
    rng = np.random.default_rng(0)
    place = rng.integers(0, 90, 6000)
    paid = np.where(rng.random(6000) < 0.04, rng.integers(1, 900, 6000), 0)
    table = pa.table(
        {
            "zip": [f"z{n}" for n in place],
            "region": [f"r{n % 7}" for n in place],
            "paid": paid,
            "again": paid,
            "label": rng.choice(["no", "yes"], 6000),
        }
    )
    whole, conformed = fitted(table, target="label")
    part = conformed.slice(0, 120)
    alone, within = (fit_encoder(part, whole.schema, (), "label", whole=known) for known in (None, whole))
    assert {("zip",), ("region",)} <= units_of(alone)
    assert not alone.aliases
    assert ("zip", "region") in units_of(within)
    assert within.aliases == {"again": "paid"}
    rows = anything(within, 300)
    assert rows["again"].equals(rows["paid"])
    pairs = set(zip(part["zip"].to_pylist(), part["region"].to_pylist(), strict=True))
    assert set(zip(rows["zip"].to_pylist(), rows["region"].to_pylist(), strict=True)) <= pairs


def test_few_rows_may_have_a_combination_each_where_the_table_repeats_them():
    rng = np.random.default_rng(1)
    country, shop = rng.integers(0, 10, 6000), rng.integers(0, 10, 6000)
    label = np.where(np.arange(6000) < 120, "yes", "no")
    names = [f"c{n}" for n in country], [f"s{n}" for n in shop]
    table = pa.table({"country": names[0], "shop": names[1], "label": label})
    whole, conformed = fitted(table, "fixed(country, shop)", target="label")
    part = conformed.filter(pa.array(label == "yes"))
    fixed = rules("fixed(country, shop)")
    with pytest.raises(ConfigError, match="combinations in 120 rows"):
        fit_encoder(part, whole.schema, fixed, "label")
    within = fit_encoder(part, whole.schema, fixed, "label", whole=whole)
    assert ("country", "shop") in units_of(within)


def test_what_more_holds_among_few_rows_is_kept_too():
    rng = np.random.default_rng(2)
    first, other, free = (rng.normal(size=4000).round(6) for _ in range(3))
    early = np.arange(4000) < 500
    twins = {"b": np.where(early, first, other), "e": np.where(early, free, other)}
    table = pa.table({"a": first, "c": first, "d": free, **twins, "label": ["x", "y"] * 2000})
    whole, conformed = fitted(table, target="label")
    assert whole.aliases == {"c": "a"}
    part = conformed.slice(0, 500)
    within = fit_encoder(part, whole.schema, (), "label", whole=whole)
    # A column that stands for others stays itself; b, which equals it here alone, is learned beside it.
    assert within.aliases == {"c": "a", "e": "d"}
    rows = there_and_back(within, part)
    assert rows["a"].equals(rows["c"])
    assert rows["d"].equals(rows["e"])
