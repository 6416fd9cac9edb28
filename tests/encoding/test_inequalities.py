"""a <= b in every row, whatever the fields hold."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fingan.config import LessEqual
from fingan.encoding.inequalities import Support, broken, order_rules, sort_keys
from fingan.errors import ConditionError, ConfigError
from fingan.rng import numpy_generator
from tests.encoding.tables import anything, fitted, holds, numbers, reloaded, rules

ROWS = 2000


def ordered(kind, columns=2, nulls=0.0, strict=False, seed=0):
    """Return columns a, b, … that ascend in every row, of an Arrow type, with nulls."""
    r = numpy_generator(seed, "ordered")
    gap = r.integers(1 if strict else 0, 400, (columns, ROWS))
    points = np.cumsum(gap, axis=0) + 10_000
    made = {}
    for name, values in zip("abcde", points, strict=False):
        mask = r.random(ROWS) < nulls
        if pa.types.is_floating(kind):
            made[name] = pa.array(values / 7.0, mask=mask).cast(kind)
        elif pa.types.is_date32(kind):
            made[name] = pa.array(values.astype(np.int32), mask=mask).cast(kind)
        elif pa.types.is_timestamp(kind):
            made[name] = pa.array(values * 3_600_000_000, mask=mask).cast(kind)
        elif pa.types.is_decimal(kind):
            made[name] = pa.array(values, mask=mask).cast(pa.decimal128(20, 0)).cast(kind)
        else:
            made[name] = pa.array(values, mask=mask).cast(kind)
    return pa.table(made)


KINDS = [
    pa.int64(),
    pa.int16(),
    pa.float64(),
    pa.float32(),
    pa.decimal128(22, 2),
    pa.date32(),
    pa.timestamp("us"),
    pa.timestamp("us", "Europe/Paris"),
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("nulls", [0.0, 0.3])
def test_a_rule_holds_in_random_rows(kind, strict, nulls):
    sign = "<" if strict else "<="
    encoder, table = fitted(ordered(kind, nulls=nulls, strict=strict), f"a {sign} b")
    made = anything(encoder, 3000)
    assert holds(made, "a", "b", strict)
    assert made.schema == encoder.schema.arrow()
    assert made.equals(anything(reloaded(encoder), 3000))
    assert abs(made["b"].null_count / 3000 - table["b"].null_count / ROWS) < 0.05
    for name in "ab":
        assert np.nanmin(numbers(made[name])) >= np.nanmin(numbers(table[name]))
        assert np.nanmax(numbers(made[name])) <= np.nanmax(numbers(table[name]))


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from(KINDS), st.booleans(), st.sampled_from([0.0, 0.4]))
def test_chains_hold(seed, kind, strict, nulls):
    sign = "<" if strict else "<="
    chain = [f"c {sign} d", f"a {sign} b", f"b {sign} c"]
    encoder, _ = fitted(ordered(kind, 4, nulls, strict, seed), *chain)
    made = anything(encoder, 500, seed)
    for low, high in ("ab", "bc", "cd"):
        assert holds(made, low, high, strict)


def test_a_diamond_holds():
    table = ordered(pa.int64(), 4)
    encoder, _ = fitted(table, "a <= b", "a <= c", "b <= d", "c <= d")
    made = anything(encoder, 2000)
    assert all(holds(made, low, high) for low, high in ("ab", "ac", "bd", "cd"))


def test_rows_that_keep_the_rule_are_untouched():
    table = ordered(pa.float64())
    free, _ = fitted(table)
    bound, _ = fitted(table, "a <= b")
    before, after = anything(free, 3000), anything(bound, 3000)
    kept = numbers(before["a"]) <= numbers(before["b"])
    assert 0.1 < kept.mean() < 0.9
    assert np.array_equal(numbers(before["b"])[kept], numbers(after["b"])[kept])
    assert np.array_equal(numbers(before["a"]), numbers(after["a"]))


def test_few_values_and_a_value_that_nothing_follows():
    # a = 9 occurs, but only where b is null: so it must in generated rows.
    r = numpy_generator(1, "few")
    a, b = r.integers(0, 10, ROWS), r.integers(0, 8, ROWS)
    table = pa.table({"a": a, "b": pa.array(b, mask=a > b)})
    encoder, _ = fitted(table, "a <= b")
    made = anything(encoder, 2000)
    assert holds(made, "a", "b")
    top = numbers(made["a"]) == 9
    assert top.any()
    assert np.isnan(numbers(made["b"])[top]).all()


def test_columns_never_present_together():
    early = numpy_generator(2, "never").random(ROWS) < 0.5
    table = pa.table(
        {"a": pa.array(np.arange(ROWS) + 9000, mask=early), "b": pa.array(np.arange(ROWS), mask=~early)}
    )
    encoder, _ = fitted(table, "a <= b")
    assert holds(anything(encoder, 1000), "a", "b")


def test_given_values_stay_and_the_others_move():
    encoder, table = fitted(ordered(pa.int64(), 4), "a <= b", "b <= c", "c <= d")
    rows = 500
    everywhere = np.ones(rows, dtype=bool)
    low, high = (np.quantile(numbers(table["c"]), q).astype(int) for q in (0.02, 0.98))
    for value in (low, high):
        made = anything(encoder, rows, given={"c": (everywhere, pa.array([value] * rows))})
        assert set(made["c"].to_pylist()) == {value}
        assert all(holds(made, x, y) for x, y in ("ab", "bc", "cd"))
        assert len(set(made["a"].to_pylist())) > 10


def test_values_squeezed_between_given_ones():
    r = numpy_generator(3, "squeeze")
    b = r.integers(0, 50, ROWS) * 1000
    table = pa.table({"a": b - r.integers(0, 900, ROWS), "b": b, "c": b + r.integers(0, 900, ROWS)})
    encoder, _ = fitted(table, "a <= b", "b <= c")
    known = np.ones(3, dtype=bool)
    values = {"a": (known, pa.array([2100] * 3)), "c": (known, pa.array([2200] * 3))}
    made = anything(encoder, 3, given=values)
    assert made["b"].to_pylist() == [2100] * 3


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32(), pa.int64(), pa.decimal128(12, 2)], ids=str)
@pytest.mark.parametrize("strict", [False, True])
def test_a_value_between_given_ones_is_on_its_lattice_where_there_is_room(kind, strict):
    # Multiples of 4 up to 400,000: the grid has few of them. The others have cents where they can.
    def typed(values):
        return pa.array([f"{v:.2f}" for v in values]).cast(kind) if kind != pa.int64() else pa.array(values)

    r, sign = numpy_generator(5, "squeezed"), "<" if strict else "<="
    b = r.integers(1000, 100_000, 5000) * 4
    part = 0 if kind == pa.int64() else r.integers(0, 100, 5000) / 100
    table = pa.table({"a": typed(b - 1 - part), "b": typed(b), "c": typed(b + 1 + part)})
    encoder, _ = fitted(table, f"a {sign} b", f"b {sign} c")
    starts = 4 * r.permutation(99_000)[:200] + 4000
    everywhere = np.ones(starts.size, dtype=bool)
    for again in (encoder, reloaded(encoder)):
        given = {"a": (everywhere, typed(starts + 1)), "c": (everywhere, typed(starts + 5))}
        assert numbers(anything(again, 200, given=given)["b"]).tolist() == (starts + 4).tolist()
        given["c"] = (everywhere, typed(starts + 3))
        made = numbers(anything(again, 200, given=given)["b"])
        assert (made >= starts + 1).all()
        assert (made <= starts + 3).all()


def test_cents_are_not_carried_into_a_column_of_whole_numbers():
    r = numpy_generator(6, "squeezed")
    a = np.round(r.uniform(10_000, 200_000, 5000), 2)
    b = np.floor(a) + r.integers(1, 5000, 5000)
    encoder, _ = fitted(pa.table({"a": a, "b": b, "c": b + r.integers(1, 5000, 5000)}), "a < b", "b < c")
    known = np.ones(1, dtype=bool)
    given = {"a": (known, pa.array([110010.37])), "c": (known, pa.array([110013.0]))}
    assert anything(encoder, 1, given=given)["b"].to_pylist() == [110011.0]


def test_moments_squeezed_between_given_ones_keep_to_the_column_s_hours():
    r = numpy_generator(7, "hours")
    hours = np.sort(r.integers(0, 10**6, (3, 4000)), axis=0)
    kind = pa.timestamp("us", "Europe/Paris")
    table = pa.table({n: pa.array(h * 3_600_000_000).cast(kind) for n, h in zip("abc", hours, strict=True)})
    encoder, _ = fitted(table, "a <= b", "b <= c")
    known = np.ones(1, dtype=bool)
    start = 500_000 * 3_600_000_000
    for shift, expected in ((1, 3_600_000_000), (0, 0)):
        ends = (("a", start + shift), ("c", start + 3_600_000_000 + 5))
        given = {name: (known, pa.array([value]).cast(kind)) for name, value in ends}
        made = anything(encoder, 1, given=given)["b"].cast(pa.int64()).to_pylist()
        assert made[0] >= start + expected
        assert made[0] % 3_600_000_000 == 0


def test_given_values_in_conflict():
    encoder, _ = fitted(ordered(pa.int64(), 3), "a <= b", "b <= c")
    known = np.ones(2, dtype=bool)
    clash = {"a": (known, pa.array([10_300] * 2)), "c": (known, pa.array([10_200] * 2))}
    with pytest.raises(ConditionError, match="constraint"):
        anything(encoder, 2, given=clash)
    part = np.array([True, False])
    fine = {"a": (part, pa.array([10_300] * 2)), "c": (~part, pa.array([10_200] * 2))}
    assert anything(encoder, 2, given=fine)["a"][0].as_py() == 10_300


def parted(*nullable, strict=False):
    """Return the encoder of a chain a … d: where its nullable columns are null, those below may be larger."""
    table = ordered(pa.int64(), 4, strict=strict)
    parts = numpy_generator(9, "parted").random(ROWS) < 0.4
    columns = {name: table[name].to_numpy() + 2000 * parts * (name < nullable[0]) for name in "abcd"}
    columns |= {name: pa.array(columns[name], mask=parts) for name in nullable}
    sign = "<" if strict else "<="
    return fitted(pa.table(columns), *(f"{low} {sign} {high}" for low, high in ("ab", "bc", "cd")))[0]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("nullable", ["bc", "b", "c"])
def test_given_values_out_of_order_are_parted_by_null_as_in_training(nullable, strict):
    encoder, rows = parted(*nullable, strict=strict), 400
    here = np.arange(rows) % 2 == 0
    given = {"a": (here, pa.array([11_500] * rows)), "d": (here, pa.array([11_000] * rows))}
    made, free = anything(encoder, rows, given=given), anything(encoder, rows)
    between = [made[name].is_null().to_numpy() for name in nullable]
    assert np.logical_or.reduce(between)[here].all()
    assert all(holds(made, low, high, strict) for low, high in ("ab", "bc", "cd"))
    assert made.filter(pa.array(~here)).equals(free.filter(pa.array(~here)))


@settings(max_examples=15)
@given(st.integers(0, 10**6), st.sampled_from(["ab bc cd", "ab ac bd cd", "ac bc cd ce"]), st.booleans())
def test_whatever_a_training_row_has_may_be_given(seed, pairs, strict):
    r, sign = numpy_generator(seed, "witness"), "<" if strict else "<="
    values, missing = r.integers(0, 60, (5, ROWS)), r.random((5, ROWS)) < r.choice([0.0, 0.3, 0.6], (5, 1))
    table = pa.table({n: pa.array(v, mask=m) for n, v, m in zip("abcde", values, missing, strict=True)})
    bound = rules(*(f"{low} {sign} {high}" for low, high in pairs.split()))
    for rule in bound:
        sides = (sort_keys(name, table[name]) for name in rule.columns)
        table = table.filter(pa.array(~broken(rule, *sides)))
    encoder, table = fitted(table, *map(str, bound), kinds=dict.fromkeys("abcde", "integer"))
    rows = table.num_rows
    given = {name: (r.random(rows) < 0.6, table[name].combine_chunks()) for name in "abcde"}
    made = anything(encoder, rows, seed, given=given)
    assert all(holds(made, rule.low, rule.high, strict) for rule in bound)


def test_no_null_parts_given_values_where_training_had_none():
    encoder = parted("b")
    known = np.ones(4, dtype=bool)
    given = {"c": (known, pa.array([11_500] * 4)), "d": (known, pa.array([11_000] * 4))}
    with pytest.raises(ConditionError, match="c <= d"):
        anything(encoder, 4, given=given)
    given = {"a": (known, pa.array([11_500] * 4)), "b": (known, pa.array([11_000] * 4))}
    with pytest.raises(ConditionError, match="a <= b"):
        anything(encoder, 4, given=given)


def test_order_and_cycles():
    found = [str(rule) for rule in order_rules(rules("b <= c", "a <= b", "a <= b", "c < d"))]
    assert found == ["a <= b", "b <= c", "c < d"]
    with pytest.raises(ConfigError, match=r"cycle: a <= b, b <= a"):
        order_rules(rules("a <= b", "b <= a"))
    with pytest.raises(ConfigError, match="cycle"):
        fitted(ordered(pa.int64(), 3), "a <= b", "b <= c", "c <= a")


def test_integers_are_compared_exactly():
    big = 2**53
    table = pa.table({"a": [big + 1, big], "b": [big, None]})
    rule = LessEqual(low="a", high="b")
    assert broken(rule, sort_keys("a", table["a"]), sort_keys("b", table["b"])).tolist() == [True, False]


def test_next_keys():
    ints = Support(np.array([1, 2]), pa.int64(), False)
    ends = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max])
    assert ints.before(ends)[0] == ends[0]
    assert ints.after(ends)[1] == ends[1]
    single = Support(np.array([1.0]), pa.float32(), False)
    assert single.after(np.array([1.0]))[0] == np.nextafter(np.float32(1), np.float32(2))


def test_a_rule_adds_no_training_value_to_the_state():
    # Values that a continuous column merges into runs must not come back through a rule.
    r = numpy_generator(4, "secret")
    table = pa.table({"a": r.normal(size=5000), "b": r.normal(size=5000) + 20})
    plain, _ = fitted(table)
    bound, _ = fitted(table, "a <= b")
    plain_arrays, bound_arrays = plain.state()[1], bound.state()[1]
    assert sorted(plain_arrays) == sorted(bound_arrays)
    support = bound.repair.supports["a"].keys
    held = np.concatenate([plain_arrays["units.0.low"], plain_arrays["units.0.high"]])
    exact = np.intersect1d(support, numbers(table["a"]))
    assert np.isin(exact, held).all()
