"""Compression piece by piece: every piece can be read when it has come, and the choice is the reader's."""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Iterator

import pyarrow as pa
import pytest

from fingan.service.compression import COMPRESSORS, Compressor, compressor

PIECES = [b"a,b\n", b"1,2\n" * 5000, b"", b"\0", random.Random(0).randbytes(300_000), b"", b"3,4\n" * 20_000]


def packed(work: Compressor) -> list[bytes]:
    return [*(work.piece(piece) for piece in PIECES), work.tail()]


class Arriving(io.RawIOBase):
    """A connection over which one piece after the other comes."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__()
        self._pieces = [piece for piece in pieces if piece]
        self._here = b""
        self.come = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._here and self._pieces:
            self._here = self._pieces.pop(0)
            self.come += 1
        taken, self._here = self._here[:size], self._here[size:]
        return taken


def read_gzip(pieces: list[bytes]) -> Iterator[bytes]:
    work = zlib.decompressobj(16 + zlib.MAX_WBITS)
    for piece in pieces:
        yield work.decompress(piece)
    assert work.eof
    assert not work.unused_data


def read_zstd(pieces: list[bytes]) -> Iterator[bytes]:
    source = Arriving(pieces)
    stream = pa.input_stream(source, compression="zstd")
    for number, piece in enumerate(PIECES):
        yield stream.read(len(piece))
        assert source.come <= sum(1 for p in pieces[: number + 1] if p), "it had to wait for a later piece"
    yield stream.read()


@pytest.mark.parametrize(("name", "read"), [("gzip", read_gzip), ("zstd", read_zstd)])
def test_every_piece_is_readable_when_it_has_come(name, read) -> None:
    found = list(read(packed(COMPRESSORS[name]())))
    assert found == [*PIECES, b""]


@pytest.mark.parametrize("name", COMPRESSORS)
def test_repeated_rows_become_small(name: str) -> None:
    work = COMPRESSORS[name]()
    assert sum(len(work.piece(b"the same row again\n" * 1000)) for _ in range(20)) < 20_000


@pytest.mark.parametrize("name", COMPRESSORS)
def test_an_answer_of_nothing_is_sound(name: str) -> None:
    work = COMPRESSORS[name]()
    empty = work.piece(b"") + work.tail()
    assert pa.input_stream(io.BytesIO(empty), compression=name).read() == b""


def test_zstd_is_one_frame_for_readers_that_take_the_first_for_all() -> None:
    text = [b"1,2\n" * 5000] * 5
    work = COMPRESSORS["zstd"]()
    content = b"".join([*(work.piece(piece) for piece in text), work.tail()])
    assert content.startswith(b"\x28\xb5\x2f\xfd")
    assert content.count(b"\x28\xb5\x2f\xfd") == 1


@pytest.mark.parametrize("name", COMPRESSORS)
def test_an_answer_without_its_end_is_not_taken_for_whole(name: str) -> None:
    content = b"".join(packed(COMPRESSORS[name]())[:-1])
    with pytest.raises(OSError, match=r"[Tt]runcated|end"):
        pa.input_stream(io.BytesIO(content), compression=name).read()


def test_an_answer_that_is_broken_off_leaves_no_complaint() -> None:
    for kind in COMPRESSORS.values():
        work = kind()
        assert work.piece(b"some rows")
        del work


@pytest.mark.parametrize(
    ("accepted", "name"),
    [
        (None, None),
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZIP", "gzip"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("zstd; q=0.5 , gzip ;q=0.501", "gzip"),
        ("gzip;q=0.5,zstd;q=0.5", "zstd"),
        ("zstd;q=0, gzip;q=0.1", "gzip"),
        ("gzip;q=0", None),
        ("gzip;q=0.000, zstd;q=0.0", None),
        ("*", None),
        ("*;q=1, gzip;q=0", None),
        ("br", None),
        ("gzip;q=", None),
        ("gzip;q=1.2.3", None),
        ("gzip;q=nan", None),
        ("gzip;q=-1", None),
        (",,;;q=,gzip zstd", None),
        ("gzip;level=9, zstd;q=0.1", "zstd"),
        ("gzip\0", None),
        ("x" * 10_000, None),
        ("gzip," * 3000, "gzip"),
    ],
)
def test_the_heaviest_that_is_named_is_taken(accepted: str | None, name: str | None) -> None:
    found = compressor(accepted)
    assert (None if found is None else found[0]) == name
    assert found is None or isinstance(found[1], COMPRESSORS[found[0]])
