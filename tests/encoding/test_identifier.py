"""Identifiers: unique, in the training format, without a training value."""

from __future__ import annotations

import json
import re
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fingan.encoding.identifier import IdentifierEncoder
from fingan.errors import DataError
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
        ([f"C{n:05d}" for n in range(100)], r"C0\d*"),
        ([f"{n:04x}" for n in range(5, 65_000, 37)], r"[0-9a-f]{4}"),
        ([f"{n:04X}-Z" for n in range(5, 65_000, 37)], r"[0-9A-F]{4}-Z"),
        ([f"{chr(97 + n % 26)}{n % 10}" for n in range(100)], r"[a-z]\d"),
        ([f"{'aB3'[n % 3]}{n:03d}" for n in range(100)], r"[0-9a-zA-Z]0\d\d"),
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


def test_zeros_that_pad_a_number_are_used_last():
    encoder = fit([f"C0{n:06d}-0" for n in range(1000)])
    made = encoder.generate(np.arange(2000), 1).to_pylist()
    assert sorted(made[:1000]) == [f"C0{n:06d}-0" for n in range(1000)]
    assert not set(made[1000:]) & set(made[:1000])
    assert encoder.capacity == 10**7


def test_a_sliced_array_is_read_at_its_offset():
    array = pa.array(["junk"] * 3 + [f"K{n:03d}" for n in range(100)]).slice(3)
    assert fit(array).generate(np.arange(5), 1)[0].as_py().startswith("K0")


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
    encoder = fit([f"A{n:02d}" for n in range(50)])
    assert encoder.capacity == 100
    with pytest.raises(DataError, match=r"column 'id': row 100 is beyond the 100 values .*fewer rows"):
        encoder.generate(np.array([100]), 1)
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
    made = fit(values).generate(np.arange(20_000), 1)
    assert made.null_count / 20_000 == pytest.approx(0.3, abs=0.02)
    assert pc.count_distinct(made.drop_null()).as_py() == 20_000 - made.null_count


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
