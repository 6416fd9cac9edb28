"""What the service counts, for Prometheus: of one process, in the text format.

Each front has its own; on a cluster Ray gathers them (see `mirror`). Replicas tell the front that
asks them for rows how many small calls shared their forward passes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import prometheus_client as prometheus

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)
TOGETHER = (1, 2, 4, 8, 16, 32, 64)
METHODS = frozenset({"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"})


def known_method(method: str) -> str:
    """Return a method as it is counted: every label is kept for good, so what callers make up is `other`."""
    return method if method in METHODS else "other"


class Telemetry(Protocol):
    """Takes what happens."""

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; `method` as `known_method` gives it."""

    def rows(self, model: str, rows: int) -> None:
        """Rows were sent."""

    def together(self, calls: int) -> None:
        """So many small calls shared a forward pass."""


class Prometheus:
    """Counts for `GET /metrics`."""

    def __init__(self) -> None:
        self._registry = prometheus.CollectorRegistry()
        self._requests = prometheus.Counter(
            "fingan_requests", "answered requests", ("method", "route", "status"), registry=self._registry
        )
        self._seconds = prometheus.Histogram(
            "fingan_request_seconds",
            "from a request to the end of its answer",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._rows = prometheus.Counter("fingan_rows", "rows sent", ("model",), registry=self._registry)
        self._pieces = prometheus.Counter(
            "fingan_pieces", "pieces of answers handed to readers", registry=self._registry
        )
        self._together = prometheus.Histogram(
            "fingan_batch_calls",
            "small requests that shared a forward pass",
            buckets=TOGETHER,
            registry=self._registry,
        )
        self._versions = prometheus.Gauge(
            "fingan_model_version",
            "version that answers for a reference",
            ("reference",),
            registry=self._registry,
        )
        self._streams = prometheus.Gauge("fingan_streams", "answers under way", registry=self._registry)
        self._waiting = prometheus.Gauge(
            "fingan_queue", "requests that wait for their first row", registry=self._registry
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """See `Telemetry`."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def rows(self, model: str, rows: int) -> None:
        """See `Telemetry`."""
        self._rows.labels(model).inc(rows)

    def piece(self) -> None:
        """A piece of an answer was handed to its reader."""
        self._pieces.inc()

    def together(self, calls: int) -> None:
        """See `Telemetry`."""
        self._together.observe(calls)

    def watch(self, streams: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Read the load from these whenever it is asked for."""
        self._streams.set_function(streams)
        self._waiting.set_function(waiting)

    def serving(self, reference: str, version: int) -> None:
        """A version answers for a reference."""
        self._versions.labels(reference).set(version)

    def text(self) -> bytes:
        """Return everything in the text format."""
        return prometheus.generate_latest(self._registry)
