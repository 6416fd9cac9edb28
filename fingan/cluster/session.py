"""An embedded Ray on this machine, or the one that is running already."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import ray

from fingan.errors import ConfigError, FinganError

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Workers report at most every few seconds; the default poll of 2 s would make them wait for it.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_COLLECTIVE_TIMEOUT_S": "120",
    # One machine is not preempted piece by piece; the watcher is one more process to start.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # Zero GPUs asked for must not hide those of the machine from later versions of Ray.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
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


@contextmanager
def ray_session(workers: int, gpus_per_worker: float = 0) -> Iterator[bool]:
    """Give a Ray that can hold `workers` workers, and shut down what was started here.

    A Ray that this process is connected to already is used as it is. Otherwise one is started
    on loopback, without dashboard, with at least as many logical CPUs as workers: more workers
    than cores are slow, but correct. Only this process and its workers know its token.

    Yields:
        Whether it was started here.

    Raises:
        ConfigError: the machine has fewer GPUs than asked for.
        FinganError: Ray does not start.
    """
    if ray.is_initialized():
        yield False
        return
    _keep_token()
    with _environment(_SETTINGS):
        try:
            _start(workers, gpus_per_worker)
            _check_gpus(workers * gpus_per_worker)
            yield True
        finally:
            ray.shutdown()


def _start(workers: int, gpus_per_worker: float) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=max(os.cpu_count() or 1, workers),
            num_gpus=None if gpus_per_worker else 0,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, TimeoutError, ray.exceptions.RayError) as error:
        remedy = "train in this process with --workers 0, or see Ray's logs"
        raise FinganError(f"Ray does not start on this machine: {error}; {remedy}") from error


def _check_gpus(wanted: float) -> None:
    """Refuse what Ray would wait for without end."""
    found = ray.cluster_resources().get("GPU", 0.0)
    if wanted > found:
        raise ConfigError(
            f"compute asks for {wanted:g} GPUs and this machine has {found:g}; "
            "lower compute.workers or compute.gpus_per_worker"
        )
