"""Reading tables: files, folders and URLs, pandas, Arrow, and whatever offers an Arrow stream."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from fingan.data.clean import clean, column_names
from fingan.data.drift import conform
from fingan.data.frames import from_pandas
from fingan.data.location import Location, locate, reason, redact
from fingan.data.parts import read_folder
from fingan.data.schema import TableSchema
from fingan.data.textfile import read_csv
from fingan.errors import DataError

_NO_NAME = "table"
_NAME_LENGTH = 64
# What ends a stream: since Arrow 0.15, and before.
_STREAM_ENDS = (b"\xff\xff\xff\xff\x00\x00\x00\x00", b"\x00\x00\x00\x00")
_FILE_ERRORS = (pa.ArrowException, OSError, UnicodeError)


def read_table(source: object, schema: TableSchema | None = None, *, drop_extra: bool = False) -> pa.Table:
    """Return a table from anywhere, in types that fingan holds, missing values as nulls.

    Args:
        source: a path or URL of `.csv` (also `.csv.gz`), `.parquet`, `.arrow`, `.feather` or
            `.ipc`, or of a folder of Parquet files; a pandas DataFrame (without its index); an
            Arrow Table, RecordBatch or RecordBatchReader; or an object with
            `__arrow_c_stream__`, such as a polars DataFrame.
        schema: the types to read CSV columns in, where they are known.
        drop_extra: leave out columns that the schema does not have, whatever they hold, unless
            it has some that the table lacks.

    Raises:
        DataError: names the path, column, row and value, and what to do.
    """
    kept = schema if drop_extra else None
    if not isinstance(source, str | os.PathLike):
        return clean(_kept(_from_memory(source), kept))
    location = locate(source)
    try:
        return clean(_kept(_from_location(location, schema), kept))
    except DataError as error:
        raise DataError(f"{location.text!r}: {error}") from error
    except _FILE_ERRORS as error:
        raise DataError(f"cannot read {location.text!r}: {reason(error)}") from error


def read_conformed(source: object, schema: TableSchema) -> pa.Table:
    """Return a table in the order and types of the schema; columns that the schema lacks are left out.

    Raises:
        SchemaMismatch, DataError: see `conform` and `read_table`.
    """
    return conform(read_table(source, schema, drop_extra=True), schema, drop_extra=True)


def data_name(source: object) -> str:
    """Return the default name of a model trained on this source: the file's stem, else `table`.

    The name follows the registry's grammar `[a-z0-9][a-z0-9._-]{0,63}`.
    """
    if not isinstance(source, str | os.PathLike):
        return _NO_NAME
    text = os.fspath(source)
    last = Path(unquote(redact(text)) if "://" in text else text).name
    location = Location(pafs.LocalFileSystem(), last, last)
    stem = Path(location.plain_name).stem if location.format is not None else last
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode().lower()
    fitting = re.sub(r"[^a-z0-9._-]+", "-", plain).lstrip("._-")[:_NAME_LENGTH].rstrip("._-")
    return fitting or _NO_NAME


def _kept(table: pa.Table, schema: TableSchema | None) -> pa.Table:
    return table if schema is None else table.select(schema.kept(column_names(table)))


def _from_memory(source: object) -> pa.Table:
    pandas: Any = sys.modules.get("pandas")
    if pandas is not None and isinstance(source, pandas.DataFrame):
        return from_pandas(source)
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, pa.RecordBatch):
        return pa.Table.from_batches([source])
    if hasattr(source, "__arrow_c_stream__"):
        try:
            return pa.RecordBatchReader.from_stream(source).read_all()
        except _FILE_ERRORS as error:
            raise DataError(f"cannot read the stream of {type(source).__name__}: {reason(error)}") from error
    hint = "; call collect() first" if hasattr(source, "collect") else ""
    raise DataError(
        f"cannot read a table from {type(source).__name__}{hint}; "
        "pass a path, a URL, a pandas or polars DataFrame, or an Arrow table"
    )


def _from_location(location: Location, schema: TableSchema | None) -> pa.Table:
    kind = location.filesystem.get_file_info(location.path).type
    if kind == pafs.FileType.NotFound:
        raise DataError("there is no such file or folder; check the path")
    if kind == pafs.FileType.Directory:
        return read_folder(location)
    if location.format == "csv":
        return read_csv(location, {} if schema is None else {c.name: c.arrow_type for c in schema.columns})
    if location.format == "parquet":
        with location.filesystem.open_input_file(location.path) as file:
            return pq.ParquetFile(file).read()
    if location.format == "arrow":
        return _read_arrow(location)
    raise DataError(
        f"unknown suffix {Path(location.name).suffix!r}; "
        "fingan reads .csv, .csv.gz, .parquet, .arrow, .feather and .ipc"
    )


def _read_arrow(location: Location) -> pa.Table:
    """Read an Arrow file, or the stream format under the same suffix."""
    with location.filesystem.open_input_file(location.path) as file:
        is_file = file.read(6) == b"ARROW1"
        file.seek(0)
        return ipc.open_file(file).read_all() if is_file else _read_stream(file)


def _read_stream(file: pa.NativeFile) -> pa.Table:
    """Read the stream format, whose reader takes the end of a file for the end of the table."""
    reader = ipc.open_stream(file)
    batches, end = [], file.tell()
    for batch in reader:
        batches.append(batch)
        end = file.tell()
    file.seek(end)
    if not file.read(len(_STREAM_ENDS[0])).startswith(_STREAM_ENDS):
        raise DataError("the file is cut short, no end marker; write it anew, or in the Arrow file format")
    return pa.Table.from_batches(batches, reader.schema)
