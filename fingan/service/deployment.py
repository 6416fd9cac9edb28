"""The Ray Serve application: replicas that make rows, and fronts that answer HTTP.

Two deployments. A front holds no generator: it checks, negotiates and puts an answer together from
calls of bounded size (`calls.RowsCall`), each of which any replica can make. So a replica that dies
costs a repeated call and not an answer, replicas come and go under running downloads, and no
replica makes more than what the front asked for, however slow the reader is.

The front itself must be held back by a slow reader too. An HTTP server of our own does that
(`fingan serve`); behind Ray Serve's proxy it holds where the proxy is HAProxy and replicas speak
HTTP themselves (`RAY_SERVE_ENABLE_HA_PROXY=1`, `RAY_SERVE_THROUGHPUT_OPTIMIZED=1`). Behind the
default proxy nothing does, and answers are capped at `limits.unpaced_rows`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

from ray import serve
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError, RayTaskError
from ray.serve.config import BackpressureConfig
from ray.serve.exceptions import BackPressureError, DeploymentUnavailableError
from ray.serve.handle import DeploymentHandle, DeploymentResponse
from starlette.types import ASGIApp

from fingan.config import ServiceConfig
from fingan.errors import FinganError
from fingan.registry import Registry
from fingan.service.admission import busy
from fingan.service.app import create_app
from fingan.service.audit import begin
from fingan.service.authorities import authority_of
from fingan.service.calls import MOST_TOGETHER, RowsCall
from fingan.service.front import Jobs
from fingan.service.problems import Refused
from fingan.service.sampler import Sampler, device_of
from fingan.service.workbench import Workbench
from fingan.types import Json

APPLICATION = "fingan"
SAMPLER = "sampler"
ATTEMPTS = 4
"""A call whose replica is lost is made again, on another."""

AGAIN_SECONDS = 2
"""Told to those whom Ray Serve itself has no room for."""

_PAUSE_SECONDS = 0.2
_LOST = (ActorDiedError, ActorUnavailableError, RayActorError)
log = logging.getLogger(__name__)


class Replica:
    """A process that makes rows; see `Workbench`.

    Args:
        config: of the service.
    """

    def __init__(self, config: ServiceConfig) -> None:
        from ray.serve import metrics

        from fingan.networks import keep_freed_memory

        keep_freed_memory()
        self._rows = metrics.Counter("fingan_rows_made", description="rows made", tag_keys=("model",))
        own = config.replicas
        sampler = Sampler(Registry(config.registry), own.models, device_of(own))
        self._bench = Workbench(sampler, own.threads, self._note)
        self._lock = threading.Lock()
        self._together: list[int] = []

    async def prepare(self, model: str) -> Json:
        """See `Backend.prepare`."""
        return await self._bench.prepare(model)

    async def marginals(self, model: str) -> Json:
        """See `Backend.marginals`."""
        return await self._bench.marginals(model)

    async def check(self, call: RowsCall) -> Json:
        """See `Backend.check`."""
        return await self._bench.check(call)

    async def rows(self, call: RowsCall) -> tuple[bytes, list[int]]:
        """Return what `Backend.rows` does, and the sizes of forward passes that no front was told yet."""
        made = await self._bench.rows(call)
        self._rows.inc(call.last - call.first, {"model": call.model.partition(":")[0]})
        with self._lock:
            together, self._together = self._together, []
        return made, together

    def _note(self, calls: int) -> None:
        with self._lock:
            self._together.append(calls)

    async def probe(self, model: str) -> int:
        """See `Backend.probe`."""
        return await self._bench.probe(model)

    async def check_health(self) -> None:
        """Make a few rows of every generator in memory; Ray Serve replaces a replica that cannot."""
        await self._bench.probe()


def _ignore(_: int) -> None:
    """Tell nobody."""


class Replicas:
    """The backend that is made of replicas.

    Args:
        handle: of their deployment.
        observe: is told the number of small calls of every forward pass.
    """

    def __init__(self, handle: DeploymentHandle[Any], observe: Callable[[int], None] = _ignore) -> None:
        self._handle, self._observe = handle, observe

    async def prepare(self, model: str) -> Json:
        """See `Backend.prepare`."""
        found: Json = await self._call("prepare", model)
        return found

    async def marginals(self, model: str) -> Json:
        """See `Backend.marginals`."""
        found: Json = await self._call("marginals", model)
        return found

    async def check(self, call: RowsCall) -> Json:
        """See `Backend.check`."""
        found: Json = await self._call("check", call)
        return found

    async def rows(self, call: RowsCall) -> bytes:
        """See `Backend.rows`."""
        made: bytes
        made, together = await self._call("rows", call)
        for calls in together:
            self._observe(calls)
        return made

    async def probe(self, model: str) -> int:
        """See `Backend.probe`."""
        number: int = await self._call("probe", model)
        return number

    async def _call(self, method: str, argument: object) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._made(getattr(self._handle, method).remote(argument))
            except _LOST as error:
                log.warning(
                    "a replica was lost in %s (attempt %d): %s", method, attempt, type(error).__name__
                )
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
            except BackPressureError as error:
                raise busy("too many calls wait for its replicas", AGAIN_SECONDS) from error
            except DeploymentUnavailableError as error:
                raise Refused(503, "overloaded", "no replica is free; ask again", AGAIN_SECONDS) from error
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, FinganError) else error from None
        raise Refused(503, "replica_lost", "the replicas that made these rows were lost; ask again", 5)

    @staticmethod
    async def _made(response: DeploymentResponse[Any]) -> Any:
        try:
            return await response
        except asyncio.CancelledError:
            # Ray Serve lets a replica work on for one who no longer waits.
            response.cancel()
            raise


def is_paced(config: ServiceConfig) -> bool:
    """Tell whether Ray Serve's proxy holds a front back for a slow reader."""
    if config.paced is not None:
        return config.paced
    wanted = ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_THROUGHPUT_OPTIMIZED")
    return all(os.environ.get(name) == "1" for name in wanted)


def replica_calls(config: ServiceConfig) -> int:
    """Return how many calls a replica has in hand: its long ones, its small ones, loading and checks."""
    return config.replicas.threads + 1 + MOST_TOGETHER + 8


def front_requests(config: ServiceConfig) -> int:
    """Return how many requests a front has in hand at most.

    More than it lets in: what is refused is refused by the front, which says why and for how long. Ray Serve
    refuses what is beyond.
    """
    limits = config.limits
    return limits.streams + 2 * limits.queued + config.replicas.most * MOST_TOGETHER + 64


def replicas(config: ServiceConfig) -> Any:
    """Return the deployment of the replicas, bound to its configuration."""
    own = config.replicas
    options: dict[str, Any] = {
        "name": SAMPLER,
        "ray_actor_options": {"num_cpus": own.cpus, "num_gpus": own.gpus},
        "max_ongoing_requests": replica_calls(config),
        # Of each front: all that its gates let through may come at once, and is not refused.
        "max_queued_requests": own.most * replica_calls(config) + config.limits.queued,
        "health_check_period_s": 10,
        "health_check_timeout_s": 60,
        "graceful_shutdown_timeout_s": 30,
        "graceful_shutdown_wait_loop_s": 0.5,
    }
    if own.fewest == own.most:
        options["num_replicas"] = own.most
    else:
        options["autoscaling_config"] = {
            "min_replicas": own.fewest,
            "initial_replicas": max(1, own.fewest),
            "max_replicas": own.most,
            "target_ongoing_requests": own.target,
            "downscale_delay_s": own.idle,
            "upscale_delay_s": 3.0,
        }
    return serve.deployment(**options)(Replica).bind(config)


def application(config: ServiceConfig, jobs: Callable[[], Jobs] | None = None) -> Any:
    """Return the whole service as a Ray Serve application.

    Args:
        config: of the service.
        jobs: makes, in every front, what writes large samples; None for a service without jobs.

    Raises:
        ConfigError: nobody could be let in.
    """
    authority_of(config)

    def front() -> ASGIApp:
        from fingan.service.mirror import Mirrored

        begin()
        handle: DeploymentHandle[Any] = serve.get_deployment_handle(SAMPLER)
        telemetry = Mirrored()
        return create_app(
            config,
            Replicas(handle, telemetry.together),
            authority_of(config),
            paced=is_paced(config),
            telemetry=telemetry,
            jobs=None if jobs is None else jobs(),
        )

    class Front:
        def __init__(self, backend: DeploymentHandle[Any]) -> None:
            # Held so that Ray Serve knows that a front needs the replicas.
            self._backend = backend

    deployed = serve.deployment(
        name="front",
        num_replicas=config.fronts,
        ray_actor_options={"num_cpus": 0.1},
        max_ongoing_requests=front_requests(config),
        # Ray Serve counts a request as queued until it has found a front: a burst is no overload.
        max_queued_requests=front_requests(config),
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=AGAIN_SECONDS),
        graceful_shutdown_timeout_s=60,
        graceful_shutdown_wait_loop_s=0.5,
    )
    return deployed(serve.ingress(front)(Front)).bind(replicas(config))
