"""Which tables are streamed, and what is refused of them before any training."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fingan.data import infer_schema
from fingan.encoding.table import EncodedTable
from fingan.errors import ConfigError, DataError
from fingan.preparation import infer, inspect, large_parts, prepare
from fingan.synthesizer import Synthesizer
from tests.streamed import ROWS, config, sample_only, table, write


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "data", table())


def test_a_table_is_streamed_if_it_is_large_and_parquet(folder, tmp_path):
    values = ROWS * 8
    assert large_parts(folder, config(f"data.in_memory={values}")) is None
    found = large_parts(folder, config(f"data.in_memory={values - 1}"))
    assert found is not None
    assert found.rows == ROWS
    assert large_parts(table(), config()) is None
    assert isinstance(prepare(table(), config()).encoded, EncodedTable)


def test_a_table_that_is_streamed_needs_a_place(folder):
    wanted = r"1,200 rows of 8 columns are more than data\.in_memory allows; train with `fingan train`"
    with pytest.raises(ConfigError, match=wanted):
        prepare(folder, config())


def test_what_cannot_be_learned_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match=r"1080 training rows .* set training\.batch_size to at most 1080"):
        prepare(folder, config("training.batch_size=1100"), tmp_path)
    with pytest.raises(ConfigError, match="Did you mean 'label'"):
        prepare(folder, config(target="labell"), tmp_path)
    few = write(tmp_path / "few", table(9), files=1)
    with pytest.raises(DataError, match="the table has 9 rows; training needs at least 10"):
        prepare(few, config(), tmp_path)
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    with pytest.raises(DataError, match="no rows"):
        prepare(tmp_path / "none.parquet", config(target=None), tmp_path)
    assert not list(tmp_path.glob("*/rows-*"))


ALIKE = {"code": ["x"] * ROWS, "amount": [1.5] * ROWS, "gone": pa.nulls(ROWS, pa.int64())}


@pytest.mark.parametrize("most", [0, 1_000_000])
@pytest.mark.parametrize("more", [{}, {"loan_id": range(ROWS)}])
def test_a_table_in_which_nothing_varies_is_refused(tmp_path, most, more):
    folder = write(tmp_path / "data", pa.table(ALIKE | {name: list(column) for name, column in more.items()}))
    settings = config(f"data.in_memory={most}", target=None)
    for look in (lambda: inspect(folder, settings), lambda: prepare(folder, settings, tmp_path / "rows")):
        with pytest.raises(
            DataError, match=r"no column varies.* there is nothing to learn; .*more than one value"
        ):
            look()


def test_a_column_that_is_constant_but_where_it_is_missing_varies(tmp_path):
    folder = write(tmp_path / "data", pa.table({**ALIKE, "amount": [None, *[1.5] * (ROWS - 1)]}))
    assert prepare(folder, config("data.in_memory=1000000", target=None)).encoder.layout.widths == (1, 2, 1)


def test_a_folder_is_checked_without_training(folder, monkeypatch):
    sample_only(monkeypatch, 300)
    found, held = inspect(folder, config()), inspect(folder, config("data.in_memory=1000000"))
    assert found["rows"] == ROWS
    assert found["columns"] == 8
    assert found["identifiers"] == ["customer"]
    assert "tied: town, region" in found["notes"] or "tied: region, town" in found["notes"]
    assert {key: found[key] for key in ("rows", "columns", "identifiers")} == {
        key: held[key] for key in ("rows", "columns", "identifiers")
    }


def test_of_few_rows_in_parts_none_are_held_out(tmp_path):
    folder = write(tmp_path / "data", table(400))
    prepared = prepare(folder, config(), tmp_path / "rows")
    assert prepared.validation is None
    assert len(prepared.encoded) == prepared.reference.num_rows == 400
    assert any("none are held out" in note for note in inspect(folder, config())["notes"])


def test_a_schema_is_inferred_without_holding_the_table(folder, monkeypatch):
    held = infer(folder, config("data.in_memory=1000000"))
    assert held == (infer_schema(table(), "label"), ROWS)
    monkeypatch.setattr("fingan.preparation.read_table", None)
    assert infer(folder, config()) == held
    # Ranges and nulls are those of all rows, whatever the sample.
    sample_only(monkeypatch, 300)
    assert infer(folder, config()) == held
    with pytest.raises(ConfigError, match="Did you mean 'label'"):
        infer(folder, config(target="labell"))


def test_a_synthesizer_is_fitted_on_a_folder(folder, monkeypatch, tmp_path):
    sample_only(monkeypatch, 500)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    model = Synthesizer(config=config()).fit(folder)
    training = model.generator.metrics["training"]
    assert (training["rows"], training["steps"]) == (ROWS, 40)
    sample = model.sample(60, seed=1)
    assert len(sample) == 60
    assert list(sample.columns) == table().column_names
    pairs = set(zip(table()["town"].to_pylist(), table()["region"].to_pylist(), strict=True))
    assert set(zip(sample["town"], sample["region"], strict=True)) <= pairs
    assert not list(tmp_path.glob("fingan-rows-*")), "encoded rows are left behind"


@pytest.mark.parametrize("most", [10, 1_000_000])
def test_a_column_struck_from_the_schema_may_hold_anything(tmp_path, most):
    whole = table()
    schema = tmp_path / "schema.yaml"
    schema.write_text(infer_schema(whole, "label").to_yaml())
    folder = write(tmp_path / "data", whole.append_column("junk", pa.array([math.inf] * ROWS)))
    settings = config(f"data.in_memory={most}", f"data.schema={schema}")
    assert inspect(folder, settings)["columns"] == 8
    assert prepare(folder, settings, tmp_path / "rows").schema.names == tuple(whole.column_names)
    with pytest.raises(DataError, match="column 'junk': value inf in row 1"):
        inspect(folder, config(f"data.in_memory={most}"))
    schema.write_text(schema.read_text().replace("name: amount", "name: amounts"))
    folder = write(tmp_path / "other", whole)
    with pytest.raises(DataError, match=r"missing: 'amounts' .*Did you mean 'amount'"):
        inspect(folder, settings)


@pytest.mark.parametrize("most", [0, 1_000_000])
def test_an_identifier_of_which_one_is_missing_is_neither_learned_nor_kept(tmp_path, most):
    whole = table()
    customers = pa.array([None, *whole["customer"].to_pylist()[1:]])
    folder = write(tmp_path / "data", whole.set_column(0, "customer", customers))
    settings = config(f"data.in_memory={most}")
    found = inspect(folder, settings)
    assert found["identifiers"] == ["customer"]
    assert "identifier, regenerated: customer" in found["notes"]
    prepared = prepare(folder, settings, tmp_path / "rows")
    assert prepared.schema.column("customer").nullable
    kept = repr(prepared.encoder.state()).encode() + b"".join(
        array.tobytes() for array in prepared.encoder.state()[1].values()
    )
    assert customers[7].as_py().encode() not in kept
