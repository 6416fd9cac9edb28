"""Jobs in processes of their own: on one thread each, several at a time, with their peak memory.

    python -m benchmarks.jobs benchmarks.ablation:run_one '{"dataset": "adult", …}'

runs one of them, as `alone` does.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.results import Results, Row

ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Finished:
    """What a process left.

    Attributes:
        value: what its function returned.
        cpu_seconds: it used.
        peak_bytes: of its resident memory.
    """

    value: dict[str, Any]
    cpu_seconds: float
    peak_bytes: int


def alone(function: Callable[..., dict[str, Any]], **arguments: Any) -> Finished:
    """Run a module's function in a fresh process on one thread.

    Args:
        function: takes and returns what JSON can hold.
        arguments: of the function.

    Raises:
        RuntimeError: the process failed; with the end of what it wrote.
    """
    name = f"{function.__module__}:{function.__qualname__}"
    command = [sys.executable, "-m", "benchmarks.jobs", name, json.dumps(arguments)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **ONE_THREAD}, stdout=out, stderr=errors
        )
        # Not `process.wait`: only wait4 tells this child's own usage.
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(
                f"{name} {arguments} ended with {process.returncode}:\n{errors.read()[-4000:]}"
            )
        left = json.loads(out.read().strip().splitlines()[-1])
    return Finished(left["value"], usage.ru_utime + usage.ru_stime, left["peak_bytes"])


@dataclass(frozen=True)
class Job:
    """One result to be made.

    Attributes:
        key: its keys in the results file.
        function: makes it; see `alone`.
        arguments: of the function.
    """

    key: Row
    function: Callable[..., dict[str, Any]]
    arguments: dict[str, Any] = field(default_factory=dict)


def run_missing(results: Results, jobs: Sequence[Job], at_a_time: int, of_this_kind: bool = False) -> None:
    """Run the jobs whose results are not there yet, and append each as it ends.

    Args:
        results: so far.
        jobs: to have results of.
        at_a_time: so many.
        of_this_kind: only results of a processor of this machine's kind count, as where a run has so many
            CPU-seconds.

    Raises:
        RuntimeError: some failed; the others are finished first.
    """
    waiting = [job for job in jobs if not results.has(of_this_kind=of_this_kind, **job.key)]
    failures = []
    with ThreadPoolExecutor(at_a_time) as pool:
        running = {pool.submit(alone, job.function, **job.arguments): job for job in waiting}
        for done in as_completed(running):
            error = done.exception()
            if error is not None:
                failures.append(str(error))
                continue
            results.add({**running[done].key, **done.result().value})
    if failures:
        raise RuntimeError(f"{len(failures)} of {len(waiting)} jobs failed; the first:\n{failures[0]}")


def _peak_bytes() -> int:
    """Return the peak of this process's resident memory."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not the peak that getrusage tells: it begins with that of whoever started the process.
        (peak,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _end_with_parent() -> None:
    """Leave when the process that asked is gone: a benchmark that was stopped must not work on unseen."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> None:
    """Run one function, and print what it returns, and its peak of memory, as the last line."""
    _end_with_parent()
    module, _, name = arguments[0].partition(":")
    function = getattr(importlib.import_module(module), name)
    value = function(**json.loads(arguments[1]))
    print(json.dumps({"value": value, "peak_bytes": _peak_bytes()}))


if __name__ == "__main__":
    main(sys.argv[1:])
