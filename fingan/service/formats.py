"""Row formats: what an answer begins with, how record batches become bytes, and what it ends with.

An answer is `head + piece + piece + … + tail`. Pieces of Arrow, CSV, NDJSON and JSON depend on
their rows alone, so replicas can make them; Parquet's footer knows all row groups, so its pieces
are made where the answer is put together.
"""

from __future__ import annotations

import datetime
import decimal
import io
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from fingan.data.sink import escaped, escaped_names

_END_OF_STREAM = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_WEIGHT = re.compile(r"^q=(0(\.\d{0,3})?|1(\.0{0,3})?)$")

Pieces = Callable[[pa.RecordBatch], bytes]


@dataclass(frozen=True)
class RowFormat:
    """A way to write rows.

    Attributes:
        name: as in `?format=`.
        media_type: as in `Accept` and `Content-Type`.
        suffix: of files that hold it.
        pieces: turns a batch into bytes; None where a piece depends on those before it.
        whole: whether an answer is one value that a reader must hold in memory.
    """

    name: str
    media_type: str
    suffix: str
    pieces: Pieces | None
    whole: bool = False

    def head(self, schema: pa.Schema) -> bytes:
        """Return what comes before the first row."""
        if self.name == "arrow":
            return bytes(schema.serialize())
        if self.name == "csv":
            return _csv(pa.RecordBatch.from_pylist([], schema=schema), header=True)
        if self.name == "json":
            return b'{"columns":' + _dumps(schema.names) + b',"rows":['
        return b""

    def between(self) -> bytes:
        """Return what stands between two pieces."""
        return b"," if self.name == "json" else b""

    def tail(self) -> bytes:
        """Return what comes after the last row."""
        return {"arrow": _END_OF_STREAM, "json": b"]}"}.get(self.name, b"")


def _arrow(batch: pa.RecordBatch) -> bytes:
    content: bytes = batch.serialize().to_pybytes()
    return content


def _csv(batch: pa.RecordBatch, header: bool = False) -> bytes:
    # What is downloaded is opened in spreadsheets; who wants texts as they are takes another format.
    columns = [escaped(column) for column in batch.columns]
    batch = pa.RecordBatch.from_arrays(columns, schema=escaped_names(batch.schema))
    sink = pa.BufferOutputStream()
    with csv.CSVWriter(sink, batch.schema, write_options=csv.WriteOptions(include_header=header)) as writer:
        writer.write_batch(batch)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _lines(batch: pa.RecordBatch) -> bytes:
    return b"".join(_dumps(row) + b"\n" for row in batch.to_pylist())


def _objects(batch: pa.RecordBatch) -> bytes:
    return b",".join(_dumps(row) for row in batch.to_pylist())


def _dumps(value: Any) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_plain)
    # Lone surrogates cannot be UTF-8; Arrow's texts have none, names of columns may.
    return text.encode("utf-8", "backslashreplace")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


FORMATS = {
    form.name: form
    for form in (
        RowFormat("arrow", "application/vnd.apache.arrow.stream", "arrows", _arrow),
        RowFormat("parquet", "application/vnd.apache.parquet", "parquet", None),
        RowFormat("csv", "text/csv", "csv", _csv),
        RowFormat("ndjson", "application/x-ndjson", "ndjson", _lines),
        RowFormat("json", "application/json", "json", _objects, whole=True),
    )
}
DEFAULT = FORMATS["arrow"]
_ALSO = {
    "application/x-parquet": "application/vnd.apache.parquet",
    "application/parquet": "application/vnd.apache.parquet",
    "application/jsonl": "application/x-ndjson",
    "application/ndjson": "application/x-ndjson",
}


class ParquetPieces:
    """Writes Parquet as it comes; the bytes so far are taken off after every row group.

    Args:
        schema: of the rows.
    """

    def __init__(self, schema: pa.Schema) -> None:
        self._sink = Growing()
        floats = [field.name for field in schema if pa.types.is_floating(field.type)]
        others = [field.name for field in schema if field.name not in set(floats)]
        # A dictionary of numbers that hardly repeat costs time and room, and buys nothing.
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"), schema, compression="zstd", use_dictionary=others
        )

    def piece(self, batch: pa.RecordBatch) -> bytes:
        """Return the bytes of one more row group."""
        self._writer.write_batch(batch)
        return self._sink.take()

    def tail(self) -> bytes:
        """Return the footer."""
        self._writer.close()
        return self._sink.take()


class Growing(io.RawIOBase):
    """A file that is read off at its end while it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._place = 0

    def writable(self) -> bool:
        """Tell that it can be written."""
        return True

    def write(self, data: Any) -> int:
        """Append bytes; return how many."""
        content = bytes(data)
        self._parts.append(content)
        self._place += len(content)
        return len(content)

    def tell(self) -> int:
        """Return how many bytes were written so far."""
        return self._place

    def take(self) -> bytes:
        """Return what has come since it was last taken."""
        content = b"".join(self._parts)
        self._parts.clear()
        return content


def negotiate(accept: str | None, asked: str | None) -> RowFormat | None:
    """Return the format of an answer; None where none of ours is accepted.

    Args:
        accept: the request's `Accept`; none or `*/*` take Arrow.
        asked: `?format=`, which counts more.
    """
    if asked is not None:
        return FORMATS.get(asked.lower())
    ranges = [_weighted(part) for part in (accept or "*/*").split(",")]
    best: tuple[float, int, int] | None = None
    chosen: RowFormat | None = None
    for form in FORMATS.values():
        fitting = [
            (specific, -place, weight)
            for place, (media, weight) in enumerate(ranges)
            if (specific := _specific(media, form)) is not None
        ]
        # The most specific range says how much a format is wanted (RFC 9110, 12.5.1).
        specific, place, weight = max(fitting, default=(0, 0, 0.0))
        rank = (weight, specific, place)
        if weight > 0.0 and (best is None or rank > best):
            best, chosen = rank, form
    return chosen


def _weighted(part: str) -> tuple[str, float]:
    """Return a media range and its weight, 1 where there is none that can be read."""
    media, *parameters = (text.strip().lower() for text in part.split(";"))
    weight = 1.0
    for parameter in parameters:
        match = _WEIGHT.match(parameter.replace(" ", ""))
        if match is not None:
            weight = float(match[1])
    return _ALSO.get(media, media), weight


def _specific(media: str, form: RowFormat) -> int | None:
    """Return how closely a media range names a format; None where it does not."""
    if media == form.media_type:
        return 2
    if media == form.media_type.partition("/")[0] + "/*":
        return 1
    return 0 if media == "*/*" else None
