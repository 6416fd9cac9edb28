"""Parquet data in parts: files that are read a row group at a time, by any number of processes."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pyarrow.types as pt

from fingan.data.clean import clean
from fingan.data.location import Location, locate, reason
from fingan.errors import DataError

if TYPE_CHECKING:
    # Where it is used it is imported: it brings pandas, half a second to every process.
    import pyarrow.dataset as ds

BLOCK_ROWS = 131_072
"""Rows that are held at once, however long a row group is."""

_FOOTERS_AT_ONCE = 16
_NO_KEY = "__HIVE_DEFAULT_PARTITION__"
_WHOLE_KEY = re.compile(r"-?(0|[1-9][0-9]*)")
_INT32_MAX = (1 << 31) - 1
_ERRORS = (pa.ArrowException, OSError, UnicodeError)


@dataclass(frozen=True)
class Part:
    """One row group.

    Attributes:
        path: of its file, in the file system of the source.
        group: number within the file.
        size: bytes of its values before compression.
        first: number of its first row in the whole table.
        rows: its rows.
        keys: columns that the names of its folders give, with their values.
    """

    path: str
    group: int
    first: int
    rows: int
    size: int
    keys: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, eq=False)
class PartedTable:
    """A Parquet file or folder as a list of row groups; small enough to be sent to every worker.

    Attributes:
        source: path or URL, as given.
        schema: of all columns, those that folders name included.
        parts: row groups, in the order of the rows.
    """

    source: str
    schema: pa.Schema
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        """Rows of the table."""
        return sum(part.rows for part in self.parts)

    def fingerprint(self) -> str:
        """Return a digest of names, sizes and types of all parts; of no value."""
        listed = [[part.path, part.group, part.rows, part.size, part.keys] for part in self.parts]
        text = json.dumps([self.schema.to_string(), listed], default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def select(self, names: Sequence[str]) -> PartedTable:
        """Return the table of these columns alone; the others are not read."""
        fields = [self.schema.field(name) for name in names]
        return replace(self, schema=pa.schema(fields, self.schema.metadata))

    def read(self, part: Part) -> Iterator[tuple[int, pa.Table]]:
        """Yield the rows of a part, at most `BLOCK_ROWS` at a time, cleaned as `read_table` does.

        Yields:
            The number of a block's first row, and the block.

        Raises:
            DataError: names the file, and the column, value and row within the block.
        """
        location = locate(self.source)
        first, keys = part.first, dict(part.keys)
        columns = [name for name in self.schema.names if name not in keys]
        try:
            with location.filesystem.open_input_file(part.path) as file:
                data = pq.ParquetFile(file, pre_buffer=False)
                for batch in data.iter_batches(BLOCK_ROWS, [part.group], columns, use_threads=False):
                    yield first, clean(self._whole(batch, part))
                    first += batch.num_rows
        except DataError as error:
            raise DataError(f"{part.path!r}, from row {first + 1} of the table on: {error}") from error
        except _ERRORS as error:
            raise DataError(f"cannot read {part.path!r}: {reason(error)}") from error

    def _whole(self, batch: pa.RecordBatch, part: Part) -> pa.Table:
        """Return the batch in the types of the whole; what folders say goes before what the file says."""
        keys = dict(part.keys)
        columns = []
        for field in self.schema:
            if field.name in keys:
                columns.append(pa.repeat(pa.scalar(keys[field.name]), len(batch)).cast(field.type))
            elif field.name in batch.schema.names:
                columns.append(_cast(batch[field.name], field))
            else:
                # A key that only folders of other files have.
                columns.append(pa.nulls(len(batch), field.type))
        return pa.Table.from_arrays(columns, schema=self.schema)


def open_parts(source: object) -> PartedTable | None:
    """Return the row groups of a Parquet file or folder; None for any other source.

    Raises:
        DataError: it is not there, cannot be read, or its files have different columns.
    """
    from pyarrow.dataset import get_partition_keys

    if not isinstance(source, str | os.PathLike):
        return None
    location = locate(source)
    try:
        kind = location.filesystem.get_file_info(location.path).type
        if kind != pafs.FileType.Directory and location.format != "parquet":
            return None
        data = parquet_dataset(location)
        fragments = [(fragment, fragment.row_groups) for fragment in data.get_fragments()]
    except DataError as error:
        raise DataError(f"{location.text!r}: {error}") from error
    except _ERRORS as error:
        raise DataError(f"cannot read {location.text!r}: {reason(error)}") from error
    parts, first = [], 0
    for fragment, own in fragments:
        keys = tuple(sorted(get_partition_keys(fragment.partition_expression).items()))
        for number, group in enumerate(own):
            if group.num_rows:
                parts.append(Part(fragment.path, number, first, group.num_rows, group.total_byte_size, keys))
            first += group.num_rows
    return PartedTable(os.fspath(source), data.schema, tuple(parts))


def read_folder(location: Location) -> pa.Table:
    """Return all rows of the Parquet files of a folder, as they are (see `parquet_dataset`).

    Raises:
        DataError: see `parquet_dataset`.
        pa.ArrowException, OSError: a file that cannot be read, or a value that does not fit.
    """
    data = parquet_dataset(location)
    try:
        return data.to_table()
    except pa.ArrowException:
        _check_casts(data)
        raise


def _check_casts(data: ds.Dataset) -> None:
    """Name the first file and column that do not fit the others, which Arrow does not."""
    for fragment in data.get_fragments():
        own = fragment.physical_schema
        for field in (f for f in own if f.type != data.schema.field(f.name).type):
            try:
                _cast(fragment.to_table(own, [field.name])[field.name], data.schema.field(field.name))
            except pa.ArrowException as error:
                raise DataError(f"{fragment.path!r}: {reason(error)}") from error


def parquet_dataset(location: Location) -> ds.Dataset:
    """Return the Parquet file or the files of a folder, in the order of their names.

    Columns are of the types that the first file gives them, but for one that is null there.
    `key=value` folders are columns, and go before columns of the same name in the files. Keys are
    whole numbers where nothing of their texts is lost so (`7`, not `007`), and text elsewhere.

    Raises:
        DataError: there is no such file, none in the folder, or files of different columns.
    """
    import pyarrow.dataset as ds

    kind = location.filesystem.get_file_info(location.path).type
    if kind == pafs.FileType.NotFound:
        raise DataError("there is no such file or folder; check the path")
    if kind != pafs.FileType.Directory:
        return ds.dataset([location.path], filesystem=location.filesystem, format="parquet")
    infos = location.filesystem.get_file_info(pafs.FileSelector(location.path, recursive=True))
    paths = sorted(
        i.path for i in infos if i.type == pafs.FileType.File and _is_parquet(i.path, location.path)
    )
    if not paths:
        raise DataError("the folder holds no .parquet file")
    own = ds.dataset(paths[:1], filesystem=location.filesystem, format="parquet").schema
    keys = _key_schema(paths, location.path, own)
    data = ds.dataset(
        paths,
        filesystem=location.filesystem,
        format="parquet",
        partitioning=ds.partitioning(keys, flavor="hive"),
        partition_base_dir=location.path,
    )
    fragments = list(data.get_fragments())
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        # Each footer is a request where files lie far away; the fragments keep them.
        list(pool.map(lambda fragment: fragment.ensure_complete_metadata(), fragments))
    return data.replace_schema(_common_schema(data.schema, fragments, keys.names))


def _common_schema(schema: pa.Schema, fragments: Sequence[ds.Fragment], keys: Collection[str]) -> pa.Schema:
    """Return the schema of the first file with the types of columns that are null there.

    Raises:
        DataError: files that differ in what Arrow would fill, drop or change without a word.
    """
    first = fragments[0]
    for fragment in fragments[1:]:
        own = fragment.physical_schema
        if own.names != first.physical_schema.names:
            raise DataError(
                f"the columns of {fragment.path!r} differ from those of {first.path!r}; make them alike"
            )
        for field in (f for f in own if f.name not in keys and f.type != schema.field(f.name).type):
            known = schema.field(field.name).type
            if pt.is_null(known):
                schema = schema.set(schema.get_field_index(field.name), field)
            elif _loses(field.type, known):
                raise DataError(
                    f"column {field.name!r} is of type {field.type} in {fragment.path!r}, "
                    f"but of type {known} before; write all files in one type"
                )
    return schema


def _loses(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Return whether Arrow's cast changes values without a word: the time of day, the zone, any number."""
    if pt.is_boolean(wanted):
        return bool(pt.is_integer(given) or pt.is_floating(given))
    if pt.is_date(wanted):
        return bool(pt.is_timestamp(given))
    moments = bool(pt.is_timestamp(wanted) and (pt.is_timestamp(given) or pt.is_date(given)))
    return moments and (getattr(given, "tz", None) is None) != (wanted.tz is None)


def _cast(column: pa.Array | pa.ChunkedArray, field: pa.Field) -> pa.Array | pa.ChunkedArray:
    """Return a column of one file in the type that it has in the whole.

    Raises:
        pa.ArrowInvalid: a value that does not fit; names the column.
    """
    try:
        return column.cast(field.type)
    except pa.ArrowException as error:
        raise pa.ArrowInvalid(
            f"column {field.name!r} of type {column.type} does not fit {field.type}, its type before: "
            f"{reason(error)}; write all files in one type"
        ) from error


def _key_schema(paths: Sequence[str], root: str, own: pa.Schema) -> pa.Schema:
    """Return the columns that folders below `root` name; those of the files keep the type they have there."""
    texts: dict[str, set[str]] = {}
    for path in paths:
        for folder in path[len(root) :].split("/")[:-1]:
            name, equals, text = folder.partition("=")
            if equals:
                texts.setdefault(unquote(name), set()).add(unquote(text))
    return pa.schema(
        [
            (name, own.field(name).type if name in own.names else _key_type(found - {_NO_KEY}))
            for name, found in texts.items()
        ]
    )


def _key_type(texts: Collection[str]) -> pa.DataType:
    whole = bool(texts) and all(_WHOLE_KEY.fullmatch(text) for text in texts)
    return pa.int32() if whole and all(abs(int(text)) <= _INT32_MAX for text in texts) else pa.string()


def _is_parquet(path: str, root: str) -> bool:
    parts = path[len(root) :].strip("/").split("/")
    hidden = any(part.startswith((".", "_")) for part in parts)
    return not hidden and parts[-1].lower().endswith((".parquet", ".pq"))
