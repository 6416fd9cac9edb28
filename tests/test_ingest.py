"""A Parquet folder that is not held: surveyed, encoded once into files, trained on from there."""

from __future__ import annotations

import logging
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fingan import ingest
from fingan.data import infer_schema, parts, read_table
from fingan.data import survey as survey_module
from fingan.data.parts import open_parts
from fingan.encoding.category import CategoryEncoder
from fingan.encoding.stored import StoredTable
from fingan.encoding.table import EncodedTable
from fingan.encoding.units import ColumnUnit
from fingan.errors import DataError
from fingan.ingest import in_turn
from fingan.preparation import Prepared, inspect, prepare
from tests.encoding.tables import decoded
from tests.streamed import ROWS, config, sample_only, table, write

HELD = 120


def changed(whole: pa.Table, name: str, row: int, value: object) -> pa.Table:
    values = whole[name].to_pylist()
    values[row] = value
    return whole.set_column(whole.column_names.index(name), name, pa.array(values))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "data", table())


def stored(prepared: Prepared) -> StoredTable:
    assert isinstance(prepared.encoded, StoredTable)
    return prepared.encoded


def rows_of(prepared: Prepared) -> pa.Table:
    """All stored rows, decoded; identifiers are made up."""
    encoded = stored(prepared).read(0, len(stored(prepared)))
    u, units = encoded.lower.astype(np.float64) + 0.5 * encoded.width, len(prepared.encoder.units)
    return decoded(prepared.encoder, u, encoded.codes, np.full((len(encoded), units), 0.5))


def multiset(rows: pa.Table, *left_out: str) -> Counter[tuple[object, ...]]:
    return Counter(tuple(row.values()) for row in rows.drop_columns(["customer", *left_out]).to_pylist())


def without(whole: pa.Table, numbers: pa.ChunkedArray) -> pa.Table:
    return whole.filter(pc.invert(pc.is_in(whole["n"], value_set=numbers.combine_chunks())))


def with_rare(count: int, rows: int = ROWS) -> pa.Table:
    """The table with towns that are each in one row alone."""
    whole = table(rows)
    at = np.linspace(20, rows - 20, count).astype(int)
    town = np.array(whole["town"].to_pylist(), dtype=object)
    region = np.array(whole["region"].to_pylist(), dtype=object)
    town[at] = [f"rare-{k}" for k in range(count)]
    region[at] = "region-0"
    whole = whole.set_column(5, "town", pa.array(town.tolist()))
    return whole.set_column(6, "region", pa.array(region.tolist()))


def places_outside(monkeypatch: pytest.MonkeyPatch, folder: Path, sample: int) -> list[int]:
    """Numbers of rows that neither the sample nor a witness shows."""
    known = open_parts(folder)
    assert known is not None
    sample_only(monkeypatch, sample)
    shown = ingest.survey(known, 0, in_turn).rows_to_fit()["n"].to_pylist()
    return [k for k, n in enumerate(read_table(folder)["n"].to_pylist()) if n not in shown]


Work = Callable[[Any], Any]


def interrupted(after: int) -> Callable[[Work, Sequence[Any]], Iterable[Any]]:
    """Apply a function to all items, but give up storing after some."""

    def each(function: Work, items: Sequence[Any]) -> Iterable[Any]:
        for number, item in enumerate(items):
            if number == after and "_store_part" in repr(function):
                raise KeyboardInterrupt
            yield function(item)

    return each


def stamps(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in root.rglob("rows-*")}


@pytest.mark.parametrize(("sample", "most"), [(10**6, 131_072), (ROWS, 64), (400, 64)])
def test_every_training_row_is_stored_once_and_no_validation_row(folder, tmp_path, monkeypatch, sample, most):
    sample_only(monkeypatch, sample)
    monkeypatch.setattr(parts, "BLOCK_ROWS", most)
    prepared = prepare(folder, config(), tmp_path / "rows")
    whole, held = table(), prepared.validation
    assert held is not None
    assert (held.num_rows, len(stored(prepared)), prepared.rows) == (HELD, ROWS - HELD, ROWS)
    assert not any(block.left_out for block in stored(prepared).blocks)
    training = without(whole, held["n"])
    # Amounts are too many to be counted: of those that a sample lacks, the nearest is stored.
    near = ["amount"] if sample < ROWS else []
    assert multiset(rows_of(prepared), *near) == multiset(training, *near)
    assert multiset(held) + multiset(training) == multiset(whole)
    # What refinement learns from are training rows of the sample.
    assert prepared.reference.num_rows == min(sample, ROWS) - HELD
    assert multiset(prepared.reference) <= multiset(training)
    assert len(stored(prepared).sample) == prepared.reference.num_rows


def test_the_schema_and_the_encoder_are_those_of_the_held_table(folder, tmp_path):
    streamed = prepare(folder, config(), tmp_path / "rows")
    held = prepare(folder, config("data.in_memory=1000000"))
    assert isinstance(held.encoded, EncodedTable)
    assert streamed.schema == held.schema
    (left, left_arrays), (right, right_arrays) = streamed.encoder.state(), held.encoder.state()
    assert left == right
    assert all(np.array_equal(left_arrays[name], right_arrays[name]) for name in right_arrays)


def test_schema_and_ranges_are_exact_where_the_sample_is_a_part(folder, tmp_path, monkeypatch):
    sample_only(monkeypatch, 300)
    assert prepare(folder, config(), tmp_path / "rows").schema == infer_schema(read_table(folder), "label")


def test_shares_of_categories_are_exact(folder, tmp_path, monkeypatch):
    sample_only(monkeypatch, 300)
    encoder = prepare(folder, config(), tmp_path / "rows").encoder
    number = encoder.unit_of("label")
    assert number is not None
    unit = encoder.units[number]
    assert isinstance(unit, ColumnUnit)
    assert isinstance(unit.encoder, CategoryEncoder)
    counts = dict(zip(unit.encoder.levels.to_pylist(), unit.encoder.counts.tolist(), strict=True))
    assert counts == Counter(table()["label"].to_pylist())


def test_folders_that_name_values_are_columns(tmp_path):
    pq.write_to_dataset(table(), tmp_path / "data", partition_cols=["region"])
    prepared = prepare(tmp_path / "data", config(), tmp_path / "rows")
    assert prepared.schema == infer_schema(read_table(tmp_path / "data"), "label")
    assert prepared.validation is not None
    training = without(table(), prepared.validation["n"]).select(prepared.schema.names)
    assert multiset(rows_of(prepared)) == multiset(training)


def test_a_row_group_of_validation_rows_alone(tmp_path, monkeypatch):
    """With 10 % held out, some groups of one row have nothing to train on."""
    folder = write(tmp_path / "data", table(100), files=1, group=1)
    prepared = prepare(folder, config("data.validation=0.5", "training.batch_size=16"), tmp_path / "rows")
    assert [block.rows for block in stored(prepared).blocks].count(0) == 50 == len(stored(prepared))
    assert prepared.validation is not None
    assert multiset(rows_of(prepared)) == multiset(without(table(100), prepared.validation["n"]))


@pytest.mark.parametrize("overrides", [["data.validation=0.04"], ["data.validation=0"]])
def test_few_held_rows_are_no_validation_and_trained_on(folder, tmp_path, overrides):
    prepared = prepare(folder, config(*overrides), tmp_path / "rows")
    assert prepared.validation is None
    assert len(stored(prepared)) == ROWS


@pytest.mark.parametrize("tied", [True, False])
def test_rows_that_hold_what_the_sample_lacks_are_left_out(tmp_path, monkeypatch, caplog, tied):
    """Combinations are known from the sample alone; so are the levels of a text column of too many."""
    whole = with_rare(8)
    if not tied:
        whole = whole.drop_columns(["region"])
        counted = survey_module._most
        monkeypatch.setattr(survey_module, "_most", lambda t: 15 if t == pa.string() else counted(t))
    sample_only(monkeypatch, 300)
    with caplog.at_level(logging.WARNING):
        prepared = prepare(write(tmp_path / "data", whole), config(), tmp_path / "rows")
    blocks, held = stored(prepared).blocks, prepared.validation
    assert held is not None
    known = {*held["town"].to_pylist(), *prepared.reference["town"].to_pylist()}
    training = without(whole, held["n"])
    towns = zip(training["n"].to_pylist(), training["town"].to_pylist(), strict=True)
    lost = [n for n, town in towns if town not in known]
    assert sum(block.left_out for block in blocks) == len(lost) >= 4
    assert f"{len(lost)} of {ROWS - HELD} rows hold what a sample of the table does not" in caplog.text
    found = Counter(rows_of(prepared)["n"].to_pylist())
    assert found == Counter(set(training["n"].to_pylist()) - set(lost))
    again = prepare(tmp_path / "data", config(), tmp_path / "again")
    assert Counter(rows_of(again)["n"].to_pylist()) == found


def test_more_than_one_percent_that_is_left_out_is_refused(tmp_path, monkeypatch):
    sample_only(monkeypatch, 300)
    folder = write(tmp_path / "data", with_rare(30))
    wanted = (
        r"(\d\d) of 1,080 rows hold levels or combinations that a sample of the table does not; "
        r"make columns of very many levels identifiers in the schema, or leave them out"
    )
    with pytest.raises(DataError, match=wanted):
        prepare(folder, config(), tmp_path / "rows")


def test_a_block_of_which_nothing_is_known_is_left_out(folder, tmp_path, monkeypatch):
    sample_only(monkeypatch, 300)
    alone = changed(changed(table().slice(0, 1), "town", 0, "rare"), "n", 0, 1500)
    pq.write_table(alone, folder / "9.parquet")
    prepared = prepare(folder, config(), tmp_path / "rows")
    last = stored(prepared).blocks[-1]
    assert (last.rows, last.left_out) == (0, 1)


def test_a_row_that_breaks_a_constraint_is_named_with_its_file(folder, tmp_path, monkeypatch):
    rule = ("data.constraints=['low <= high']",)
    assert len(stored(prepare(folder, config(*rule), tmp_path / "rows"))) == ROWS - HELD
    row = next(k for k in places_outside(monkeypatch, folder, 300) if k >= 600)
    whole = table()
    low = next(v for v in sorted(whole["low"].to_pylist()) if v > whole["high"][row].as_py())
    write(folder, changed(whole, "low", row, low))
    group = (row - 400) // 150 * 150 if row < 800 else (row - 800) // 150 * 150
    start = (400 if row < 800 else 800) + group
    wanted = (
        f"'{folder}/{1 if row < 800 else 2}.parquet', from row {start + 1} of the table on: 1 of "
        f"{min(150, 400 - group)} training rows break the constraint low <= high, "
        f"the first is row {row - start + 1} with {{'low': {low}, 'high': {whole['high'][row].as_py()}}}"
    )
    with pytest.raises(DataError, match=re.escape(wanted)):
        prepare(folder, config(*rule), tmp_path / "rows")


def test_a_row_of_the_sample_that_breaks_a_constraint_is_shown(folder, tmp_path):
    write(folder, changed(table(), "low", 5, 10**6))
    with pytest.raises(DataError, match=r"1 of 1200 training rows break .* low <= high.*'low': 1000000"):
        prepare(folder, config("data.constraints=['low <= high']"), tmp_path / "rows")


def test_a_row_that_does_not_fit_the_schema_is_named_with_its_file(folder, tmp_path, monkeypatch):
    """Amounts are whole but for one, which the schema's type does not hold."""
    path, whole = tmp_path / "schema.yaml", table()
    rounded = pc.round(whole["amount"])
    whole = whole.set_column(2, "amount", rounded)
    path.write_text(infer_schema(whole.set_column(2, "amount", rounded.cast(pa.int64()))).to_yaml())
    write(folder, whole)
    given = f"data.schema={path}"
    assert prepare(folder, config(given), tmp_path / "rows").schema.column("amount").kind == "integer"
    row = next(k for k in places_outside(monkeypatch, folder, 300) if k >= 950)
    write(folder, changed(whole, "amount", row, 100.5))
    wanted = (
        f"'{folder}/2.parquet', from row 951 of the table on: the table differs from its schema:\n"
        f"  'amount': expected int64 (integer), found double; 100.5 in row {row - 949} does not fit"
    )
    with pytest.raises(DataError, match=re.escape(wanted)):
        prepare(folder, config(given), tmp_path / "rows")


def test_columns_that_are_struck_from_the_schema_are_left_out(folder, tmp_path):
    path = tmp_path / "schema.yaml"
    path.write_text(
        "\n".join(s for s in infer_schema(table()).to_yaml().splitlines() if "name: town" not in s)
    )
    prepared = prepare(folder, config(f"data.schema={path}"), tmp_path / "rows")
    assert "town" not in prepared.schema.names
    assert len(stored(prepared)) == ROWS - HELD


def test_an_identifier_that_extremes_bear_witness_to_stays_one(tmp_path, monkeypatch):
    """No row is fitted twice: repeated numbers would be no identifier."""
    whole = table().append_column("tx_id", pa.array(np.random.default_rng(1).permutation(10**6)[:ROWS]))
    folder = write(tmp_path / "data", whole)
    sample_only(monkeypatch, 900)
    found = inspect(folder, config("data.constraints=['unique(tx_id)']"))
    assert found["identifiers"] == ["customer", "tx_id"]


def test_what_is_done_is_not_done_again_but_for_what_is_torn(folder, tmp_path):
    root = tmp_path / "rows"
    with pytest.raises(KeyboardInterrupt):
        prepare(folder, config(), root, interrupted(after=4))
    early = stamps(root)
    assert len(early) == 8
    first = prepare(folder, config(), root)
    late, wanted = stamps(root), multiset(rows_of(first))
    assert len(late) == 18
    assert early.items() <= late.items()

    assert multiset(rows_of(prepare(folder, config(), root))) == wanted
    assert stamps(root) == late

    torn = stored(first).folder / stored(first).blocks[1].name
    torn.write_bytes(torn.read_bytes()[:-1])
    listed = stored(first).folder / stored(first).blocks[5].name.replace(".safetensors", ".json")
    listed.write_bytes(listed.read_bytes()[:-1])
    again = prepare(folder, config(), root)
    assert multiset(rows_of(again)) == wanted
    assert stored(again).blocks == stored(first).blocks
    renewed = {name for name, stamp in stamps(root).items() if late[name] != stamp}
    assert {name.split(".")[0] for name in renewed} == {torn.stem, listed.stem}


def test_other_data_another_seed_and_another_share_have_files_of_their_own(folder, tmp_path):
    root = tmp_path / "rows"
    for overrides in ((), ("seed=7",), ("data.validation=0.2",)):
        prepare(folder, config(*overrides), root)
    assert len(list(root.iterdir())) == 3
    prepare(write(folder, table(seed=1)), config(), root)
    assert len(list(root.iterdir())) == 4


def test_parts_may_be_worked_on_elsewhere_and_in_any_order(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "_MERGED_AT_ONCE", 2)

    def elsewhere(function: Work, items: Sequence[Any]) -> Iterable[Any]:
        sent = [(k, pickle.dumps((function, item))) for k, item in enumerate(items)]
        done = {}
        for k, packed in reversed(sent):
            work, item = pickle.loads(packed)
            done[k] = pickle.loads(pickle.dumps(work(item)))
        return [done[k] for k in range(len(items))]

    here = prepare(folder, config(), tmp_path / "here")
    there = prepare(folder, config(), tmp_path / "there", elsewhere)
    assert stored(there).folder.name == stored(here).folder.name
    assert stored(there).blocks == stored(here).blocks
    assert there.validation == here.validation
