"""The schema as values, as YAML, and as something a user edits."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fingan.data import ColumnSpec, TableSchema
from fingan.errors import ConfigError

AMOUNT = ColumnSpec(name="amount", kind="number", type="double", minimum="0.5", maximum="1e+22")
LABEL = ColumnSpec(name="Class", kind="category", type="string", nullable=True)
SCHEMA = TableSchema(columns=(AMOUNT, LABEL))


def test_columns_are_found_by_name() -> None:
    assert SCHEMA.names == ("amount", "Class")
    assert SCHEMA.column("Class") is LABEL
    with pytest.raises(ConfigError, match=r"unknown column 'Clas'\. Did you mean 'Class'\?"):
        SCHEMA.column("Clas")


def test_the_arrow_schema_keeps_types_and_nullability() -> None:
    assert SCHEMA.arrow() == pa.schema(
        [pa.field("amount", pa.float64(), nullable=False), pa.field("Class", pa.string())]
    )


def test_select_takes_the_order_given() -> None:
    assert SCHEMA.select(["Class", "amount"]).names == ("Class", "amount")
    assert SCHEMA.select(["amount"]).columns == (AMOUNT,)
    for names in (["amount", "amount"], [], ["amnt"]):
        with pytest.raises(ConfigError):
            SCHEMA.select(names)


def test_the_fingerprint_follows_the_meaning_not_the_spelling() -> None:
    again = TableSchema(columns=(AMOUNT.model_copy(), LABEL))
    other_text = ColumnSpec(name="amount", kind="number", type="float64", minimum="0.50", maximum="1.0e22")
    assert SCHEMA.fingerprint() == again.fingerprint()
    assert SCHEMA.fingerprint() == TableSchema(columns=(other_text, LABEL)).fingerprint()
    assert len(SCHEMA.fingerprint()) == 64
    for changed in (
        TableSchema(columns=(LABEL, AMOUNT)),
        TableSchema(columns=SCHEMA.columns, strict=True),
        TableSchema(columns=(AMOUNT, LABEL.model_copy(update={"nullable": False}))),
    ):
        assert changed.fingerprint() != SCHEMA.fingerprint()


def test_yaml_is_short_and_has_one_line_per_column() -> None:
    text = SCHEMA.to_yaml()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        "version: 1",
        "strict: false",
        "columns:",
        "  - {name: amount, kind: number, type: double, minimum: 0.5, maximum: 1.0e+22}",
        "  - {name: Class, kind: category, type: string, nullable: true}",
    ]
    assert text.startswith("#")
    assert "identifier" in text


def test_other_tools_read_the_same_names_from_the_yaml() -> None:
    names = ["yes", "1", "null", "a: b", "#x", "2020-01-01", "<b>", "日本"]
    schema = TableSchema(columns=tuple(ColumnSpec(name=n, kind="category", type="string") for n in names))
    assert [c["name"] for c in yaml.safe_load(schema.to_yaml())["columns"]] == names


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12)
bounds = {
    "int64": st.integers(-(2**63), 2**63 - 1).map(str),
    "double": st.floats(allow_nan=False, allow_infinity=False).map(repr),
    "date32[day]": st.dates().map(str),
    "timestamp[us, tz=Europe/Paris]": st.datetimes()
    .map(lambda t: f"{t.isoformat(' ')}+0000")
    .filter(lambda text: "1700" < text < "2200"),
    "decimal128(12, 2)": st.decimals(-(10**9), 10**9, places=2).map(str),
}
kinds = {"int64": "integer", "double": "number", "date32[day]": "date", "decimal128(12, 2)": "decimal"}


@st.composite
def specs(draw: st.DrawFn, name: str) -> ColumnSpec:
    type_ = draw(st.sampled_from([*bounds, "string", "bool"]))
    kind = kinds.get(type_, "timestamp" if type_.startswith("timestamp") else "category")
    low = draw(st.none() | bounds[type_]) if type_ in bounds else None
    return ColumnSpec.model_validate(
        {
            "name": name,
            "kind": kind,
            "type": type_,
            "nullable": draw(st.booleans()),
            "minimum": low,
            "maximum": low,
        }
    )


@given(st.data())
def test_yaml_and_json_read_back_to_an_equal_schema(data: st.DataObject) -> None:
    columns = [data.draw(specs(n)) for n in data.draw(st.lists(names, min_size=1, max_size=5, unique=True))]
    schema = TableSchema(columns=tuple(columns), strict=data.draw(st.booleans()))
    assert TableSchema.from_yaml(schema.to_yaml()) == schema
    assert TableSchema.from_mapping(schema.to_mapping()) == schema


def test_what_a_user_writes_is_read() -> None:
    schema = TableSchema.from_yaml(
        "columns:\n"
        "  - name: zip\n    kind: category\n    type: int64\n"
        "    nullable: yes\n    minimum: 1000\n    maximum: ~\n"
        "  - {name: no, kind: boolean, type: boolean}\n"
    )
    assert schema.columns == (
        ColumnSpec(name="zip", kind="category", type="int64", nullable=True, minimum="1000"),
        ColumnSpec(name="no", kind="boolean", type="bool"),
    )


def _yaml(column: str) -> str:
    return f"columns:\n  - {column}\n"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("colums: []", "unknown key 'colums' in the schema. Did you mean 'columns'?"),
        ("version: 1", "needs 'columns'"),
        ("columns: 3", "needs 'columns'"),
        ("columns: []", "columns"),
        ("version: 2\ncolumns: [{name: a, kind: category, type: string}]", "version"),
        ("[1, 2]", "a mapping"),
        ("a: [", "not YAML"),
        (_yaml("name"), "column 1 of the schema must be a mapping"),
        (_yaml("{name: a, kind: category, type: string, nulable: true}"), "Did you mean 'nullable'?"),
        (_yaml("{name: a, kind: categry, type: string}"), "Did you mean 'category'?"),
        (_yaml("{name: a, kind: zzz, type: string}"), "Known: number"),
        (_yaml("{name: a, kind: number, type: sting}"), "Did you mean 'string'?"),
        (
            _yaml("{name: a, kind: number, type: string}"),
            "column 'a': kind 'number' does not fit type string",
        ),
        (_yaml("{name: a, kind: identifier, type: double}"), "choose one of number, category"),
        (_yaml("{name: a, kind: category, type: string, minimum: b}"), "no minimum or maximum"),
        (_yaml("{name: a, kind: integer, type: int64, minimum: 1.5}"), "'1.5' is not a value of type int64"),
        (
            _yaml("{name: a, kind: integer, type: int64, minimum: 5, maximum: 2}"),
            "minimum 5 is above maximum 2",
        ),
        (_yaml("{name: a, kind: category, type: string, nullable: perhaps}"), "nullable"),
        (_yaml("{kind: category, type: string}"), "column 1: name"),
        (_yaml("{name: a, type: string}"), "column 'a': kind"),
        (
            "columns: [{name: a, kind: category, type: string}, {name: a, kind: date, type: date32}]",
            "'a' appears twice",
        ),
    ],
)
def test_a_wrong_edit_is_a_clear_error(text: str, part: str) -> None:
    with pytest.raises(ConfigError) as error:
        TableSchema.from_yaml(text)
    assert part in str(error.value)


@pytest.mark.parametrize(
    ("kind", "type_"),
    [("category", "double"), ("category", "timestamp[us]"), ("identifier", "string"), ("number", "int64")],
)
def test_a_kind_can_be_edited_where_it_fits(kind: str, type_: str) -> None:
    assert (
        TableSchema.from_yaml(_yaml(f"{{name: a, kind: {kind}, type: '{type_}'}}")).column("a").kind == kind
    )


def test_a_spec_is_frozen_and_strict() -> None:
    with pytest.raises(ValidationError):
        AMOUNT.name = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        ColumnSpec.model_validate({"name": "a", "kind": "category", "type": "string", "width": 3})


def test_reading_a_file_names_its_path(tmp_path: Path) -> None:
    path = tmp_path / "schema.yaml"
    with pytest.raises(ConfigError, match=r"cannot read the schema .*schema\.yaml"):
        TableSchema.read(path)
    path.write_text("x: 1")
    with pytest.raises(ConfigError, match=r"schema\.yaml': unknown key 'x'"):
        TableSchema.read(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot read the schema"):
        TableSchema.read(path)
    path.write_text(SCHEMA.to_yaml(), encoding="utf-8")
    assert TableSchema.read(path) == SCHEMA
