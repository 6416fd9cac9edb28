"""What `fingan check --address` says of a running Ray."""

from __future__ import annotations

import logging
import socket
from typing import Any

import ray

from fingan.errors import ConfigError

_PATIENCE_SECONDS = 5.0


def describe_cluster(address: str) -> dict[str, Any]:
    """Join a running Ray, count its resources, and leave.

    Args:
        address: `auto` or `host:port`.

    Raises:
        ConfigError: no Ray answers there.
    """
    if address.startswith(("http://", "https://")):
        remedy = "submitting jobs is not available yet; give auto or host:port"
        raise ConfigError(f"--address {address!r}: {remedy}")
    if address != "auto":
        _knock(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError, TimeoutError, ray.exceptions.RayError) as error:
        raise ConfigError(f"no Ray answers at {address!r}: {error}") from error
    try:
        resources = ray.cluster_resources()
        alive = [node for node in ray.nodes() if node["Alive"]]
        return {
            "address": address,
            "ray": ray.__version__,
            "nodes": len(alive),
            "cpus": resources.get("CPU", 0.0),
            "gpus": resources.get("GPU", 0.0),
        }
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Open a connection and close it: Ray itself would try for a minute, and then end the process."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ConfigError(f"cannot read --address {address!r}; write auto or host:port, as in 10.0.0.5:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(f"no Ray answers at {address!r}: {error}") from error
