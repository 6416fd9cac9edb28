"""The sampling service over loopback: speed, latency, memory, overload, lost replicas, new versions.

    python -m benchmarks serving

Generators of the default size, trained for a few steps (the time of a row does not depend on how good
it is), one replica of one thread on Ray Serve behind `fingan serve`. The engine's own speed is measured in
turns with the service's, in the same run. In bf16 where the processor multiplies it natively.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil

from benchmarks.command import parser
from benchmarks.expected import Expected
from benchmarks.results import Results, Row
from benchmarks.runs import precisions
from benchmarks.sampling import draw, made
from benchmarks.served import Outcome, Served, ask, client, open_loop, serving
from benchmarks.serving_table import table
from fingan.config import SamplingConfig
from fingan.generator import Generator
from fingan.registry import Registry

MODEL = "default"
STREAMED = 1 << 17
CANDIDATES = (SamplingConfig().candidates, 1)
UNDER_WAY = (4, 8, 16)
"""Requests that a closed loop has under way; more would be refused some (`limits.queued`)."""

NORMAL = 0.5
"""Share of its capacity at which a service is normally asked."""


def registry_of(generator: Generator, folder: Path) -> Path:
    """Publish a generator; return the registry."""
    publish(generator, folder, 0)
    return folder / "registry"


def publish(generator: Generator, folder: Path, number: int) -> None:
    """Publish a generator as one more version, with other metrics."""
    place = folder / f"bundle-{number}"
    replace(generator, metrics={**generator.metrics, "number": number}).save(place)
    Registry(folder / "registry").publish(MODEL, place)


async def _at(served: Served, expected: Expected, rate: float, seconds: float) -> Outcome:
    """Send so many requests a second, each due whether or not earlier ones were answered."""
    async with client() as session:
        return await open_loop(
            rate, seconds, lambda number: _ask(session, served, expected, number), expected.rows
        )


async def _ask(
    session: aiohttp.ClientSession, served: Served, expected: Expected, number: int
) -> tuple[int, bytes]:
    seed = expected.seed(number)
    return await ask(session, served, MODEL, expected.size, seed, candidates=expected.candidates)


async def _drain(
    served: Served, rows: int, candidates: int | None, watch: Callable[[], None] | None = None
) -> float:
    """Download rows and drop them; return rows per second."""
    began = time.perf_counter()
    url = f"{served.url}/v1/models/{MODEL}/samples"
    body = {"rows": rows, "candidates": candidates}
    async with client() as session, session.post(url, json=body) as answer:
        answer.raise_for_status()
        async for _ in answer.content.iter_chunked(1 << 20):
            if watch is not None:
                watch()
    return rows / (time.perf_counter() - began)


def speed(generator: Generator, folder: Path, rounds: int) -> Row:
    """Rows per second of the engine in this process and of the service, by turns."""
    found: dict[str, dict[str, list[float]]] = {}
    with serving(registry_of(generator, folder), 1) as served:
        for number in range(rounds + 1):
            for candidates in CANDIDATES:
                rows = STREAMED // candidates
                began = time.perf_counter()
                draw(generator, rows, 1, candidates)
                engine = rows / (time.perf_counter() - began)
                http = asyncio.run(_drain(served, rows, candidates))
                own = found.setdefault(str(candidates), {"engine": [], "http": []})
                if number:
                    own["engine"].append(engine)
                    own["http"].append(http)
    return {"rates": found}


def latency(generator: Generator, folder: Path, seconds: float) -> Row:
    """Seconds of requests of 100 rows, 20 a second, each due whether or not the last was answered."""
    found = {}
    registry = registry_of(generator, folder)
    with serving(registry, 1) as served:
        for candidates in CANDIDATES:
            expected = Expected(registry, MODEL, 100, candidates)
            asyncio.run(_at(served, expected, 20, 1))
            outcome = asyncio.run(_at(served, expected, 20, seconds))
            milliseconds = 1e3 * np.array(outcome.seconds)
            found[str(candidates)] = {
                "p50_ms": float(np.percentile(milliseconds, 50)),
                "p99_ms": float(np.percentile(milliseconds, 99)),
                "statuses": outcome.statuses,
                "wrong": outcome.wrong,
            }
    return {"latency": found}


def memory(generator: Generator, folder: Path, rows: int) -> Row:
    """Growth of the resident memory of front and replica over one streamed answer."""
    with serving(registry_of(generator, folder), 1) as served:
        asyncio.run(_drain(served, STREAMED, 1))
        before, most, last = served.resident(), 0, 0.0

        def watch() -> None:
            nonlocal most, last
            if time.monotonic() - last > 0.2:
                last = time.monotonic()
                most = max(most, served.resident())

        rate = asyncio.run(_drain(served, rows, 1, watch))
    return {"rows": rows, "growth_bytes": most - before, "rows_per_second": rate}


def stalled(generator: Generator, folder: Path, seconds: float) -> Row:
    """Growth of the resident memory while eight readers of long answers take nothing."""

    async def run(served: Served) -> None:
        async with client() as session:
            url = f"{served.url}/v1/models/{MODEL}/samples"
            answers = [
                await session.post(url, json={"rows": 50_000_000, "candidates": 1, "seed": seed})
                for seed in range(8)
            ]
            await asyncio.sleep(seconds)
            grown.append(served.resident())
            for answer in answers:
                answer.close()

    grown: list[int] = []
    with serving(registry_of(generator, folder), 1) as served:
        asyncio.run(_drain(served, STREAMED, 1))
        before = served.resident()
        asyncio.run(run(served))
    return {"readers": 8, "growth_bytes": grown[0] - before}


def overload(generator: Generator, folder: Path, seconds: float) -> Row:
    """Right answers of 10,000 rows a second at capacity and at four times as many requests.

    Capacity is what a closed loop is answered that has more requests under way than raise it.
    """
    registry = registry_of(generator, folder)
    expected = Expected(registry, MODEL, 10_000, 1)
    with serving(registry, 1) as served:
        # The first requests find a replica that has loaded nothing.
        asyncio.run(_closed(served, expected, 4, min(seconds / 4, 5.0)))
        closed = {str(n): asyncio.run(_closed(served, expected, n, seconds / 4)) for n in UNDER_WAY}
        capacity = max(closed.values())
        normal, four, after = (
            asyncio.run(_at(served, expected, share * capacity, seconds)) for share in (NORMAL, 4, NORMAL)
        )
    return {
        "closed": closed,
        "capacity": capacity,
        "sent": sum(four.statuses.values()) / seconds,
        # What was let in is answered after the last request was sent: that time counts too.
        "goodput": (four.statuses.get("200", 0) - four.wrong) / four.lasted,
        "statuses": four.statuses,
        "wrong": four.wrong + normal.wrong + after.wrong,
        "p99": float(np.percentile(four.seconds, 99)),
        "normal": NORMAL,
        "p99_normal": float(np.percentile(normal.seconds, 99)),
        "statuses_after": after.statuses,
    }


async def _closed(served: Served, expected: Expected, under_way: int, seconds: float) -> float:
    """Return right answers per second with so many requests always under way."""
    done, until = 0, time.perf_counter() + seconds
    async with client() as session:

        async def worker(number: int) -> None:
            nonlocal done
            while time.perf_counter() < until:
                status, content = await _ask(session, served, expected, number)
                done += status == 200 and expected.rows(number, content) > 0
                number += under_way

        began = time.perf_counter()
        await asyncio.gather(*(worker(number) for number in range(under_way)))
        return done / (time.perf_counter() - began)


def cancelled(generator: Generator, folder: Path, count: int) -> Row:
    """What is left of downloads that were broken off: memory, descriptors, answers under way."""

    async def one(session: aiohttp.ClientSession, served: Served, seed: int) -> None:
        url = f"{served.url}/v1/models/{MODEL}/samples"
        async with session.post(url, json={"rows": 5_000_000, "candidates": 1, "seed": seed}) as answer:
            await answer.content.readany()

    async def run(served: Served, first: int, number: int) -> None:
        async with client() as session:
            for seed in range(first, first + number):
                await one(session, served, seed)

    with serving(registry_of(generator, folder), 1) as served:
        asyncio.run(run(served, 0, 20))
        time.sleep(2)
        before = served.resident(), served.descriptors()
        asyncio.run(run(served, 20, count))
        time.sleep(2)
        replica = served.replicas()[0]
        replica.cpu_percent()
        time.sleep(2)
        busy = float(replica.cpu_percent())
        after = served.resident(), served.descriptors()
    return {
        "cancelled": count,
        "growth_bytes": after[0] - before[0],
        "descriptors": after[1] - before[1],
        "replica_cpu_percent": busy,
    }


def killed(generator: Generator, folder: Path, kills: int) -> Row:
    """Answers while one of two replicas is killed again and again."""
    registry = registry_of(generator, folder)
    expected = Expected(registry, MODEL, 20_000, 1)
    with serving(registry, 2) as served:
        # A cold start is another matter.
        asyncio.run(_closed(served, expected, 4, 5.0))
        rate = NORMAL * asyncio.run(_closed(served, expected, 4, 10.0))

        async def run() -> Outcome:
            sending = asyncio.create_task(_at(served, expected, rate, 15.0 * kills))
            for _ in range(kills):
                await asyncio.sleep(14)
                (await _replica(served)).send_signal(signal.SIGKILL)
            return await sending

        outcome = asyncio.run(run())
    found = {"statuses": outcome.statuses, "wrong": outcome.wrong}
    return {"kills": kills, "rate": rate, "exact": True, **found}


async def _replica(served: Served) -> psutil.Process:
    """Return a replica; wait while none is there, for then the front stands for it."""
    while (found := served.replicas()[0]) == served.process:
        await asyncio.sleep(0.1)
    return found


def updated(generator: Generator, folder: Path, updates: int) -> Row:
    """Answers while new versions are published, which make the same rows."""
    registry = registry_of(generator, folder)
    expected = Expected(registry, MODEL, 100, 1)
    with serving(registry, 1, "refresh=1s") as served:
        # A cold start is another matter.
        asyncio.run(_drain(served, 100, 1))

        async def run() -> Outcome:
            sending = asyncio.create_task(_at(served, expected, 20, 10.0 * (updates + 1)))
            for number in range(1, updates + 1):
                await asyncio.sleep(10)
                await asyncio.to_thread(publish, generator, folder, number)
            return await sending

        outcome = asyncio.run(run())
        version = asyncio.run(_version(served))
    return {"updates": updates, "statuses": outcome.statuses, "wrong": outcome.wrong, "version": version}


async def _version(served: Served) -> int:
    async with client() as session, session.get(f"{served.url}/v1/models/{MODEL}") as answer:
        return int((await answer.json())["version"])


Case = Callable[[Generator, Path, Any], Row]
CASES: dict[str, tuple[Case, float, float]] = {
    "speed": (speed, 5, 1),
    "latency": (latency, 60.0, 3.0),
    "memory": (memory, 5_000_000, 100_000),
    "stalled": (stalled, 15.0, 2.0),
    "overload": (overload, 60.0, 4.0),
    "cancelled": (cancelled, 200, 5),
    "killed": (killed, 10, 2),
    "updated": (updated, 3, 1),
}
"""Each case: what it does, how much of it, and how much of it for a look."""


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("serving", __doc__)
    reader.add_argument("--case", action="append", choices=list(CASES))
    reader.add_argument("--steps", type=int, default=50, help="of training")
    reader.add_argument("--look", action="store_true", help="a little of each, printed and not kept")
    options = reader.parse_args(arguments)
    results, generator = Results("serving", options.results), None
    precision = precisions()[0]
    for name in options.case or CASES:
        case, much, little = CASES[name]
        if not options.look and results.has(case=name):
            continue
        generator = generator or made("default", options.steps)[precision]
        folder = Path(tempfile.mkdtemp(prefix="fingan-serving-"))
        try:
            found = case(generator, folder, type(much)(little if options.look else much))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        if options.look:
            print(name, found)
        else:
            results.add({"case": name, "precision": precision, **found})
    print(table(results.rows()))
