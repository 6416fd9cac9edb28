"""An embedded Ray on this machine, or a running one that is joined."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from fingan.cluster.address import Address
from fingan.cluster.dashboard import refuse_open_dashboard
from fingan.config import ComputeConfig
from fingan.data.location import reason
from fingan.errors import ConfigError, FinganError
from fingan.ingest import Item, Result

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers report at most every few seconds; the default poll of 2 s would make them wait for it.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
}
_EMBEDDED = {
    # One machine is not preempted piece by piece; the watcher is one more process to start.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Zero GPUs asked for must not hide those of the machine from later versions of Ray.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
START_SECONDS = 30
"""A group of workers that has not come up after so long is asked for anew, with the nodes of that time."""


@dataclass(frozen=True)
class Session:
    """A Ray that this process is connected to.

    Attributes:
        own: whether it was started here, and ends with the session.
    """

    own: bool

    def each(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterable[Result]:
        """Apply a function to all items in Ray tasks of one CPU each; yield the results in their order.

        Raises:
            FinganError: whatever the function raised first, or that a task was lost again and again.
        """
        called: Any = ray.remote(num_cpus=1, max_retries=3)(_call)
        shared = ray.put(function)
        pending: deque[Any] = deque(called.remote(shared, item) for item in items)
        while pending:
            try:
                # Taken off first: Ray keeps a result for as long as someone refers to it.
                yield ray.get(pending.popleft())
            except ray.exceptions.RayError as error:
                for other in pending:
                    ray.cancel(other)
                raise _known(error) from None


def _known(error: ray.exceptions.RayError) -> Exception:
    """Return what a task raised, or what became of it, as an error of ours where it is one."""
    if isinstance(error, ray.exceptions.RayTaskError):
        return error.cause if isinstance(error.cause, FinganError | OSError) else error
    return FinganError(
        f"a task on a part of the table was lost: {reason(error)}; give Ray fewer CPUs, so that fewer "
        "tasks share a node's memory, or write smaller row groups"
    )


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables that are not set yet, and take them back at the end."""
    added = [name for name in values if name not in os.environ]
    os.environ.update({name: values[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _keep_token() -> None:
    """Give this process and its children a token of their own.

    Ray asks for one by default, and without this writes it into the home folder, readable by
    all. It stays set: Ray reads the token once in a process.
    """
    given = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys()
    if not given and os.environ.get("RAY_AUTH_MODE", "token") == "token":
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _timeouts(compute: ComputeConfig) -> dict[str, str]:
    """Return after how many seconds Ray Train takes a silent worker for lost."""
    patience = f"{compute.timeout:g}"
    return {
        "RAY_TRAIN_COLLECTIVE_TIMEOUT_S": patience,
        "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": patience,
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(START_SECONDS),
    }


@contextmanager
def _terminated_as_before() -> Iterator[None]:
    """Keep this process's own answer to SIGTERM, which `ray.init` replaces by an exit on the spot."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        own = before not in (None, signal.SIG_DFL)
        if own and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


@contextmanager
def ray_session(
    compute: ComputeConfig,
    address: Address | None = None,
    allow_open_dashboard: bool = False,
    more_gpus: float = 0.0,
) -> Iterator[Session]:
    """Give a Ray that can hold the configured workers, and leave it, or shut it down, at the end.

    A Ray that this process is connected to already is used as it is; one at `address` is joined.
    Otherwise one is started, without dashboard, with at least as many logical CPUs as workers:
    more workers than cores are slow, but correct. Ray listens on all of this machine's addresses, and
    cannot be told not to; only this process and its workers know its token.

    Args:
        compute: the workers.
        address: of a running Ray; None for one of our own.
        allow_open_dashboard: join a Ray whose dashboard asks for no token.
        more_gpus: what is asked for beside those of the workers.

    Raises:
        ConfigError: no Ray answers at the address, its dashboard asks for no token, or the
            machine has fewer GPUs than asked for.
        FinganError: Ray does not start.
    """
    if ray.is_initialized():
        yield Session(own=False)
        return
    if address is None:
        _keep_token()
    with environment(_SETTINGS | _timeouts(compute) | ({} if address is not None else _EMBEDDED)):
        try:
            if address is None:
                gpus = compute.workers * compute.gpus_per_worker + more_gpus
                _start(compute, gpus)
                _check_gpus(gpus)
            else:
                join(address)
                refuse_open_dashboard(_dashboard_url(), allow_open_dashboard)
            yield Session(own=address is None)
        finally:
            ray.shutdown()


def join(address: Address) -> None:
    """Connect this process to a running Ray.

    Raises:
        ConfigError: none answers there.
    """
    address.knock()
    try:
        with _terminated_as_before():
            ray.init(address=address.text, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, TimeoutError, ray.exceptions.RayError) as error:
        raise ConfigError(f"no Ray answers at {address.text!r}: {error}") from error


def _dashboard_url() -> str | None:
    """Return where the joined Ray's dashboard answers; None where it has none."""
    from ray._private.worker import get_dashboard_url

    place = get_dashboard_url()
    return f"http://{place}" if place else None


def _start(compute: ComputeConfig, gpus: float) -> None:
    try:
        with _terminated_as_before():
            ray.init(
                address="local",
                num_cpus=max(os.cpu_count() or 1, compute.workers),
                num_gpus=None if gpus else 0,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # Ray raises this very class where its processes take too long
        remedy = "train in this process with --workers 0, or see Ray's logs"
        raise FinganError(f"Ray does not start on this machine: {error}; {remedy}") from error


def _check_gpus(wanted: float) -> None:
    """Refuse what Ray would wait for without end."""
    found = ray.cluster_resources().get("GPU", 0.0)
    if wanted > found:
        raise ConfigError(
            f"{wanted:g} GPUs are asked for and this machine has {found:g}; "
            "lower the number of workers or replicas, or their GPUs"
        )
