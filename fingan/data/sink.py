"""Writing rows as they come, in constant memory; a file appears whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.fs as pafs
import pyarrow.ipc as ipc
import pyarrow.parquet as pq
import pyarrow.types as pt

from fingan.data.location import Location, locate, reason
from fingan.errors import DataError

_GROUP_ROWS = 1 << 17
_GROUP_BYTES = 64 << 20
_FORMULA = r"^([=+\-@\t\r\n])"


@contextlib.contextmanager
def _naming(location: Location) -> Iterator[None]:
    """Turn an error of the file system into a `DataError` that names the file."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"cannot write {location.text!r}: {reason(error)}; nothing is left of it, "
            "mend the cause or write elsewhere"
        ) from error


class Sink:
    """An open output file; `rows` counts what was written. Made by `open_sink`."""

    def __init__(self, location: Location, writer: Any, schema: pa.Schema, written: pa.Schema) -> None:
        self.rows = 0
        self._location = location
        self._writer = writer
        self._schema = schema
        self._written = written
        self._escape = written is not schema
        self._waiting: list[pa.RecordBatch] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch.

        Raises:
            DataError: columns other than the sink's, or a file system that refuses (disk full).
        """
        if batch.schema.names != self._schema.names or batch.schema.types != self._schema.types:
            raise DataError(
                f"cannot write columns {_columns(batch.schema)} to {self._location.text!r}, "
                f"which has {_columns(self._schema)}"
            )
        arrays = [escaped(a) for a in batch.columns] if self._escape else batch.columns
        self._waiting.append(pa.RecordBatch.from_arrays(arrays, schema=self._written))
        self.rows += batch.num_rows
        # Parquet makes a row group of every call: small batches are gathered first.
        rows = sum(b.num_rows for b in self._waiting)
        if rows >= _GROUP_ROWS or sum(b.nbytes for b in self._waiting) >= _GROUP_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand waiting batches to the file.

        Raises:
            DataError: a file system that refuses.
        """
        if self._waiting:
            with _naming(self._location):
                self._writer.write_table(pa.Table.from_batches(self._waiting, schema=self._written))
            self._waiting = []


@contextlib.contextmanager
def open_sink(
    place: str | os.PathLike[str],
    schema: pa.Schema,
    *,
    escape_formulas: bool = False,
    plain: Collection[str] = (),
) -> Iterator[Sink]:
    """Open a file for streaming; it gets its name when the block ends without an error.

    Until then the rows lie beside it, in a hidden file ending in `.partial` that is removed on any
    error, Ctrl-C included. An existing file is replaced.

    Args:
        place: path or URL; the suffix (`.parquet`, `.csv`, `.csv.gz`, `.arrow`, `.feather`,
            `.ipc`) gives the format. Parquet has no whole seconds: it stores milliseconds.
        schema: columns of every batch.
        escape_formulas: in CSV, put a `'` before texts that a spreadsheet would run as a formula
            (those that start with = + - @, tab or a line break), names included. Such a file does
            not read back to the same values.
        plain: columns whose values hardly repeat. Parquet tries a dictionary for every other one, and
            where it is of no use, that takes several times the time and a quarter more space.

    Raises:
        DataError: an unknown suffix, a missing folder, or a file system that refuses.
    """
    location = locate(place)
    _check(location)
    escape = escape_formulas and location.format == "csv"
    partial = f"{location.path[: -len(location.name)]}.{location.name}.{secrets.token_hex(4)}.partial"
    written = escaped_names(schema) if escape else schema
    with _removing(location.filesystem, partial), contextlib.ExitStack() as opened:
        with _naming(location):
            stream = location.filesystem.open_output_stream(partial, compression=location.compression)
            opened.callback(_close_quietly, stream)
            writer = _writer(location, stream, written, plain)
            opened.callback(_close_quietly, writer)
        sink = Sink(location, writer, schema, written)
        yield sink
        sink.flush()
        with _naming(location):
            writer.close()
            stream.close()
            _publish(location, partial)


def _check(location: Location) -> None:
    if location.format is None:
        raise DataError(
            f"cannot tell the format of {location.text!r}; "
            "end it in .parquet, .csv, .csv.gz, .arrow, .feather or .ipc"
        )
    if location.is_local:
        folder = Path(location.path).parent
        if not folder.is_dir():
            raise DataError(
                f"cannot write {location.text!r}: there is no folder {str(folder)!r}; make it first"
            )
        if Path(location.path).is_dir():
            raise DataError(f"cannot write {location.text!r}: it is a folder; name a file in it")


def _writer(location: Location, stream: Any, schema: pa.Schema, plain: Collection[str]) -> Any:
    if location.format == "parquet":
        repeating = [name for name in schema.names if name not in plain] if plain else True
        return pq.ParquetWriter(stream, schema, compression="zstd", use_dictionary=repeating)
    if location.format == "csv":
        return csv.CSVWriter(stream, schema)
    return ipc.new_file(stream, schema)


def _publish(location: Location, partial: str) -> None:
    if not location.is_local:
        location.filesystem.move(partial, location.path)
        return
    with open(partial, "rb") as file:
        os.fsync(file.fileno())
    os.replace(partial, location.path)


def _close_quietly(resource: Any) -> None:
    """Close what an error left open; it cannot be finished, and saying so would hide the cause."""
    with contextlib.suppress(OSError, pa.ArrowException):
        resource.close()


@contextlib.contextmanager
def _removing(filesystem: pafs.FileSystem, path: str) -> Iterator[None]:
    """Delete a file if the block fails, however it fails."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, pa.ArrowException):
            filesystem.delete_file(path)
        raise


def escaped(column: pa.Array) -> pa.Array:
    """Return a column with a `'` before texts that a spreadsheet would run as a formula."""
    return pc.replace_substring_regex(column, _FORMULA, r"'\1") if pt.is_string(column.type) else column


def escaped_names(schema: pa.Schema) -> pa.Schema:
    """Return a schema whose names are `escaped`."""
    names = escaped(pa.array(schema.names, pa.string())).to_pylist()
    return pa.schema([field.with_name(name) for field, name in zip(schema, names, strict=True)])


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name!r} ({field.type})" for field in schema)
