"""What CSV loses elsewhere and keeps here."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path

import pyarrow as pa
import pytest

from fingan.data import ColumnSpec, TableSchema, read_table
from fingan.errors import DataError


def read(tmp_path: Path, text: str | bytes, schema: TableSchema | None = None) -> pa.Table:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(path, schema)


def test_types_are_inferred(tmp_path: Path) -> None:
    table = read(tmp_path, "i,f,b,d,t,s\n1,1.5,true,2024-02-29,2024-02-29T12:00:00Z,x\n2,2,false,,,y\n")
    assert [str(t) for t in table.schema.types] == [
        "int64",
        "double",
        "bool",
        "date32[day]",
        "timestamp[s, tz=UTC]",
        "string",
    ]
    assert table.column("d").to_pylist() == [datetime.date(2024, 2, 29), None]


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(tmp_path: Path, sign: str) -> None:
    text = sign.join(["a", '"b,;x"', "c"]) + "\n" + sign.join(["1", "x", "y"]) + "\n"
    assert read(tmp_path, text).to_pydict() == {"a": [1], "b,;x": ["x"], "c": ["y"]}


def test_a_decimal_comma_is_read_between_semicolons_only(tmp_path: Path) -> None:
    schema = TableSchema(columns=(ColumnSpec(name="a", kind="number", type="double"),))
    expected = {"a": [1.5, -0.25], "n": [1, 2]}
    for line_end in ("\n", "\r\n"):
        text = line_end.join(["a;n", "1,5;1", "-0,25;2", ""])
        assert read(tmp_path, text).to_pydict() == expected
        assert read(tmp_path, text, schema).to_pydict() == expected
    assert read(tmp_path, "a;b\n1,5;0.5\n").to_pydict() == {"a": ["1,5"], "b": [0.5]}
    assert read(tmp_path, "a;d\n1,5;01.02.2024\n").to_pydict() == {"a": [1.5], "d": ["01.02.2024"]}


def test_an_open_quote_in_the_header_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a quote left open"):
        read(tmp_path, '"a,b\n' + "1,2\n" * 50_000)


def test_a_wide_header_is_read_whole(tmp_path: Path) -> None:
    names = [f"a_rather_long_name_of_a_column_{i}" for i in range(3000)]
    table = read(tmp_path, ",".join(names) + "\n" + ",".join("1" for _ in names) + "\n")
    assert table.column_names == names


def test_an_empty_cell_is_missing_and_na_is_a_text(tmp_path: Path) -> None:
    table = read(tmp_path, 'n,s\n1,NA\nNA,""\n,\n2,US\n')
    assert table.to_pydict() == {"n": [1, None, None, 2], "s": ["NA", None, None, "US"]}


def test_an_empty_line_is_missing_in_a_single_column_only(tmp_path: Path) -> None:
    assert read(tmp_path, "a\n1\n\n3\n").column("a").to_pylist() == [1, None, 3]
    assert read(tmp_path, "a,b\n1,2\n\n3,4\n").num_rows == 2


def test_a_column_without_values_is_missing_text(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n1,\n2,\n")
    assert table.schema.field("b").type == pa.string()
    assert table.column("b").null_count == 2


@pytest.mark.parametrize(
    "values",
    [
        ["00123", "00456"],
        ["123", "007"],
        ["9223372036854775808", "1"],
        ["12345678901234567890123", ""],
        ["0xa9059cbb", "7"],
        ["0X1F", "0x20"],
        ["10:30", "23:59:59"],
    ],
)
def test_digits_that_a_number_would_not_keep_stay_text(tmp_path: Path, values: list[str]) -> None:
    table = read(tmp_path, "a,b\n" + "".join(f"{v},1\n" for v in values))
    assert table.column("a").to_pylist() == [v if v else None for v in values]
    assert table.schema.field("b").type == pa.int64()


@pytest.mark.parametrize("missing", ["NA", "null", "NaN", "#N/A"])
def test_a_missing_value_among_long_account_numbers_costs_no_digit(tmp_path: Path, missing: str) -> None:
    values = ["12345678901234567890", missing, "12345678901234567891", ""]
    table = read(tmp_path, "a,b\n" + "".join(f"{v},1\n" for v in values))
    assert table.column("a").to_pylist() == [v if v else None for v in values]


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["9223372036854775807", "-9223372036854775808"], pa.int64()),
        (["9007199254740993", "0"], pa.int64()),
        (["-0", "10"], pa.int64()),
        (["1e300", "1"], pa.float64()),
        (["0.5", "100"], pa.float64()),
    ],
)
def test_numbers_stay_numbers(tmp_path: Path, values: list[str], type_: pa.DataType) -> None:
    table = read(tmp_path, "a,b\n" + "".join(f"{v},1\n" for v in values))
    assert table.schema.field("a").type == type_
    assert table.column("a").to_pylist() == [
        float(v) if pa.types.is_floating(type_) else int(v) for v in values
    ]


@pytest.mark.parametrize(
    ("values", "type_"),
    [
        (["2024-01-01 08:30:00.000", "", "9999-12-31 23:59:59.999"], "timestamp[us]"),
        (["2024-01-01T08:30:00.5Z", "0001-01-01T00:00:00+01:00"], "timestamp[us, tz=UTC]"),
        (["2024-01-01 08:30:00.5", "2200-12-31 00:00:00"], "timestamp[ns]"),
        (["2024-01-01 08:30:00.5", "9999-12-31 00:00:00Z"], "string"),
        (["2024-01-01 08:30:00.5", "9999-12-31", "later"], "string"),
    ],
)
def test_an_end_of_time_does_not_make_times_text(tmp_path: Path, values: list[str], type_: str) -> None:
    column = read(tmp_path, "a,b\n" + "".join(f"{v},1\n" for v in values)).column("a")
    assert str(column.type) == type_
    assert column.equals(pa.chunked_array([[v or None for v in values]]).cast(column.type))


def test_a_late_value_changes_the_type_not_the_rows(tmp_path: Path) -> None:
    table = read(tmp_path, "a,b\n" + "1,2\n" * 400_000 + "x,2\n")
    assert table.schema.field("a").type == pa.string()
    assert table.num_rows == 400_001


def test_a_schema_gives_the_types(tmp_path: Path) -> None:
    schema = TableSchema(
        columns=(
            ColumnSpec(name="zip", kind="category", type="string"),
            ColumnSpec(name="price", kind="decimal", type="decimal128(12, 2)"),
            ColumnSpec(name="absent", kind="category", type="string"),
        )
    )
    table = read(tmp_path, "zip,price,n\n1234,1.50,7\n", schema)
    assert table.to_pydict() == {"zip": ["1234"], "price": [decimal.Decimal("1.50")], "n": [7]}


def test_a_value_against_the_schema_names_the_column(tmp_path: Path) -> None:
    schema = TableSchema(columns=(ColumnSpec(name="n", kind="integer", type="int64"),))
    with pytest.raises(DataError, match=r"t\.csv': column 'n': .*invalid value 'x'"):
        read(tmp_path, "a,n\n1,2\n1,x\n", schema)


def test_marks_and_line_ends(tmp_path: Path) -> None:
    expected = {"a": [1, 2], "b": ["x", "l\nm"]}
    assert read(tmp_path, b'\xef\xbb\xbfa,b\n1,x\n2,"l\nm"\n').to_pydict() == expected
    assert read(tmp_path, b'a,b\r\n1,x\r\n2,"l\nm"').to_pydict() == expected


def test_a_nul_inside_a_text_is_kept(tmp_path: Path) -> None:
    assert read(tmp_path, b"a,b\nx\x00y,1\n").column("a").to_pylist() == ["x\x00y"]
