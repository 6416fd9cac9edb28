"""Reading CSV so that nothing is lost: delimiters, empty cells, and digits that are not numbers."""

from __future__ import annotations

import contextlib
import csv as python_csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.types as pt

from fingan.data.clean import check_names
from fingan.data.location import Location, reason
from fingan.errors import DataError

_SNIFFED = 1 << 20
_DELIMITERS = ",;\t|"
_EXACT_IN_FLOAT = 1 << 53
_QUOTED = re.compile(r'"[^"]*"')
_COMMA_NUMBER = re.compile(r'(?:^|;)"?[+-]?\d+,\d+"?(?=;|\r?$)', re.MULTILINE)
_POINT_NUMBER = re.compile(r'(?:^|;)"?[+-]?\d+\.\d+"?(?=;|\r?$)', re.MULTILINE)
_COLUMN_NUMBER = re.compile(r"CSV column #(\d+)")


def read_csv(location: Location, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Read a CSV file with a header line, in UTF-8, compressed or not.

    The delimiter is the most frequent of comma, semicolon, tab and bar in the header; between
    semicolons, `1,5` is a number if there is no `1.5`. An empty cell is missing; `NA`, `null` and
    the like are missing too, but not among texts. Digits that a number would not keep (leading
    zeros, codes such as `0x1f`, more than 64 bits) and times of day stay text. Moments are of any
    year, to the microsecond where Arrow's own reading, in nanoseconds, ends.

    Args:
        location: the file.
        types: the types of columns that are known already; others are inferred.

    Raises:
        DataError: no header, a bad header, rows of different lengths, or a value that does not
            fit its type in `types`.
    """
    file = _open(location)
    check_names(file.names)
    known = {name: types[name] for name in file.names if name in types}
    table = file.parse(known)
    as_text = _kept_as_text(file, table, set(known))
    if as_text:
        table = file.parse({**known, **dict.fromkeys(as_text, pa.string())})
    table = _empty_to_null(table)
    for position, name in enumerate(file.names):
        if name not in known and pt.is_string(table[name].type):
            table = table.set_column(position, name, _as_moments(table[name]))
    return table


@dataclass(frozen=True)
class _File:
    location: Location
    names: tuple[str, ...]
    delimiter: str
    decimal_point: str

    def parse(self, types: Mapping[str, pa.DataType], only: Iterable[str] = ()) -> pa.Table:
        """Read the columns `only` (all if none are named), those in `types` in these types."""
        convert = csv.ConvertOptions(
            column_types=dict(types), include_columns=list(only), decimal_point=self.decimal_point
        )
        try:
            return self._read(convert, threads=True)
        except pa.ArrowInvalid as error:
            column = _COLUMN_NUMBER.search(str(error))
            if column is None:
                # Without threads Arrow also tells the row.
                return self._read(convert, threads=False)
            name = self.names[int(column[1])]
            raise DataError(
                f"column {name!r}: {reason(error)}; mend the value, or the type in the schema"
            ) from error

    def _read(self, convert: csv.ConvertOptions, threads: bool) -> pa.Table:
        # In a single column an empty line is a missing value, not a blank line.
        blank = len(self.names) > 1
        parse = csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True, ignore_empty_lines=blank)
        with _stream(self.location) as stream:
            return csv.read_csv(stream, csv.ReadOptions(use_threads=threads), parse, convert)


def _stream(location: Location) -> pa.NativeFile:
    return location.filesystem.open_input_stream(location.path, compression=location.compression)


def _open(location: Location) -> _File:
    """Find the column names, the delimiter and the decimal point at the start of the file."""
    with _stream(location) as stream:
        head = stream.read(_SNIFFED)
    text = head.decode("utf-8-sig", errors="surrogateescape").lstrip("\r\n")
    if not text:
        raise DataError("the file is empty")
    bare = _QUOTED.sub("", text).splitlines() or [""]
    delimiter = max(_DELIMITERS, key=bare[0].count)
    try:
        names = next(python_csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except python_csv.Error as error:
        raise DataError(f"the header cannot be read: {error}; is a quote left open?") from error
    if any("\udc80" <= letter <= "\udcff" for name in names for letter in name):
        raise DataError("the column names are not UTF-8 text; save the file as UTF-8")
    comma = delimiter == ";" and _COMMA_NUMBER.search(text) and not _POINT_NUMBER.search(text)
    return _File(location, tuple(names), delimiter, "," if comma else ".")


def _kept_as_text(file: _File, table: pa.Table, known: set[str]) -> list[str]:
    """Name the inferred columns that lose something unless they stay text."""
    inferred = [field for field in table.schema if field.name not in known]
    times = [f.name for f in inferred if pt.is_time(f.type)]
    whole = [f.name for f in inferred if pt.is_integer(f.type) or _is_huge_whole(table.column(f.name))]
    if not whole:
        return times
    texts = file.parse(dict.fromkeys(whole, pa.string()), only=whole)
    return times + [name for name in whole if _loses_digits(texts.column(name), table.column(name))]


def _is_huge_whole(column: pa.ChunkedArray) -> bool:
    if not pt.is_floating(column.type):
        return False
    largest = pc.max(pc.abs(column)).as_py()
    return largest is not None and largest >= _EXACT_IN_FLOAT


def _loses_digits(texts: pa.ChunkedArray, numbers: pa.ChunkedArray) -> bool:
    if pt.is_integer(numbers.type):
        return bool(pc.any(pc.match_substring_regex(texts, r"^\s*[+-]?0[0-9xX]")).as_py())
    # `NA` and the like are no digits, but no reason to round the others either.
    present = texts.filter(pc.is_valid(numbers))
    return bool(pc.all(pc.match_substring_regex(present, r"^\s*[+-]?[0-9]+\s*$")).as_py())


def _empty_to_null(table: pa.Table) -> pa.Table:
    columns = []
    for column in table.columns:
        if pt.is_string(column.type):
            empty = pc.equal(column, "")
            column = pc.if_else(empty, pa.scalar(None, pa.string()), column)
        columns.append(column)
    return pa.Table.from_arrays(columns, names=table.column_names)


def _as_moments(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return texts that are all times as times, and any others as they are.

    For fractions of a second Arrow infers nanoseconds, which do not reach an end of time such as
    9999-12-31, and takes the column for text.
    """
    if column.null_count < len(column):
        for zone in (None, "UTC"):
            with contextlib.suppress(pa.ArrowInvalid):
                return column.cast(pa.timestamp("us", zone))
    return column
