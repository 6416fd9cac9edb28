"""What `fingan check --address` says of a running Ray."""

from __future__ import annotations

from typing import Any

import ray

from fingan.cluster.address import Address
from fingan.cluster.session import ray_session
from fingan.config import ComputeConfig


def describe_cluster(address: str, allow_open_dashboard: bool = False) -> dict[str, Any]:
    """Join a running Ray, count its resources, and leave.

    Args:
        address: `auto`, `host:port` or the URL of a dashboard.
        allow_open_dashboard: accept a dashboard that asks for no token.

    Raises:
        ConfigError: no Ray answers there, or its dashboard is open.
    """
    place = Address(address)
    if place.is_dashboard:
        from fingan.cluster.jobs import describe_dashboard

        return describe_dashboard(place, allow_open_dashboard)
    with ray_session(ComputeConfig(), place, allow_open_dashboard):
        resources = ray.cluster_resources()
        alive = [node for node in ray.nodes() if node["Alive"]]
        return {
            "address": address,
            "ray": ray.__version__,
            "nodes": len(alive),
            "cpus": resources.get("CPU", 0.0),
            "gpus": resources.get("GPU", 0.0),
        }
