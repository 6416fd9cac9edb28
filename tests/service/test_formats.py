"""Row formats: whatever is written in pieces reads back as the same rows."""

from __future__ import annotations

import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from fingan.service.formats import DEFAULT, FORMATS, ParquetPieces, negotiate

TEXTS = ["plain", "", 'say "hi"', "a,b;c", "two\nlines\r\n", "Ünï €", "漢字 🦊", "=1+1", "\t\x0b\x7f", None]
MOMENTS = [datetime(1969, 12, 31, 23, 59, 59, 999_999), datetime(2024, 2, 29), datetime(2262, 4, 11), None]
ZONED = [None if m is None else m.replace(tzinfo=UTC) for m in MOMENTS]


def repeated(values: list[Any], rows: int) -> list[Any]:
    return (values * (rows // len(values) + 1))[:rows]


def table(rows: int = 100) -> pa.Table:
    """Return a table with every type that a generator may have, gaps included."""
    columns: dict[str, tuple[list[Any], pa.DataType]] = {
        "whole": ([0, -1, 2**63 - 1, -(2**63)], pa.int64()),
        "small": ([0, 127, -128, None], pa.int8()),
        "unsigned": ([0, 2**64 - 1, None], pa.uint64()),
        "float": ([0.1, -0.0, 1e-300, 1.7e308, 1 / 3, 100.0, None], pa.float64()),
        "single": ([0.1, 1e-38, 16_777_216.0, None], pa.float32()),
        "fee": ([Decimal("0.00"), Decimal("-99999.99"), Decimal("0.01"), None], pa.decimal128(18, 2)),
        "large": ([Decimal(10**38 - 1), Decimal(-1), None], pa.decimal128(38, 0)),
        "member": ([True, False, None], pa.bool_()),
        "text": (TEXTS, pa.string()),
        "day": ([date(1, 1, 1), date(2024, 2, 29), date(9999, 12, 31), None], pa.date32()),
        "moment": (MOMENTS, pa.timestamp("us")),
        "zoned": (ZONED, pa.timestamp("us", "Europe/Paris")),
        "second": ([datetime(2024, 1, 1), None], pa.timestamp("s")),
        "milli": ([datetime(2024, 1, 1, 0, 0, 0, 1000), None], pa.timestamp("ms", "UTC")),
        "nano": ([datetime(2024, 1, 1), None], pa.timestamp("ns")),
        'a "name", with\nall €.b': ([1, 2], pa.int32()),
    }
    return pa.table({name: pa.array(repeated(v, rows), type_) for name, (v, type_) in columns.items()})


def cut(rows: pa.Table, *sizes: int) -> list[pa.RecordBatch]:
    """Return a table in pieces of these sizes, the last one holding what is left."""
    found, place = [], 0
    for size in (*sizes, rows.num_rows):
        found += rows.slice(place, size).combine_chunks().to_batches()
        place += size
    return [batch for batch in found if batch.num_rows]


def written(name: str, rows: pa.Table, *sizes: int) -> bytes:
    """Return a table as an answer is written."""
    form = FORMATS[name]
    pieces = cut(rows, *sizes)
    if form.pieces is None:
        parquet = ParquetPieces(rows.schema)
        return b"".join([*(parquet.piece(piece) for piece in pieces), parquet.tail()])
    return form.head(rows.schema) + form.between().join(map(form.pieces, pieces)) + form.tail()


@pytest.mark.parametrize("sizes", [(), (1,), (1, 30, 1, 7)])
def test_arrow_gives_back_types_and_values(sizes: tuple[int, ...]) -> None:
    reader = pa.ipc.open_stream(written("arrow", table(), *sizes))
    found = reader.read_all()
    assert found.equals(table())
    assert found.column("text").num_chunks == len(sizes) + 1


@pytest.mark.parametrize("sizes", [(), (1,), (1, 30, 1, 7)])
def test_parquet_gives_back_types_and_values(sizes: tuple[int, ...]) -> None:
    content = written("parquet", table(), *sizes)
    found = pq.read_table(io.BytesIO(content))
    # Parquet has no whole seconds.
    assert found.cast(table().schema).equals(table())
    assert pq.ParquetFile(io.BytesIO(content)).num_row_groups == len(sizes) + 1


def test_parquet_has_dictionaries_for_what_repeats_and_none_for_floats() -> None:
    metadata = pq.ParquetFile(io.BytesIO(written("parquet", table()))).metadata
    group = metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    dictionaries = {name for name, column in columns.items() if column.has_dictionary_page}
    assert not dictionaries & {"float", "single"}
    assert {"text", "fee", "whole", 'a "name", with\nall €.b'} <= dictionaries
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_parquet_of_floats_alone_has_no_dictionary() -> None:
    content = written("parquet", pa.table({"x": [0.5] * 100}))
    assert not pq.ParquetFile(io.BytesIO(content)).metadata.row_group(0).column(0).has_dictionary_page


def test_parquet_comes_out_as_it_is_written() -> None:
    parquet, pieces = ParquetPieces(table().schema), cut(table(), 50)
    first, second = map(parquet.piece, pieces)
    assert first.startswith(b"PAR1")
    assert b"PAR1" not in second
    assert parquet.tail().endswith(b"PAR1")


@pytest.mark.parametrize("sizes", [(), (1,), (1, 30, 1, 7)])
def test_csv_gives_back_every_value(sizes: tuple[int, ...]) -> None:
    rows = table()
    content = written("csv", rows, *sizes)
    found = csv.read_csv(
        io.BytesIO(content),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=rows.schema, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    assert found.column_names == rows.column_names
    for name in rows.column_names:
        assert found[name].to_pylist() == [_harmless(value) for value in rows[name].to_pylist()], name


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+-@\t\r\n") else value


def test_csv_escapes_texts_that_a_spreadsheet_would_run_and_nothing_else() -> None:
    texts = ["=1+2", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "a=b", "", None]
    rows = pa.table({"=name": texts, "number": [-1.5] * 9, "fee": pa.array([Decimal("-2.50")] * 9)})
    found = csv.read_csv(
        io.BytesIO(written("csv", rows, 4)),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False),
    )
    assert found.column_names == ["'=name", "number", "fee"]
    escaped = ["'=1+2", "'+1", "'-1", "'@SUM(A1)", "'\tx", "'\rx", "a=b", "", None]
    assert found["'=name"].to_pylist() == escaped
    assert found["number"].to_pylist() == [-1.5] * 9
    assert b",-1.5,-2.50\n" in written("csv", rows, 4)
    assert written("ndjson", rows).startswith(b'{"=name":"=1+2"')


def test_csv_keeps_a_gap_apart_from_an_empty_text() -> None:
    assert written("csv", pa.table({"t": ["", None], "n": [1, None]})) == b'"t","n"\n"",1\n,\n'


def as_json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, date) else value


@pytest.mark.parametrize("sizes", [(), (1,), (1, 30, 1, 7)])
@pytest.mark.parametrize("name", ["ndjson", "json"])
def test_json_gives_back_every_value(name: str, sizes: tuple[int, ...]) -> None:
    rows = table()
    content = written(name, rows, *sizes).decode("utf-8")
    if name == "ndjson":
        assert content.endswith("\n")
        found = [json.loads(line) for line in content.removesuffix("\n").split("\n")]
    else:
        whole = json.loads(content)
        assert whole["columns"] == rows.column_names
        found = whole["rows"]
    assert found == [{key: as_json(value) for key, value in row.items()} for row in rows.to_pylist()]


def test_times_in_json_say_their_zone_or_have_none() -> None:
    row = json.loads(written("ndjson", table(2).slice(1)))
    assert row["day"] == "2024-02-29"
    assert row["moment"] == "2024-02-29T00:00:00"
    assert row["zoned"] == "2024-02-29T01:00:00+01:00"
    assert row["fee"] == "-99999.99"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["ndjson", "json"])
def test_what_json_cannot_say_is_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        written(name, pa.table({"x": [value]}))


def test_no_rows_are_a_sound_answer_in_every_format() -> None:
    rows = table(0)
    assert pa.ipc.open_stream(written("arrow", rows)).read_all().equals(rows)
    assert pq.read_table(io.BytesIO(written("parquet", rows))).schema.names == rows.column_names
    found = csv.read_csv(
        io.BytesIO(written("csv", rows)), parse_options=csv.ParseOptions(newlines_in_values=True)
    )
    assert (found.column_names, found.num_rows) == (rows.column_names, 0)
    assert written("ndjson", rows) == b""
    assert json.loads(written("json", rows)) == {"columns": rows.column_names, "rows": []}


def test_pieces_depend_on_their_rows_alone() -> None:
    rows = table()
    for form in FORMATS.values():
        if form.pieces is not None:
            whole = cut(rows)[0].slice(40, 20)
            (own,) = cut(rows.slice(40, 20))
            assert form.pieces(whole) == form.pieces(own), form.name


ARROW, PARQUET, CSV, JSON = (FORMATS[name].media_type for name in ("arrow", "parquet", "csv", "json"))


@pytest.mark.parametrize(
    ("accept", "name"),
    [
        (None, "arrow"),
        ("", "arrow"),
        ("*/*", "arrow"),
        (ARROW, "arrow"),
        ("APPLICATION/JSON", "json"),
        ("application/x-ndjson", "ndjson"),
        ("application/jsonl", "ndjson"),
        ("application/x-parquet", "parquet"),
        ("text/csv; charset=utf-8; header=present", "csv"),
        ("text/*", "csv"),
        ("application/*", "arrow"),
        ("image/png", None),
        ("application/vnd.apache.arrow.file", None),
        ("image/*, text/html", None),
        ("image/png, */*;q=0.1", "arrow"),
        ("application/json, text/plain, */*", "json"),
        ("*/*, text/csv", "csv"),
        ("text/csv, application/json", "csv"),
        ("text/csv;q=0.5, application/json", "json"),
        ("text/csv;q=0.5, application/json;q=0.51", "json"),
        ("text/csv;q=0.4, */*", "arrow"),
        ("text/csv;q=0", None),
        ("*/*;q=0", None),
        ("text/csv;q=0, text/*", None),
        (f"{ARROW};q=0, */*", "parquet"),
        (f"{ARROW};q=0.1, */*", "parquet"),
        (f"*/*, {ARROW};q=0, {PARQUET};q=0", "csv"),
        (f"application/*;q=0.2, {JSON};q=0.1", "arrow"),
        ("text/csv;q=2, application/json", "csv"),
        ("text/csv;q=nonsense, application/json;q=0.9", "csv"),
        (";;,,/;q=1", None),
        ("x/" * 5000, None),
    ],
)
def test_what_a_reader_accepts_most_is_chosen(accept: str | None, name: str | None) -> None:
    found = negotiate(accept, None)
    assert (None if found is None else found.name) == name


@pytest.mark.parametrize("name", FORMATS)
def test_the_query_counts_more_than_accept(name: str) -> None:
    assert negotiate("image/png", name) is negotiate(None, name.upper()) is FORMATS[name]


@pytest.mark.parametrize("name", ["", "xlsx", "arrow ", "Arrow\n", "__class__"])
def test_an_unknown_format_is_none(name: str) -> None:
    assert negotiate("*/*", name) is None


def test_names_and_suffixes_are_what_readers_know_them_by() -> None:
    assert DEFAULT.name == "arrow"
    assert [form.suffix for form in FORMATS.values()] == ["arrows", "parquet", "csv", "ndjson", "json"]
    assert [form.name for form in FORMATS.values() if form.whole] == ["json"]
    assert len({form.media_type for form in FORMATS.values()}) == len(FORMATS)
