"""A running `fingan serve` for benchmarks: its processes, their memory, and requests at a steady pace."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

START_SECONDS = 120.0
_BODY = {"seed": 1}


@dataclass(frozen=True)
class Served:
    """A service under test.

    Attributes:
        url: where it answers.
        process: its front.
    """

    url: str
    process: psutil.Process

    def replicas(self) -> list[psutil.Process]:
        """Return the processes that make rows; the front itself where there are none."""
        family = self.process.children(recursive=True)
        found = [p for p in family if "ServeReplica" in " ".join(_cmdline(p))]
        return found or [self.process]

    def resident(self) -> int:
        """Return the resident bytes of front and replicas together."""
        return sum(p.memory_info().rss for p in {self.process, *self.replicas()})

    def descriptors(self) -> int:
        """Return the open file descriptors of the front."""
        return int(self.process.num_fds())


@contextmanager
def serving(registry: Path, replicas: int, *sets: str) -> Iterator[Served]:
    """Run `fingan serve` on a free port of loopback, without tokens, and end it afterwards."""
    command = [sys.executable, "-m", "fingan", "serve", "--registry", str(registry), "--port", "0"]
    command += ["--no-auth", "--json", "--replicas", str(replicas)]
    command += [word for one in sets for word in ("--set", one)]
    env = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as started:
        try:
            line = started.stdout.readline() if started.stdout is not None else ""
            if not line:
                raise RuntimeError(
                    f"the service did not start: {started.stderr.read() if started.stderr else ''}"
                )
            yield Served(json.loads(line)["url"], psutil.Process(started.pid))
        finally:
            family = psutil.Process(started.pid).children(recursive=True)
            started.terminate()
            try:
                started.wait(60)
            except subprocess.TimeoutExpired:
                started.kill()
            for left in family:
                if left.is_running():
                    left.kill()


@dataclass
class Outcome:
    """Requests that were made.

    Attributes:
        seconds: of each answered one, from the moment it was due.
        statuses: number of answers by status; `error` for none.
        rows: that came whole.
        wrong: answers of status 200 that were not what they should be.
        lasted: seconds from the first request to the last answer.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    wrong: int = 0
    lasted: float = 0.0

    def count(self, status: str) -> None:
        """Count an answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1


def client() -> aiohttp.ClientSession:
    """Return an HTTP client that opens as many connections as are asked for."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        # Of silence: a long download takes as long as it takes.
        timeout=aiohttp.ClientTimeout(total=None, sock_read=120),
    )


async def ask(
    session: aiohttp.ClientSession, served: Served, model: str, rows: int, seed: int, **body: Any
) -> tuple[int, bytes]:
    """Ask for rows as Arrow; return status and content."""
    url = f"{served.url}/v1/models/{model}/samples"
    async with session.post(url, json={**_BODY, "rows": rows, "seed": seed, **body}) as answer:
        return answer.status, await answer.read()


async def open_loop(
    rate: float,
    seconds: float,
    send: Callable[[int], Awaitable[tuple[int, bytes]]],
    check: Callable[[int, bytes], int],
) -> Outcome:
    """Send requests when they are due, whether or not earlier ones were answered.

    Args:
        rate: requests per second.
        seconds: for how long.
        send: sends request number n.
        check: returns the rows of the answer to request number n, 0 where it is not what it should be.
    """
    outcome, started = Outcome(), time.perf_counter()

    async def one(number: int) -> None:
        due = started + number / rate
        try:
            status, content = await send(number)
        except (aiohttp.ClientError, TimeoutError):
            outcome.count("error")
            return
        outcome.count(str(status))
        if status == 200:
            outcome.seconds.append(time.perf_counter() - due)
            rows = check(number, content)
            outcome.rows += rows
            outcome.wrong += rows == 0

    tasks = []
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    outcome.lasted = time.perf_counter() - started
    return outcome


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        found: list[str] = process.cmdline()
    except psutil.Error:
        return []
    return found
