"""Independent pieces of work side by side, one thread each.

Threads inside one fit wait for each other by spinning: on two busy cores that
made a boosted-tree fit six times slower than a single thread. Whole fits side by
side do not wait, and give the same figures on any number of cores.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

Result = TypeVar("Result")
WORKERS_AT_MOST = 16


def workers() -> int:
    """Return how many cores this process may use; `OMP_NUM_THREADS` lowers it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, WORKERS_AT_MOST, int(asked) if asked.isdigit() else cores))


def run_all(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Run the tasks, as many at a time as there are cores; results in the order of the tasks."""

    def alone(task: Callable[[], Result]) -> Result:
        # OpenMP keeps its limit by thread, so every worker sets its own.
        with threadpool_limits(1, user_api="openmp"):
            return task()

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(workers()) as pool:
        return list(pool.map(alone, tasks))
