"""Rows as a function of (bundle, seed, row number); conditions; constant memory."""

from __future__ import annotations

import gc

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fingan.errors import ConditionError, ConfigError
from fingan.generator import BLOCK
from fingan.generator.model import BLOCKS_PER_BATCH
from tests.tiny import RARE, arrow, generator, train

SPAN = BLOCK * BLOCKS_PER_BATCH
REFERENCE = 2 * SPAN + 100


@pytest.fixture(scope="module")
def reference() -> pa.Table:
    """Rows 0 … REFERENCE − 1 of seed 7, made in one go."""
    return generator().sample(REFERENCE, seed=7)


@settings(max_examples=20)
@given(
    offset=st.integers(0, REFERENCE - 1),
    rows=st.integers(1, 3 * BLOCK),
    threads=st.sampled_from([1, 2, 3]),
)
@example(offset=BLOCK - 1, rows=2, threads=1)
@example(offset=SPAN - 1, rows=2, threads=2)
@example(offset=0, rows=REFERENCE, threads=2)
def test_row_i_is_a_function_of_bundle_seed_and_i(reference, offset, rows, threads):
    rows = min(rows, REFERENCE - offset)
    found = generator().sample(rows, seed=7, offset=offset, threads=threads)
    assert found.equals(reference.slice(offset, rows))


@settings(max_examples=8)
@given(offset=st.integers(0, 2 * BLOCK), rows=st.integers(1, BLOCK))
def test_conditional_rows_do_not_depend_on_the_request_either(offset, rows):
    where = {"label": "bad"}
    whole = generator().sample(3 * BLOCK, where, seed=3)
    assert generator().sample(rows, where, seed=3, offset=offset).equals(whole.slice(offset, rows))


@pytest.mark.parametrize("where", [None, {"label": "bad"}])
def test_in_bf16_too_rows_depend_on_nothing_else(where):
    made = generator("compute.precision=bf16")
    whole = made.sample(2 * SPAN + 10, where, seed=5, threads=2)
    for offset, rows, threads in ((0, BLOCK, 1), (BLOCK - 3, 9, 2), (SPAN - 1, SPAN + 2, 3)):
        found = made.sample(rows, where, seed=5, offset=offset, threads=threads)
        assert found.equals(whole.slice(offset, rows))


def test_batches_are_the_sample_cut_at_fixed_rows(reference):
    batches = list(generator().iter_batches(REFERENCE, seed=7, threads=2))
    assert [batch.num_rows for batch in batches] == [SPAN, SPAN, 100]
    assert pa.Table.from_batches(batches).equals(reference)


def test_a_reader_may_leave_early():
    stream = generator().iter_batches(10**9, threads=2)
    assert next(stream).num_rows == SPAN
    stream.close()


def test_another_seed_gives_other_rows(reference):
    other = generator().sample(1000, seed=8)
    same = pc.mean(pc.equal(other["fee"], reference["fee"].slice(0, 1000)).cast("int8")).as_py()
    assert same < 0.05


def test_no_rows_are_an_empty_table_with_the_schema():
    empty = generator().sample(0)
    assert empty.num_rows == 0
    assert empty.schema == generator().schema.arrow()


def test_identifiers_are_unique_across_offsets():
    parts = [generator().sample(3000, seed=1, offset=o)["customer"] for o in (0, 3000, 6000, 10**7)]
    together = pa.chunked_array([chunk for part in parts for chunk in part.chunks])
    assert pc.count_distinct(together).as_py() == 12_000


def test_columns_that_are_no_identifiers_are_made_without_them():
    """Of those there are only so many, and the other columns are the same beside them."""
    (customer,) = generator().engine.encoder.identifiers
    assert generator().making(["age", "customer"]) is generator()
    others = generator().making(["age"])
    assert "customer" not in others.schema.names
    assert others.making(["age"]) is others
    assert others.sample(50, seed=1)["age"].equals(generator().sample(50, seed=1)["age"])
    assert others.sample(5, offset=customer.capacity).num_rows == 5


def test_equal_columns_stay_equal_and_the_constant_stays_constant(reference):
    assert reference["years"].equals(reference["age"])
    assert pc.unique(reference["constant"]).to_pylist() == ["always"]


@pytest.mark.statistical
def test_an_unconditional_sample_keeps_the_rate_of_a_rare_class():
    """Binomial noise of 150,000 rows at 2 % is 1.8 %; the bound of 10 % leaves the fit's own error."""
    real = pc.mean(pc.equal(arrow()["label"], "bad").cast("double")).as_py()
    drawn = generator().sample(150_000, seed=11, threads=2)["label"]
    rate = pc.mean(pc.equal(drawn, "bad").cast("double")).as_py()
    assert real == pytest.approx(RARE, rel=0.5)
    assert rate == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ({"label": "bad"}, "bad"),
        ({"age": 40}, 40),
        ({"age": "40"}, 40),
        ({"member": "true"}, True),
        ({"city": "Oslo", "label": "bad"}, "Oslo"),
        ({"amount": None}, None),
        ({"amount": "nan"}, None),
    ],
)
def test_every_row_keeps_what_was_given(where, value):
    column = next(iter(where))
    assert set(generator().sample(2000, where, seed=5)[column].to_pylist()) == {value}


def test_given_one_of_two_equal_columns_both_are_given():
    rows = generator().sample(500, {"years": 33})
    assert set(rows["age"].to_pylist()) == set(rows["years"].to_pylist()) == {33}


def test_a_condition_needs_no_rejection():
    """A class of 2 % costs the forward passes of its own rows, not fifty times as many."""
    calls = []
    engine = generator().engine
    original = type(engine).raw

    def counted(self, *arguments):
        calls.append(1)
        return original(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(engine), "raw", counted)
        generator().sample(4 * BLOCK, {"label": "bad"})
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("where", "error", "words"),
    [
        ({"labl": "bad"}, ConfigError, ["labl", "label"]),
        ({"label": "bda"}, ConditionError, ["label", "bda"]),
        ({"customer": "cust-1"}, ConditionError, ["customer", "identifier"]),
        ({"age": "many"}, ConditionError, ["age", "many"]),
        ({"age": 30, "years": 31}, ConditionError, ["age", "years"]),
    ],
)
def test_impossible_conditions_are_named(where, error, words):
    with pytest.raises(error) as caught:
        generator().sample(10, where)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    "arguments",
    [
        {"rows": -1},
        {"rows": 1.5},
        {"rows": True},
        {"offset": -1},
        {"seed": -1},
        {"seed": 2**63},
        {"threads": 0},
    ],
)
def test_counts_are_checked_before_any_row(arguments):
    with pytest.raises(ConfigError, match=next(iter(arguments))):
        generator().iter_batches(**{"rows": 1, **arguments})


def test_rows_end_at_two_to_the_48():
    with pytest.raises(ConfigError, match="2\\^48"):
        generator().iter_batches(2, offset=2**48 - 1)


def test_memory_stays_flat_over_two_million_rows():
    process = psutil.Process()
    seen, first = 0, 0
    for batch in generator().iter_batches(2_000_000, threads=2):
        seen += batch.num_rows
        if not first and seen > 200_000:
            gc.collect()
            first = process.memory_info().rss
    grown = process.memory_info().rss - first
    assert seen == 2_000_000
    assert grown <= 100 * 2**20, f"grew by {grown / 2**20:.0f} MiB"


def test_imputation_fills_exactly_the_gaps():
    rng = np.random.default_rng(0)
    real = arrow().slice(0, 700)
    torn = real
    for number, field in enumerate(real.schema):
        if field.name not in ("customer", "constant"):
            gaps = pa.array(rng.random(real.num_rows) < 0.3)
            torn = torn.set_column(
                number, field, pc.if_else(gaps, pa.scalar(None, field.type), real[field.name])
            )
    filled = generator().impute(torn, seed=2)
    for name in real.column_names:
        # Where null was a value in training, 64 draws of an untrained network may all be null.
        assert filled[name].null_count <= (5 if name == "amount" else 0), name
        known = torn[name].is_valid()
        assert filled[name].filter(known).equals(torn[name].filter(known).cast(filled[name].type)), name
    assert filled["age"].equals(filled["years"])
    assert generator().impute(torn, seed=2).equals(filled)
    assert not generator().impute(torn, seed=3).equals(filled)


def test_imputation_of_named_columns_leaves_the_others_alone():
    real = arrow().slice(0, 200)
    number = real.schema.get_field_index("city")
    torn = real.set_column(number, "city", pa.nulls(200, real.schema.field("city").type))
    filled = generator().impute(torn, ["city"])
    assert filled["city"].null_count == 0
    assert filled["amount"].equals(real["amount"])
    assert real["amount"].null_count > 0


def test_imputation_gives_every_row_without_an_identifier_one_of_its_own():
    real = arrow().slice(0, 600)
    number = real.schema.get_field_index("customer")
    gone = pa.array(np.random.default_rng(0).random(600) < 0.4)
    torn = real.set_column(number, "customer", pc.if_else(gone, None, real["customer"]))
    made = train(torn)
    assert made.sample(600)["customer"].null_count > 150
    filled = made.impute(torn)["customer"]
    assert filled.null_count == 0
    assert pc.count_distinct(filled).as_py() == 600
    assert filled.filter(pc.invert(gone)).to_pylist() == torn["customer"].drop_null().to_pylist()


def test_imputation_of_an_unknown_column_names_the_nearest():
    with pytest.raises(ConfigError, match="city"):
        generator().impute(arrow().slice(0, 5), ["ciyt"])


def test_imputation_of_no_gaps_changes_nothing():
    real = generator().sample(50)
    assert generator().impute(real, ["city"]).equals(real)
