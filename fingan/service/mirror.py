"""A front's counts on a cluster, where a proxy hides which of the fronts answers `/metrics`.

Ray gathers them on every node under the same names behind `ray_`, with the front's replica as a label.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ray.serve import metrics

from fingan.service.telemetry import SECONDS, TOGETHER, Prometheus

GAUGE_SECONDS = 5.0
"""How often the load is told to Ray, which is told what is and does not ask."""


class Mirrored(Prometheus):
    """Counts for `GET /metrics` and for Ray; to be made in a Ray Serve replica."""

    def __init__(self) -> None:
        super().__init__()
        labels: Any = ("method", "route", "status")  # Ray's hint has room for one
        self._ray_requests = metrics.Counter("fingan_requests", "answered requests", labels)
        self._ray_seconds = metrics.Histogram(
            "fingan_request_seconds", "from a request to the end of its answer", list(SECONDS), ("route",)
        )
        self._ray_rows = metrics.Counter("fingan_rows", "rows sent", ("model",))
        self._ray_pieces = metrics.Counter("fingan_pieces", "pieces of answers handed to readers")
        self._ray_together = metrics.Histogram(
            "fingan_batch_calls", "small requests that shared a forward pass", list(TOGETHER)
        )
        self._ray_versions = metrics.Gauge(
            "fingan_model_version", "version that answers for a reference", ("reference",)
        )
        self._ray_streams = metrics.Gauge("fingan_streams", "answers under way")
        self._ray_waiting = metrics.Gauge("fingan_queue", "requests that wait for their first row")

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """See `Telemetry`."""
        super().request(method, route, status, seconds)
        self._ray_requests.inc(1, {"method": method, "route": route, "status": str(status)})
        self._ray_seconds.observe(seconds, {"route": route})

    def rows(self, model: str, rows: int) -> None:
        """See `Telemetry`."""
        super().rows(model, rows)
        if rows:
            self._ray_rows.inc(rows, {"model": model})

    def piece(self) -> None:
        """See `Prometheus.piece`."""
        super().piece()
        self._ray_pieces.inc(1, {})

    def together(self, calls: int) -> None:
        """See `Telemetry`."""
        super().together(calls)
        self._ray_together.observe(calls, {})

    def serving(self, reference: str, version: int) -> None:
        """See `Prometheus.serving`."""
        super().serving(reference, version)
        self._ray_versions.set(version, {"reference": reference})

    def watch(self, streams: Callable[[], int], waiting: Callable[[], int]) -> None:
        """Tell the load whenever it is asked for, and Ray every few seconds."""
        super().watch(streams, waiting)

        def tell() -> None:
            pause = threading.Event()
            while True:
                self._ray_streams.set(streams(), {})
                self._ray_waiting.set(waiting(), {})
                pause.wait(GAUGE_SECONDS)

        threading.Thread(target=tell, name="load", daemon=True).start()
