"""Identifiers: unique, in the training format, without a training value."""

from __future__ import annotations

import json
import re
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.encoding.identifier import IdentifierEncoder
from fingan.errors import BundleError, DataError
from fingan.rng import numpy_generator

MILLION = 10**6


def rng(seed=0):
    return numpy_generator(seed, "test identifier")


def fit(values, kind=None):
    return IdentifierEncoder.fit(
        "id", "identifier", values if isinstance(values, pa.Array) else pa.array(values, kind)
    )


def uuids(count):
    return [str(uuid.UUID(bytes=rng(i).bytes(16), version=4)) for i in range(count)]


def drawn(letters, length, end="", count=40):
    return ["".join(rng(i).choice(list(letters), length)) + end for i in range(count)]


EXAMPLES = {
    "row number": pa.array(range(1, 30_001)),
    "sparse": pa.array(rng().integers(10**8, 10**9, 5000)),
    "uuid": pa.array(uuids(50)),
    "free text": pa.array(["a", "bb", "ccc"]),
    "padded code": pa.array([f"FR76{n:023d}" for n in range(1000)]),
    "letters": pa.array([f"{chr(65 + n % 26)}{chr(97 + n % 7)}-{n:06d}-x" for n in range(1000)]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_million_rows_are_unique_also_across_ranges(name):
    encoder = fit(EXAMPLES[name])
    rows = np.arange(MILLION)
    parts = [encoder.generate(part, 7) for part in np.array_split(rows, 3)]
    whole = pa.concat_arrays(parts)
    whole.validate(full=True)
    assert whole.type == EXAMPLES[name].type
    assert len(whole.unique()) == MILLION
    assert whole.take(pa.array([5, 999_999])).equals(encoder.generate(np.array([5, 999_999]), 7))


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_training_value_in_the_state(name):
    array = EXAMPLES[name]
    document, arrays = fit(array).state()
    assert arrays == {}
    text = json.dumps(document)
    kept = {document["start"]} | set(document["tiers"])
    if pa.types.is_integer(array.type):
        assert not kept & set(array.to_pylist())
    else:
        assert not any(f'"{value}"' in text for value in array.to_pylist() if len(value) > 1)
    again = IdentifierEncoder.from_state(json.loads(text), {})
    rows = np.arange(100)
    assert again.generate(rows, 3).equals(fit(array).generate(rows, 3))


def test_a_few_texts_leave_no_trace():
    values = ["CUSTOMER-0017", "CUSTOMER-0023"]
    encoder = fit(values)
    assert "CUSTOMER" not in json.dumps(encoder.state()[0])
    assert all(re.fullmatch(r"id-[0-9a-f]{16}", v) for v in encoder.generate(np.arange(50), 1).to_pylist())


@pytest.mark.parametrize(
    ("values", "pattern"),
    [
        ([f"C{n:05d}" for n in range(100)], r"C00\d*"),
        ([f"{n:04x}" for n in range(5, 65_000, 37)], r"id-[0-9a-f]{16}"),
        (drawn("0123456789abcdef", 12, "-Z"), r"[0-9a-f]{12}-Z"),
        (drawn("0123456789ABCDEF", 12, "-Z"), r"[0-9A-F]{12}-Z"),
        (drawn("0123456789", 16), r"\d{16}"),
        ([f"{chr(97 + n % 26)}{n % 10}" for n in range(100)], r"id-[0-9a-f]{16}"),
        ([f"{'aB3'[n % 3]}{n:03d}" for n in range(100)], r"[0-9a-zA-Z][1-9]\d\d"),
        ([f"2024-{n:04d}-{n % 7}" for n in range(100)], r"2024-0[1-9]\d\d-\d"),
        ([f"ES2024{n:04d}" for n in range(100)], r"ES20240[1-9]\d\d"),
        ([f"C12{n:03d}" for n in range(1000)], r"C(1[3-9]|[2-9]\d)\d{3}"),
        ([f"C{n:04d}" for n in range(10_000)], r"id-[0-9a-f]{16}"),
        (uuids(30), r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        (
            [u.upper() for u in uuids(3)],
            r"[0-9A-F]{8}-[0-9A-F]{4}-4[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}",
        ),
        (["é" + str(n) for n in range(100, 200)], r"id-[0-9a-f]{16}"),
        ([f"{'-_/'[n % 3]}{n:03d}" for n in range(100)], r"id-[0-9a-f]{16}"),
        ([f"{n:065d}" for n in range(100)], r"id-[0-9a-f]{16}"),
        ([None] * 3, r"id-[0-9a-f]{16}"),
        (["", ""], r"id-[0-9a-f]{16}"),
    ],
    ids=lambda v: v if isinstance(v, str) else str(v[0])[:8],
)
def test_text_keeps_its_format(values, pattern):
    encoder = fit(values, pa.string())
    made = encoder.generate(np.arange(min(50, encoder.capacity)), 1)
    assert all(v is None or re.fullmatch(pattern, v) for v in made.to_pylist())


@pytest.mark.parametrize("name", [name for name in EXAMPLES if name != "free text"])
def test_no_training_value_is_made(name):
    trained = set(EXAMPLES[name].to_pylist())
    assert not trained & set(fit(EXAMPLES[name]).generate(np.arange(MILLION // 10), 1).to_pylist())


@given(
    st.sampled_from(["TX{n:06d}", "C{n:04d}", "{n:05d}-{c}", "7{n:04d}0{c}", "{c}{n:03d}/{m:03d}"]),
    st.integers(0, 9999),
    st.integers(20, 300),
    st.integers(1, 40),
)
def test_a_counter_goes_on_where_training_ended(form, first, count, step):
    numbers = range(first, first + count * step, step)
    values = [form.format(n=n, m=n % 1000, c="abc"[n % 3]) for n in numbers]
    encoder = fit(values)
    made = encoder.generate(np.arange(min(2000, encoder.capacity)), 1).to_pylist()
    assert encoder.capacity >= 10 * count
    assert len(set(made)) == len(made)
    assert not set(values) & set(made)
    ends = encoder.generate(encoder.capacity - 1 - np.arange(100), 1).to_pylist()
    assert len(set(ends) - set(values)) == 100


def test_padded_numbers_count_on_and_use_the_short_ones_first():
    encoder = fit([f"C0{n:06d}-0" for n in range(1000)])
    assert encoder.capacity == 10**7 - 1000
    made = encoder.generate(np.arange(20_000), 1).to_pylist()
    assert sorted(made[:9000]) == [f"C0{n:06d}-0" for n in range(1000, 10_000)]
    assert min(made[9000:]) >= "C0010000-0"


def test_long_numbers_count_in_their_last_digits():
    values = [f"9{n:040d}" for n in range(100)]
    made = fit(values).generate(np.arange(1000), 1).to_pylist()
    assert all(value[:23] == values[0][:23] for value in made)
    assert not set(values) & set(made)


def test_letters_beside_a_number_give_room_for_more_rows():
    encoder = fit([f"{chr(65 + n % 26)}{n:02d}" for n in range(20)])
    assert encoder.capacity == 80 * 26
    made = encoder.generate(np.arange(encoder.capacity), 1).to_pylist()
    assert len(set(made)) == encoder.capacity


def test_texts_of_an_older_version_are_refused_and_integers_are_not():
    for values in ([f"C{n:05d}" for n in range(100)], range(100)):
        document, _ = fit(values).state()
        document["padding"] = []
        del document["number"]
        if document["alphabets"]:
            with pytest.raises(BundleError, match=r"column 'id': .* older version .* train anew"):
                IdentifierEncoder.from_state(document, {})
        else:
            old = IdentifierEncoder.from_state(document, {})
            assert old.generate(np.arange(9), 1).equals(fit(values).generate(np.arange(9), 1))


def test_a_sliced_array_is_read_at_its_offset():
    array = pa.array(["junk"] * 3 + [f"K{n:03d}" for n in range(50)]).slice(3)
    assert fit(array).generate(np.arange(5), 1)[0].as_py().startswith("K")


def test_long_formats_are_filled_with_letters_throughout():
    values = ["".join(rng(i).choice(list("0123456789abcdef"), 64)) for i in range(40)]
    made = fit(values).generate(np.arange(2000), 1).to_pylist()
    for position in range(64):
        assert len({text[position] for text in made}) >= 3


def test_integers_start_above_the_training_maximum():
    encoder = fit(range(1, 28_932))
    made = encoder.generate(np.arange(MILLION), 1).to_numpy()
    assert made.min() >= 29_000
    assert (made[:70_000] < 100_000).all()


def test_integers_without_room_use_the_whole_type():
    encoder = fit([255, 3, 7], pa.uint8())
    assert encoder.capacity == 256
    assert sorted(encoder.generate(np.arange(256), 1).to_pylist()) == list(range(256))
    signed = fit([-128, 127], pa.int8())
    assert sorted(signed.generate(np.arange(256), 1).to_pylist()) == list(range(-128, 128))
    full = fit([2**63 - 1, 5])
    assert len(full.generate(np.arange(1000), 1).unique()) == 1000


def test_beyond_capacity_is_an_error():
    encoder = fit([f"A{n:03d}" for n in range(50)])
    assert encoder.capacity == 950
    with pytest.raises(DataError, match=r"column 'id': row 950 is beyond the 950 values .*fewer rows"):
        encoder.generate(np.array([950]), 1)
    with pytest.raises(DataError, match="column 'id'"):
        encoder.generate(np.array([-1]), 1)


def test_keys_and_columns_give_other_identifiers():
    encoder = fit(range(1000))
    other = IdentifierEncoder.fit("other", "identifier", pa.array(range(1000)))
    one, two, three = (e.generate(np.arange(20), k) for e, k in ((encoder, 1), (encoder, 2), (other, 1)))
    assert not one.equals(two)
    assert not one.equals(three)


@pytest.mark.parametrize("kind", [pa.int32(), pa.string()], ids=str)
def test_nulls_keep_their_share(kind):
    values = pa.array([None if n % 10 < 3 else n for n in range(1000)]).cast(kind)
    encoder = fit(values)
    made = encoder.generate(np.arange(20_000), 1)
    assert made.null_count / 20_000 == pytest.approx(0.3, abs=0.02)
    assert pc.count_distinct(made.drop_null()).as_py() == 20_000 - made.null_count
    whole = encoder.generate(np.arange(20_000), 1, nulls=False)
    assert whole.null_count == 0
    assert whole.filter(made.is_valid()).equals(made.drop_null())


def test_no_field_and_no_value():
    encoder = fit(range(10))
    assert encoder.fields == ()
    assert encoder.encode(pa.array([1])) == ()
    assert len(encoder.generate(np.empty(0, dtype=np.int64), 1)) == 0


def test_a_column_without_type_is_text():
    assert fit(pa.nulls(3)).generate(np.arange(2), 1).to_pylist() == [None, None]


def test_other_types_are_refused():
    with pytest.raises(DataError, match=r"column 'id' of type double cannot be an identifier; cast it"):
        fit([1.5])
