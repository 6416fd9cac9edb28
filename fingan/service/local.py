"""The service on one machine: an HTTP server of our own before replicas on Ray Serve, or in this process.

The server stops taking from an answer while its reader takes nothing (uvicorn waits for the socket
to drain), so a slow reader holds back what is made for it, and nothing piles up anywhere. What uvicorn
does not bound, `connection` does.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from fingan.config import AuthConfig, LimitsConfig, ServiceConfig
from fingan.errors import ConfigError, FinganError
from fingan.registry import Registry
from fingan.service.app import create_app
from fingan.service.audit import audited
from fingan.service.authorities import configured
from fingan.service.calls import Backend
from fingan.service.connection import connection_of
from fingan.service.front import Jobs
from fingan.service.guard import HEAD_BYTES
from fingan.service.identity import (
    Authority,
    Caller,
    OneToken,
    new_token,
    write_private,
)
from fingan.service.sampler import Sampler, device_of
from fingan.service.telemetry import Prometheus
from fingan.service.workbench import Workbench

DRAIN_SECONDS = 30
"""Answers under way may end after the service was asked to."""

START_SECONDS = 60

OWNER = Caller("owner")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def own_token_place() -> Path:
    """Return where the service keeps a token that it made itself."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "fingan" / "token"


def authority(
    host: str, auth: AuthConfig, token_file: Path | None, no_auth: bool, say: Callable[[str], None]
) -> Authority | None:
    """Return who knows callers; None lets everybody in.

    Where nothing is configured a token is made, or taken again from where an earlier service left it.

    Args:
        host: that the service listens on.
        auth: token file and identity provider, as configured.
        token_file: of hashed tokens, instead of the configured one.
        no_auth: let everybody in.
        say: is told where the token lies.

    Raises:
        ConfigError: everybody would be let in from elsewhere, or a file that cannot be used.
    """
    if no_auth or not auth.required:
        if not is_loopback(host):
            raise ConfigError(
                f"{'--no-auth' if no_auth else 'auth.required: false'} would let everybody in who reaches "
                f"{host!r}; listen on 127.0.0.1, or take it out and give a --token-file"
            )
        return None
    known = configured(auth, token_file)
    if known is not None:
        return known
    place = own_token_place()
    try:
        token = place.read_text(encoding="ascii").strip() if place.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the token {str(place)!r}; remove it, or give a --token-file"
        ) from error
    if not token:
        token = new_token()
        write_private(place, token + "\n")
    place.chmod(0o600)
    say(f'token in {place}; clients: export FINGAN_TOKEN="$(cat {place})"')
    return OneToken(token, OWNER)


@contextmanager
def in_process(config: ServiceConfig, telemetry: Prometheus) -> Iterator[Backend]:
    """Give a backend in this process, without Ray."""
    own = config.replicas
    sampler = Sampler(Registry(config.registry), own.models, device_of(own))
    bench = Workbench(sampler, own.threads, telemetry.together)
    try:
        yield bench
    finally:
        bench.close()


@contextmanager
def on_ray(config: ServiceConfig, own: bool, telemetry: Prometheus) -> Iterator[Backend]:
    """Give a backend of Ray Serve replicas on the Ray that this process is connected to, without a proxy.

    Args:
        config: of the service.
        own: whether that Ray ends with this process, and the replicas with it.
        telemetry: counts.

    Raises:
        FinganError: the replicas do not start.
    """
    from ray import serve

    from fingan.service.deployment import APPLICATION, Replicas, replicas

    # Ray Serve reports every step of its own; what matters comes as warnings.
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    serve.start(proxy_location="Disabled")
    try:
        handle = serve.run(replicas(config), name=APPLICATION, route_prefix=None)
    except (RuntimeError, TimeoutError) as error:
        raise FinganError(f"the replicas do not start: {error}") from error
    try:
        yield Replicas(handle, telemetry.together)
    finally:
        if not own:
            serve.shutdown()


def run(
    config: ServiceConfig,
    backend: Backend,
    host: str,
    port: int,
    known: Authority | None,
    telemetry: Prometheus,
    jobs: Jobs | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Answer HTTP until the process is asked to end; answers under way may then end first.

    Args:
        config: of the service.
        backend: makes the rows.
        host, port: to listen on; port 0 takes a free one.
        known: knows callers; None lets everybody in.
        telemetry: counts.
        jobs: writes large samples.
        ready: is told the address once the service listens.

    Raises:
        ConfigError: nobody can listen there.
    """
    app = create_app(config, backend, known, paced=True, telemetry=telemetry, jobs=jobs)
    server = _Server(settings(app, host, port, config.limits), ready)
    with audited(), _listening(host, port) as own:
        server.run(sockets=[own])


@contextmanager
def background(config: ServiceConfig, known: Authority) -> Iterator[str]:
    """Give the address of a service in this process, on a free port of loopback, while inside.

    Args:
        config: of the service.
        known: knows callers.
    """
    telemetry, address = Prometheus(), Future[str]()
    with in_process(config, telemetry) as backend, _listening("127.0.0.1", 0) as own:
        app = create_app(config, backend, known, paced=True, telemetry=telemetry)
        server = _Server(settings(app, "127.0.0.1", 0, config.limits), address.set_result)
        thread = threading.Thread(target=server.run, args=([own],), name="service", daemon=True)
        thread.start()
        try:
            yield address.result(START_SECONDS)
        finally:
            server.should_exit = True
            thread.join()


def settings(app: ASGIApp, host: str, port: int, limits: LimitsConfig) -> uvicorn.Config:
    """Return the settings of the HTTP server."""
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        # The other parser, which uvicorn prefers where it is installed, knows no limit of headers.
        http=connection_of(limits),
        h11_max_incomplete_event_size=HEAD_BYTES,
        ws="none",
    )


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._ready is not None and self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            self._ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    own = socket.socket(family, socket.SOCK_STREAM)
    try:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            own.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}:{port}: {error.strerror or error}; choose another --host or --port"
            ) from error
        yield own
    finally:
        own.close()
