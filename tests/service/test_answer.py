"""Answers: the calls that they are made of, how far they run ahead, and what a failure leaves."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fingan.errors import FinganError
from fingan.service.answer import FIRST_ROWS, PARQUET_ROWS, Answer, compressed, parquet, pieces
from fingan.service.calls import SMALL_ROWS, RowsCall
from fingan.service.compression import COMPRESSORS
from fingan.service.formats import FORMATS
from fingan.service.problems import Refused
from tests.service.numbered import CHUNK, SCHEMA, Replica, admission, answer, made, run, settle


async def whole(wanted: Answer, replica: Replica) -> bytes:
    return b"".join([part async for part in pieces(wanted, replica, admission())])


def content(wanted: Answer) -> bytes:
    """Return an answer's bytes, made without trouble."""

    async def test() -> bytes:
        return await whole(wanted, Replica())

    return asyncio.run(test())


@given(first=st.integers(0, 1 << 40), rows=st.integers(0, 100_000), chunk=st.integers(1024, 1 << 17))
def test_calls_cover_the_rows_once_and_in_order(first: int, rows: int, chunk: int) -> None:
    calls = list(answer(first, first + rows, chunk=chunk).calls())
    assert [n for call in calls for n in (call.first, call.last)] == [
        n for a, b in pairwise([first, *(call.last for call in calls)]) for n in (a, b)
    ]
    assert (calls[-1].last if calls else first) == first + rows
    assert all(call.first < call.last <= call.first + chunk for call in calls[1:])


@given(
    first=st.integers(0, 1 << 30),
    later=st.integers(0, 50_000),
    rows=st.integers(1, 60_000),
    chunk=st.integers(1, 64),
)
def test_where_calls_end_depends_on_row_numbers_alone(first: int, later: int, rows: int, chunk: int) -> None:
    size = 1024 * chunk
    calls = list(answer(first, first + rows, chunk=size).calls())
    ends = [call.last for call in calls]
    assert all(end % size == 0 for end in ends[1:-1])
    assert all(end % min(size, FIRST_ROWS) == 0 for end in ends[:1] if len(ends) > 1)
    # An answer that begins in the midst of another has the borders of that one, but for its own first.
    begun = first + min(later, rows - 1)
    others = [call.last for call in answer(begun, first + rows, chunk=size).calls()]
    assert set(others[1:]) <= set(ends)


def test_calls_say_what_is_wanted() -> None:
    asked = RowsCall("tiny:2", "digest", 5, 9000, 7, {"label": "bad"}, ("row",), 4)
    for form, written in [("arrow", "arrow"), ("csv", "csv"), ("parquet", "arrow"), ("json", "json")]:
        calls = list(Answer(asked, FORMATS[form], SCHEMA, CHUNK).calls())
        assert len(calls) > 3
        for call in calls:
            assert replace(call, first=5, last=9000, form="arrow") == asked
            assert call.form == written


def test_a_small_answer_is_one_call_where_no_border_lies_within() -> None:
    assert len(list(answer(0, CHUNK).calls())) == 1
    assert answer(0, CHUNK).is_short
    assert not answer(0, CHUNK + 1).is_short
    assert answer(10, 10 + SMALL_ROWS).is_small
    assert not answer(10, 11 + SMALL_ROWS).is_small
    assert [call.last for call in answer(CHUNK - 10, CHUNK + 10).calls()] == [CHUNK, CHUNK + 10]


def test_a_long_answer_begins_with_a_short_call() -> None:
    assert [call.last for call in answer(0, 5000).calls()] == [1024, 2048, 4096, 5000]


RANGES = [(0, 0), (0, 1), (1000, 1024), (5, 9000), (CHUNK - 1, CHUNK + 1), (10**12, 10**12 + 5000)]


@pytest.mark.parametrize(("first", "last"), RANGES)
def test_the_pieces_are_one_sound_answer(first: int, last: int) -> None:
    expected = [{"row": n, "text": f"n{n}"} for n in range(first, last)]
    assert pa.ipc.open_stream(content(answer(first, last))).read_all().to_pylist() == expected
    lines = content(answer(first, last, "ndjson")).splitlines()
    assert [json.loads(line) for line in lines] == expected
    assert json.loads(content(answer(first, last, "json"))) == {"columns": SCHEMA.names, "rows": expected}
    text = "".join([f'{row["row"]},"{row["text"]}"\n' for row in expected])
    assert content(answer(first, last, "csv")).decode() == '"row","text"\n' + text


@pytest.mark.parametrize(("first", "last"), [*RANGES, (0, 2 * PARQUET_ROWS + 5)])
def test_parquet_is_made_of_the_pieces(first: int, last: int) -> None:
    async def test() -> bytes:
        parts = pieces(answer(first, last, "parquet", 1 << 16), Replica(), admission())
        return b"".join([part async for part in parquet(parts, SCHEMA)])

    found = pq.ParquetFile(io.BytesIO(asyncio.run(test())))
    assert found.schema_arrow.equals(SCHEMA)
    assert found.read().column("row").to_pylist() == list(range(first, last))
    groups = [found.metadata.row_group(i).num_rows for i in range(found.num_row_groups)]
    sizes = [1, 8 * FIRST_ROWS, 64 * FIRST_ROWS]
    # A few small groups first, then large ones.
    assert all(PARQUET_ROWS <= rows < 2 * PARQUET_ROWS for rows in groups[3:-1])
    assert all(size <= rows for size, rows in zip(sizes, groups[:-1], strict=False))


def test_parquet_begins_with_its_first_call_and_is_the_same_every_time() -> None:
    async def test() -> None:
        found: list[bytes] = []
        for pause in (0, 1):
            replica = Replica()
            parts = parquet(pieces(answer(7, 30_000, "parquet"), replica, admission()), SCHEMA)
            first = await anext(parts)
            # That one, and what is made ahead of the reader.
            assert len(replica.asked) == 3
            assert first.startswith(b"PAR1")
            assert len(first) > 1000
            await asyncio.sleep(0.05 * pause)
            found.append(first + await _collected(parts))
        assert found[0] == found[1]
        assert pq.read_table(io.BytesIO(found[0])).column("row").to_pylist() == list(range(7, 30_000))

    run(test())


@pytest.mark.parametrize("name", COMPRESSORS)
def test_compressed_pieces_are_the_same_answer(name: str) -> None:
    async def test() -> bytes:
        parts = pieces(answer(0, 9000, "csv"), Replica(), admission())
        return b"".join([part async for part in compressed(parts, COMPRESSORS[name]())])

    packed = asyncio.run(test())
    assert pa.input_stream(io.BytesIO(packed), compression=name).read() == content(answer(0, 9000, "csv"))


def test_a_compressed_piece_is_there_before_the_next_is_made() -> None:
    async def test() -> None:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one"
            yield b"two"
            raise FinganError("lost")

        work = zlib.decompressobj(16 + zlib.MAX_WBITS)
        found = compressed(parts(), COMPRESSORS["gzip"]())
        assert [work.decompress(await anext(found)) for _ in range(2)] == [b"one", b"two"]
        with pytest.raises(FinganError, match="lost"):
            await anext(found)
        assert not work.eof

    run(test())


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_a_reader_that_stalls_is_not_worked_for(ahead: int) -> None:
    async def test() -> None:
        replica = Replica()
        async with aclosing(pieces(answer(0, 100 * CHUNK, ahead=ahead), replica, admission())) as parts:
            for taken in range(1, 20):
                await anext(parts)
                await settle()
                assert len(replica.asked) == taken + ahead
                assert replica.working == 0
        assert replica.most <= ahead

    run(test())


def test_calls_run_ahead_together_while_the_reader_waits() -> None:
    async def test() -> None:
        replica = Replica()
        async with aclosing(pieces(answer(0, 100 * CHUNK, ahead=4), replica, admission())) as parts:
            await anext(parts)
            replica.open.clear()
            await settle()
            assert replica.working == 4
            replica.open.set()
            await anext(parts)

    run(test())


def test_pieces_come_in_order_whichever_is_made_first() -> None:
    async def test() -> None:
        class Uneven(Replica):
            async def rows(self, call: RowsCall) -> bytes:
                await asyncio.sleep(0.004 if (call.first // CHUNK) % 2 else 0)
                return await super().rows(call)

        found = await whole(answer(0, 9 * CHUNK, ahead=4), Uneven())
        rows = pa.ipc.open_stream(found).read_all().column("row").to_pylist()
        assert rows == list(range(9 * CHUNK))

    run(test())


def test_an_answer_waits_for_places_at_the_gate() -> None:
    async def test() -> None:
        replica, doors = Replica(), admission(places=1)
        async with doors.large.further():
            parts = pieces(answer(0, 20 * CHUNK, ahead=4), replica, doors)
            begun = asyncio.ensure_future(anext(parts))
            await settle()
            assert replica.asked == []
        await begun
        async for _ in parts:
            assert replica.most == 1

    run(test())


def test_a_reader_that_leaves_cancels_what_is_under_way() -> None:
    async def test() -> None:
        replica, doors = Replica(), admission(places=4)
        parts = pieces(answer(0, 100 * CHUNK, ahead=3), replica, doors)
        await anext(parts)
        replica.open.clear()
        await settle()
        await parts.aclose()
        await settle()
        assert (replica.cancelled, replica.working, len(replica.asked)) == (3, 0, 4)
        replica.open.set()
        # Their places are free again.
        async with doors.large.first(), doors.large.first(), doors.large.first(), doors.large.first():
            pass

    run(test())


def test_a_reader_that_leaves_before_the_first_byte_cancels_the_first_call() -> None:
    async def test() -> None:
        replica, doors = Replica(), admission(places=1)
        replica.open.clear()
        begun = asyncio.create_task(_collected(pieces(answer(0, 100 * CHUNK), replica, doors)))
        await settle()
        begun.cancel()
        await asyncio.gather(begun, return_exceptions=True)
        assert (replica.cancelled, replica.working) == (1, 0)
        async with asyncio.timeout(1.0), doors.large.first():
            pass

    run(test())


async def _collected(parts: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in parts])


@pytest.mark.parametrize("error", [Refused(503, "replica_lost", "lost"), FinganError("x"), RuntimeError("x")])
def test_a_first_call_that_fails_raises_before_any_byte(error: Exception) -> None:
    async def test() -> None:
        replica = Replica()
        replica.failing[0] = error
        with pytest.raises(type(error)) as caught:
            await anext(pieces(answer(0, 100 * CHUNK), replica, admission()))
        assert caught.value is error
        await settle()
        assert len(replica.asked) == 1

    run(test())


def test_a_service_that_is_busy_refuses_before_any_call() -> None:
    async def test() -> None:
        replica, doors = Replica(), admission(places=1, queued=0)
        async with doors.large.first(), doors.small.first():
            for rows in (100, SMALL_ROWS + 1):
                with pytest.raises(Refused) as caught:
                    await anext(pieces(answer(0, rows), replica, doors))
                assert caught.value.status == 429
        assert replica.asked == []

    run(test())


@pytest.mark.parametrize(("crowd", "rows"), [("large", SMALL_ROWS), ("small", 20 * CHUNK)])
def test_neither_lane_waits_for_the_other(crowd: str, rows: int) -> None:
    """Small answers get in beside any number of long ones, and the other way round."""

    async def test() -> None:
        doors = admission(places=1, queued=0)
        async with getattr(doors, crowd).first():
            # Across a border, so that a further call is made too.
            found = [part async for part in pieces(answer(CHUNK - 10, CHUNK - 10 + rows), Replica(), doors)]
        assert pa.ipc.open_stream(b"".join(found)).read_all().num_rows == rows

    run(test())


def test_a_failure_in_the_midst_is_raised_in_its_place_and_ends_the_work() -> None:
    async def test() -> None:
        replica = Replica()
        replica.failing[5] = FinganError("lost")
        parts = pieces(answer(0, 100 * CHUNK, ahead=3), replica, admission())
        found = [await anext(parts) for _ in range(5)]
        assert pa.ipc.open_stream(b"".join(found)).read_all().num_rows == 4 * CHUNK
        with pytest.raises(FinganError, match="lost"):
            await anext(parts)
        asked = len(replica.asked)
        await settle()
        assert (len(replica.asked), replica.working) == (asked, 0)
        with pytest.raises(StopAsyncIteration):
            await anext(parts)

    run(test())


@pytest.mark.parametrize("leave", [True, False])
def test_failures_that_nobody_reads_any_more_are_no_complaints(leave: bool) -> None:
    """The calls ahead fail with the first; only one of them can be told."""

    async def test() -> None:
        complaints: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        replica = Replica()
        replica.failing = {n: FinganError("lost") for n in range(1, 10)}
        parts = pieces(answer(0, 100 * CHUNK, ahead=4), replica, admission())
        await anext(parts)
        await settle()
        if leave:
            await parts.aclose()
        else:
            with pytest.raises(FinganError, match="lost"):
                await anext(parts)
        await settle()
        gc.collect()
        assert complaints == []

    run(test())


def test_a_failure_breaks_off_parquet_and_compression() -> None:
    async def test() -> None:
        replica = Replica()
        replica.failing[2] = FinganError("lost")
        parts = parquet(pieces(answer(0, 100 * CHUNK, "parquet"), replica, admission()), SCHEMA)
        with pytest.raises(FinganError, match="lost"):
            await _collected(compressed(parts, COMPRESSORS["zstd"]()))

    run(test())


def test_a_torn_piece_does_not_become_parquet() -> None:
    async def test() -> None:
        batch = FORMATS["arrow"].pieces
        assert batch is not None
        torn = batch(made(RowsCall("tiny:1", "d", 0, 100)))[:-8]

        async def parts() -> AsyncIterator[bytes]:
            yield torn

        with pytest.raises((pa.ArrowException, OSError)):
            await _collected(parquet(parts(), SCHEMA))

    run(test())
