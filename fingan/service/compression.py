"""Compression of an answer while it is sent: gzip or zstd, flushed after every piece."""

from __future__ import annotations

import re
import zlib
from typing import Protocol

import pyarrow as pa

from fingan.service.formats import Growing

_GZIP = 16 + zlib.MAX_WBITS
_PART = re.compile(r"^\s*([a-z*]+)\s*(?:;\s*q\s*=\s*([0-9.]+)\s*)?$")


class Compressor(Protocol):
    """Compresses piece by piece."""

    def piece(self, content: bytes) -> bytes:
        """Return all that is needed to read `content`."""

    def tail(self) -> bytes:
        """Return the end."""


class Gzip:
    """RFC 1952 at the fastest level: the reader's network is seldom slower than that."""

    def __init__(self) -> None:
        self._work = zlib.compressobj(1, zlib.DEFLATED, _GZIP)

    def piece(self, content: bytes) -> bytes:
        return self._work.compress(content) + self._work.flush(zlib.Z_SYNC_FLUSH)

    def tail(self) -> bytes:
        return self._work.flush(zlib.Z_FINISH)


class Zstd:
    """RFC 8878, one frame: some readers take the end of the first frame for the end of the content."""

    def __init__(self) -> None:
        self._sink = Growing()
        self._work = pa.CompressedOutputStream(pa.PythonFile(self._sink, mode="w"), "zstd")

    def piece(self, content: bytes) -> bytes:
        self._work.write(content)
        self._work.flush()
        return self._sink.take()

    def tail(self) -> bytes:
        self._work.close()
        return self._sink.take()


COMPRESSORS: dict[str, type[Gzip | Zstd]] = {"zstd": Zstd, "gzip": Gzip}


def compressor(accepted: str | None) -> tuple[str, Compressor] | None:
    """Return the compression that a request's `Accept-Encoding` names; None for none.

    The heavier weight counts; at equal ones zstd, which is faster and smaller.
    """
    weights: dict[str, float] = {}
    for part in (accepted or "").lower().split(","):
        match = _PART.match(part)
        if match is not None:
            try:
                weights[match[1]] = 1.0 if match[2] is None else float(match[2])
            except ValueError:
                continue
    # `*` does not choose one: a reader that names none may know none.
    known = [(weights[name], name) for name in COMPRESSORS if weights.get(name, 0.0) > 0.0]
    if not known:
        return None
    name = max(known, key=lambda pair: pair[0])[1]
    return name, COMPRESSORS[name]()
