"""A folder of Parquet parts: what was asked for, which parts are whole, and the word that all are.

    _request.json              what the rows are; written first
    part-000007.parquet        the rows from 7 · partition_rows on
    _parts/part-000007.json    its rows, bytes and SHA-256; written after it, so it proves a whole part
    _manifest.json             the request and all parts in order; written last, so it proves the whole

Every file appears whole or not at all. Arrow, Spark and pandas pass over names that begin with `_`
or `.`, so the folder reads as a table.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from pydantic import TypeAdapter, ValidationError

from fingan.cluster.bulk.folder import Folder
from fingan.errors import ConfigError, FinganError
from fingan.files import FileEntry
from fingan.types import Json

MOST_PARTS = 1_000_000
"""Their numbers have six digits, so that the order of names is the order of rows."""

REQUEST, MANIFEST, RECORDS = "_request.json", "_manifest.json", "_parts"
_PART = re.compile(r"part-[0-9]{6}\.parquet")
_READ_AT_ONCE, _READ_THREADS = 1024, 16
_SHOWN = 100  # characters of a value
_LARGEST_RECORD, _LARGEST_REQUEST = 1 << 10, 16 << 20


@dataclass(frozen=True)
class Request:
    """What the rows of a folder are: a function of this, and of nothing else.

    Attributes:
        model, version: of the registry.
        digest: of the bundle's manifest.
        rows: how many.
        seed: of the sample.
        offset: number of the first row in the sample.
        where: column → value of a condition, as JSON has it.
        columns: the written ones, in their order.
        candidates: rows generated for each one kept.
        partition_rows: rows of every part but the last.
        fingan: version of the library.
    """

    model: str
    version: int
    digest: str
    rows: int
    seed: int
    offset: int
    where: Mapping[str, object]
    columns: Sequence[str]
    candidates: int
    partition_rows: int
    fingan: str

    @property
    def parts(self) -> int:
        """How many parts the rows make."""
        return -(-self.rows // self.partition_rows)

    def bounds(self, number: int) -> tuple[int, int]:
        """Return the number of a part's first row in the sample, and its rows."""
        before = number * self.partition_rows
        return self.offset + before, min(self.partition_rows, self.rows - before)


@dataclass(frozen=True, slots=True)
class Part:
    """A whole part.

    Attributes:
        file: its name.
        first: number of its first row in the sample.
        rows: how many it has.
        bytes: of the file.
        sha256: of the file as it is stored, in hexadecimal.
    """

    file: str
    first: int
    rows: int
    bytes: int
    sha256: str


_PARSER = TypeAdapter(Part)


class PartFolder:
    """A folder of parts.

    Args:
        place: path, or a URL that `pyarrow.fs` knows.

    Raises:
        DataError: an empty path, an unknown scheme, or a store that cannot be reached. So do all
            methods where the file system refuses.
    """

    def __init__(self, place: str | os.PathLike[str]) -> None:
        self.folder = Folder(place)

    @staticmethod
    def name(number: int) -> str:
        """Return the file name of a part."""
        return f"part-{number:06d}.parquet"

    def begin(self, request: Request) -> None:
        """Write the request into an empty folder, or check that it is the one that was begun there.

        Raises:
            ConfigError: the folder has other files, or parts of another request.
        """
        found = self.folder.read(REQUEST, _LARGEST_REQUEST)
        if found is not None:
            _compare(request, found, self.folder.text)
        for name in sorted(self.folder.sizes()):
            if not _belongs(name, request, begun=found is not None):
                raise ConfigError(
                    f"{self.folder.text!r} holds {name!r}, which is no part of these rows; "
                    "name an empty or a new folder"
                )
        if found is None:
            self.folder.write(REQUEST, [_json(asdict(request), indent=1)])
        self.folder.make(RECORDS)

    def has_request(self) -> bool:
        """Whether the folder is begun, and to be seen from here."""
        return self.folder.holds(REQUEST)

    def done(self, request: Request) -> dict[int, Part]:
        """Return the parts that have a record and a file of the size that the record names."""
        stored, records = self.folder.sizes(), self.folder.sizes(RECORDS)
        numbers = [_number(name) for name in stored if _PART.fullmatch(name)]
        numbers = sorted(n for n in numbers if _record(n) in records)
        found: dict[int, Part] = {}
        with ThreadPoolExecutor(1 if self.folder.is_local else _READ_THREADS) as pool:
            for start in range(0, len(numbers), _READ_AT_ONCE):
                some = numbers[start : start + _READ_AT_ONCE]
                for number, part in zip(some, pool.map(lambda n: self.part(request, n), some), strict=True):
                    if part is not None and stored[part.file] == part.bytes:
                        found[number] = part
        return found

    def part(self, request: Request, number: int) -> Part | None:
        """Return what the record of a part says; None without a sound one."""
        data = self.folder.read(f"{RECORDS}/{_record(number)}", _LARGEST_RECORD)
        try:
            part = _PARSER.validate_json(data or b"", strict=True)
        except ValidationError:
            return None
        told, wanted = (part.file, part.first, part.rows), (self.name(number), *request.bounds(number))
        return part if told == wanted else None

    def is_intact(self, part: Part) -> bool:
        """Whether the stored file has the size and the SHA-256 of its record."""
        return self.folder.entry(part.file) == FileEntry(part.bytes, part.sha256)

    def record(self, request: Request, number: int) -> Part:
        """Read a written part back, and write its record.

        Raises:
            FinganError: it is not there.
        """
        name = self.name(number)
        entry = self.folder.entry(name)
        if entry is None:
            raise FinganError(f"{name} was written to {self.folder.text!r}, but is not there")
        part = Part(name, *request.bounds(number), entry.size, entry.sha256)
        self.folder.write(f"{RECORDS}/{_record(number)}", [_json(asdict(part))])
        return part

    def is_finished(self) -> bool:
        """Whether the manifest is there."""
        return self.folder.holds(MANIFEST)

    def reopen(self) -> None:
        """Take the manifest back and clear up: parts are about to be made."""
        self.folder.delete(MANIFEST)
        if self.folder.is_local:
            # The lock says that nobody is writing them. Elsewhere they wait for the end.
            self._sweep()

    def finish(self, request: Request, parts: Sequence[Part]) -> None:
        """Write the manifest, once every part is there.

        Raises:
            FinganError: a part is not there, or has another size.
        """
        stored = self.folder.sizes()
        for part in parts:
            if stored.get(part.file) != part.bytes:
                raise FinganError(
                    f"{part.file} in {self.folder.text!r} is gone or has changed since it was written; run "
                    "the same again to make what is missing. Several nodes need a place that all share"
                )
        self._sweep()
        self.folder.write(MANIFEST, _manifest(request, parts))

    def _sweep(self) -> None:
        self.folder.sweep()
        self.folder.sweep(RECORDS)


def _belongs(name: str, request: Request, *, begun: bool) -> bool:
    """Whether a name may be in the folder: it is ours, or no reader of tables would see it."""
    if name.startswith("."):
        return True
    is_part = _PART.fullmatch(name) is not None and _number(name) < request.parts
    return begun and (is_part or name.startswith("_"))


def _number(name: str) -> int:
    return int(name[5:11])


def _record(number: int) -> str:
    return f"part-{number:06d}.json"


def _json(values: Json, indent: int | None = None) -> bytes:
    return (json.dumps(values, ensure_ascii=False, indent=indent) + "\n").encode()


def _manifest(request: Request, parts: Sequence[Part]) -> Iterator[bytes]:
    """Yield the manifest by lines, with a part on each: there may be a million."""
    totals = {"rows": sum(part.rows for part in parts), "bytes": sum(part.bytes for part in parts)}
    head = _json({"request": asdict(request), **totals, "parts": []}, indent=1)
    yield head.removesuffix(b"]\n}\n") + b"\n"
    for place, part in enumerate(parts, 1):
        yield b"  " + _json(asdict(part)).rstrip() + (b",\n" if place < len(parts) else b"\n")
    yield b" ]\n}\n"


def _compare(request: Request, data: bytes, place: str) -> None:
    """Refuse a folder whose request is another.

    Raises:
        ConfigError: names the first field that differs.
    """
    remedy = "name another place, or remove that folder"
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f"{REQUEST} in {place!r} cannot be read; {remedy}")
    for field, asked in json.loads(_json(asdict(request))).items():
        if found.get(field) != asked:
            raise ConfigError(
                f"{place!r} was begun with another request: {field} is {_short(found.get(field))} there "
                f"and {_short(asked)} here; {remedy}"
            )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
