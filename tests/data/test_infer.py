"""Which kind a column gets, and what counts as an identifier."""

from __future__ import annotations

import datetime
import decimal
import uuid
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.data import TableSchema, check_table, conform, infer_schema, read_table
from fingan.data.infer import has_id_name, is_identifier
from fingan.errors import ConfigError, DataError


def kind_of(
    name: str, values: list[object] | range, type_: pa.DataType | None = None, target: str | None = None
) -> str:
    return infer_schema(pa.table({name: pa.array(values, type_)}), target).column(name).kind


def test_the_type_gives_the_kind() -> None:
    moment = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "i": pa.array([3, None], pa.int32()),
            "f": [0.5, 1.5],
            "d": [decimal.Decimal("1.50"), decimal.Decimal("-2.25")],
            "b": [True, False],
            "s": ["x", "y"],
            "day": [datetime.date(2024, 2, 29), None],
            "t": pa.array([moment, moment], pa.timestamp("us", "Europe/Paris")),
        }
    )
    schema = infer_schema(table)
    assert [c.kind for c in schema.columns] == [
        "integer",
        "number",
        "decimal",
        "boolean",
        "category",
        "date",
        "timestamp",
    ]
    assert [c.type for c in schema.columns] == [str(t) for t in table.schema.types]
    assert [c.nullable for c in schema.columns] == [True, False, False, False, False, True, False]
    assert (schema.column("d").minimum, schema.column("d").maximum) == ("-2.25", "1.50")
    assert schema.column("t").minimum == "2024-02-29 13:00:00.000000+0100"
    assert schema.column("s").minimum is None
    assert conform(table, schema).schema == schema.arrow()


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("ref", [f"r{i}" for i in range(20)], "identifier"),
        ("ref", [f"r{i}" for i in range(19)], "category"),
        ("ref", [None, *(f"r{i}" for i in range(30))], "identifier"),
        ("ref", [None] * 500 + [f"r{i}" for i in range(20)], "identifier"),
        ("ref", [None] * 500 + [f"r{i}" for i in range(19)], "category"),
        ("ref", [None, *(f"r{i}" for i in range(30)), "r0"], "category"),
        ("ref", [f"r{i}" for i in range(19)] + ["r0"], "category"),
        ("iban", [f"r{min(i, 989)}" for i in range(1000)], "identifier"),
        ("iban", [None] * 50 + [f"r{min(i, 989)}" for i in range(1000)], "identifier"),
        ("iban", [None] * 50 + [f"r{min(i, 969)}" for i in range(1000)], "category"),
        ("iban", [f"r{min(i, 969)}" for i in range(1000)], "category"),
        ("uuid", [str(uuid.UUID(int=i)) for i in range(25)], "identifier"),
        ("CUSTOMER_ID", [5, 9, 70], "identifier"),
        ("CUSTOMER_ID", [5, 9, 9], "category"),
        ("CUSTOMER_ID", [5, None, 9], "category"),
        ("CUSTOMER_ID", [None, *range(0, 60, 3)], "identifier"),
        ("CUSTOMER_ID", [None, *range(0, 57, 3)], "category"),
        ("accountId", [5, 9, 70], "identifier"),
        ("account no", [None, *range(0, 57, 3)], "integer"),
        ("loan number", [50, 90, 70], "identifier"),
        ("loan number", [1, 2, 2], "integer"),
        ("row", [7], "integer"),
        ("amount", [5, 9, 70], "integer"),
        ("amount", range(100, 120), "identifier"),
        ("amount", range(100, 119), "integer"),
        ("amount", [None, *range(100, 120)], "identifier"),
        ("amount", [None, *range(100, 119)], "integer"),
        ("amount", [*range(100, 119), 200], "integer"),
        ("paid", [5, 9, 70], "integer"),
        ("id", [1.0, 2.0, 3.0], "number"),
        ("flag", ["true", "false"] * 20, "category"),
    ],
)
def test_identifiers_are_recognised(name: str, values: list[object] | range, kind: str) -> None:
    assert kind_of(name, values) == kind


def test_a_run_is_found_in_any_order_and_at_the_edge_of_the_type() -> None:
    edge = 2**63 - 1
    assert kind_of("x", [edge - i for i in range(20)]) == "identifier"
    assert kind_of("x", [-(2**63), edge] + [0] * 30) == "integer"


def test_the_target_is_never_an_identifier() -> None:
    assert kind_of("id", range(50), target="id") == "integer"
    assert kind_of("s", [str(i) for i in range(50)], target="s") == "category"
    assert kind_of("CUSTOMER_ID", [1, 1, 2], target="CUSTOMER_ID") == "integer"
    with pytest.raises(ConfigError, match=r"unknown target column 'clas'\. Did you mean 'class'\?"):
        infer_schema(pa.table({"class": ["a"]}), "clas")


def test_an_identifier_keeps_no_training_value() -> None:
    spec = infer_schema(pa.table({"id": range(50)})).column("id")
    assert (spec.minimum, spec.maximum) == (None, None)


@pytest.mark.parametrize(
    "name", ["id", "ID", "tx_id", "txId", "LoanID", "uuid", "Key", "account no", "row", "index"]
)
def test_names_of_identifiers(name: str) -> None:
    assert has_id_name(name)


@pytest.mark.parametrize(
    "name", ["paid", "grid", "id_type", "amount", "identity", "monkey", "日本", "12", ""]
)
def test_names_of_other_columns(name: str) -> None:
    assert not has_id_name(name)


def test_one_row_no_row_and_constant_columns() -> None:
    assert kind_of("a", [1]) == "integer"
    assert kind_of("a", ["x"]) == "category"
    assert not is_identifier("id", pa.chunked_array([pa.array([], pa.int64())]))
    schema = infer_schema(read_table(pa.table({"c": [7] * 40, "n": pa.nulls(40)})))
    assert schema.column("c").kind == "integer"
    assert (schema.column("n").kind, schema.column("n").type, schema.column("n").nullable) == (
        "category",
        "string",
        True,
    )


def test_integers_beyond_float_precision_keep_their_bounds() -> None:
    spec = infer_schema(pa.table({"a": [2**53 + 1, 2**63 - 1]})).column("a")
    assert (spec.type, spec.minimum, spec.maximum) == ("int64", str(2**53 + 1), str(2**63 - 1))


def test_a_raw_table_with_a_foreign_type_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="column 'l': type list"):
        infer_schema(pa.table({"l": [[1]]}))
    with pytest.raises(DataError, match="no columns"):
        infer_schema(pa.table({}))


cells = {
    "int64": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    "bool": st.booleans(),
    "date32[day]": st.dates(),
}


@given(st.data())
def test_every_table_conforms_to_the_schema_inferred_from_it(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 25))
    columns = {}
    for index, name in enumerate(data.draw(st.lists(st.sampled_from(list(cells)), min_size=1, max_size=4))):
        values = data.draw(st.lists(st.none() | cells[name], min_size=rows, max_size=rows))
        columns[f"c{index}"] = pa.array(values, infer_type(name))
    table = read_table(pa.table(columns))
    schema = infer_schema(table)
    check_table(table, schema)
    assert TableSchema.from_yaml(schema.to_yaml()) == schema
    assert conform(table, schema).to_pydict() == table.to_pydict()


def infer_type(name: str) -> pa.DataType:
    return pa.date32() if name == "date32[day]" else pa.type_for_alias(name)


def test_real_tables(shared_data: Path) -> None:
    fraud = infer_schema(read_table(shared_data / "card_transactions_simulated.parquet"), "TX_FRAUD")
    assert {c.name: c.kind for c in fraud.columns} == {
        "TRANSACTION_ID": "identifier",
        "TX_DATETIME": "timestamp",
        "CUSTOMER_ID": "category",
        "TERMINAL_ID": "category",
        "TX_AMOUNT": "number",
        "TX_TIME_SECONDS": "integer",
        "TX_TIME_DAYS": "integer",
        "TX_FRAUD": "integer",
        "TX_FRAUD_SCENARIO": "integer",
    }
    default = infer_schema(read_table(shared_data / "uci_default.parquet"), "default payment next month")
    assert [c.name for c in default.columns if c.kind == "identifier"] == ["ID"]
    adult = infer_schema(read_table(shared_data / "adult_train.parquet"), "income")
    assert {c.kind for c in adult.columns} == {"integer", "category"}
