"""The serving benchmark takes an answer for right only if it has just the rows asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow as pa
import pytest

from benchmarks.expected import Expected
from benchmarks.served import open_loop
from benchmarks.serving_table import table
from fingan.generator import load
from fingan.registry import Registry
from fingan.types import Json
from tests import tiny
from tests.benchmarks.toys import MACHINE

ROWS = 3000


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving")
    tiny.generator().save(folder / "bundle")
    Registry(folder / "registry").publish("tiny", folder / "bundle")
    return folder / "registry"


@pytest.fixture(scope="module")
def expected(registry: Path) -> Expected:
    return Expected(registry, "tiny", ROWS, 1, seeds=3)


@pytest.fixture(scope="module")
def sample(registry: Path) -> pa.Table:
    return load(Registry(registry).fetch("tiny")).sample(ROWS, seed=1)


def streamed(rows: pa.Table, batch: int = 1024) -> bytes:
    """Return rows as the service sends them."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=batch)
    return sink.getvalue().to_pybytes()


def altered(rows: pa.Table) -> pa.Table:
    """Change one value."""
    ages = rows["age"].to_pylist()
    ages[-1] = None if ages[-1] is not None else 1
    place = rows.schema.get_field_index("age")
    return rows.set_column(place, rows.schema.field(place), pa.array(ages, rows.schema.field(place).type))


def test_the_rows_asked_for_are_right_however_they_are_cut(expected: Expected, sample: pa.Table) -> None:
    for batch in (1, 1024, ROWS):
        assert expected.rows(1, streamed(sample, batch)) == expected.rows(4, streamed(sample, batch)) == ROWS
    assert [expected.seed(number) for number in range(5)] == [0, 1, 2, 0, 1]


def test_nothing_else_is(expected: Expected, sample: pa.Table) -> None:
    whole = streamed(sample)
    assert expected.rows(0, whole) == 0, "another seed's rows"
    wrong = {
        "fewer": streamed(sample.slice(0, ROWS - 1)),
        "more": streamed(pa.concat_tables([sample, sample.slice(0, 1)])),
        "others": streamed(sample.slice(1, ROWS - 1)),
        "altered": streamed(altered(sample)),
        "cut": whole[:-8],
        "cut in the middle": whole[: len(whole) // 2],
        "none": b"",
        "no stream": b"x" * 100 + whole[-8:],
    }
    assert {name: expected.rows(1, content) for name, content in wrong.items()} == dict.fromkeys(wrong, 0)


def test_wrong_answers_are_counted(expected: Expected, sample: pa.Table) -> None:
    async def send(number: int) -> tuple[int, bytes]:
        return (429, b"") if number == 2 else (200, streamed(sample))

    found = asyncio.run(open_loop(100.0, 0.05, send, expected.rows))
    assert found.statuses == {"200": 4, "429": 1}
    assert (found.wrong, found.rows) == (2, 2 * ROWS)
    assert 0.04 <= found.lasted < 5.0


OVERLOAD: Json = {
    "case": "overload",
    "machine": MACHINE,
    "capacity": 10.0,
    "goodput": 9.0,
    "statuses": {"200": 540, "429": 1860},
    "wrong": 0,
    "p99": 1.5,
    "normal": 0.5,
    "p99_normal": 0.5,
}


def test_the_table_tells_goodput_and_the_wait_beside_that_at_normal_load() -> None:
    text = table([OVERLOAD])
    assert "| 90 % (540 × 200, 1860 × 429) | yes | one, bf16 |" in text
    what = "p99 of its answers, beside that at 50 % of capacity"
    assert f"| {what} | ≤ 2 × | 3.0 × (1.50 s, 0.50 s) | no | one, bf16 |" in text
    assert "| no |" in table([OVERLOAD | {"wrong": 1}]).splitlines()[2]


def test_the_table_says_whose_figures_were_not_measured() -> None:
    rates = {"1": {"engine": [100.0], "http": [80.0]}}
    text = table([{"case": "speed", "machine": MACHINE, "rates": rates}])
    assert text.count("rows/s, reported, not measured here)") == 2
