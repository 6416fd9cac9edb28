"""`fingan serve`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fingan.cli.console import Console
from fingan.cli.options import AsJson, as_yaml, shown

if TYPE_CHECKING:
    from fingan.config import ServiceConfig
    from fingan.service.calls import Backend
    from fingan.service.jobs import JobBook
    from fingan.service.telemetry import Prometheus

Host = Annotated[str, typer.Option("--host", metavar="HOST", help="address to listen on")]
Port = Annotated[int, typer.Option("--port", metavar="PORT", min=0, max=65535, help="0 takes a free one")]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="hashed tokens; else FINGAN_TOKEN_FILE")
]
NoAuth = Annotated[bool, typer.Option("--no-auth", help="let everybody in; on loopback only")]
AddToken = Annotated[
    str | None,
    typer.Option("--add-token", metavar="NAME", help="add a token to --token-file, print it once, and end"),
]
Replicas = Annotated[
    int | None,
    typer.Option(
        "--replicas",
        metavar="N",
        min=0,
        help="processes that make rows, 0: this one, without Ray; else as --config says, or 1",
    ),
]
Root = Annotated[
    str | None,
    typer.Option(
        "--registry", metavar="DIR_OR_URL", help="where models are kept; else as --config says, or 'registry'"
    ),
]
ServiceFile = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="configuration of the service, YAML")
]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="a.b=c", help="set a configuration key (repeatable)")
]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token_file: TokenFile = None,
    no_auth: NoAuth = False,
    add_token: AddToken = None,
    replicas: Replicas = None,
    config: ServiceFile = None,
    sets: Sets = None,
    registry: Root = None,
    as_json: AsJson = False,
) -> None:
    """Serve the registry's generators over HTTP on this machine, with a page at /."""
    from fingan.service import identity

    console = Console(as_json)
    if add_token is not None:
        _add(console, add_token, token_file or os.environ.get(identity.TOKEN_FILE_VARIABLE))
        return
    from fingan.service.local import authority, run
    from fingan.service.telemetry import Prometheus

    settings = service_configuration(config, sets, registry, replicas)
    known = authority(host, settings.auth, token_file, no_auth, console.note)
    telemetry = Prometheus()
    with _backend(settings, replicas, telemetry, console) as backend, _jobs(settings, replicas) as jobs:
        run(settings, backend, host, port, known, telemetry, jobs, lambda url: _ready(console, url, settings))


def service_configuration(
    path: Path | None, sets: list[str] | None, registry: str | None, replicas: int | None
) -> ServiceConfig:
    """Return the configuration of a service on this machine: the file, then given options, then `--set`.

    Args:
        path: of the file; None for none.
        sets: `section.key=value` texts.
        registry: where models are kept; None as the file says, or `registry`.
        replicas: processes that make rows; None as the file says, or 1.
    """
    from fingan.config import load_service
    from fingan.registry import is_url

    own = []
    if registry is None and path is None:
        registry = "registry"
    if registry is not None:
        place = registry if is_url(registry) else str(Path(registry).absolute())
        own.append(f"registry={as_yaml(place)}")
    if replicas is not None:
        # A number that is given holds; scaling on load is for clusters.
        own += [f"replicas.fewest={max(replicas, 1)}", f"replicas.most={max(replicas, 1)}"]
    return load_service(path, [*own, *(sets or [])])


@contextmanager
def _backend(
    settings: ServiceConfig, replicas: int | None, telemetry: Prometheus, console: Console
) -> Iterator[Backend]:
    from fingan.service import local

    if replicas == 0:
        with local.in_process(settings, telemetry) as backend:
            yield backend
        return
    from fingan.cluster.session import ray_session
    from fingan.config import ComputeConfig

    console.stage("starting the replicas")
    # One more for every job: they must not wait for replicas that never end.
    own = settings.replicas
    compute = ComputeConfig(workers=own.most * max(1, round(own.cpus)) + settings.limits.jobs)
    with (
        ray_session(compute, more_gpus=own.most * own.gpus) as session,
        local.on_ray(settings, session.own, telemetry) as backend,
    ):
        yield backend


@contextmanager
def _jobs(settings: ServiceConfig, replicas: int | None) -> Iterator[JobBook]:
    """Give the jobs of the service; those at work stop at the end, to be taken up by the next one."""
    from fingan.cluster.bulk import JobWriter
    from fingan.service.jobs import JobBook

    book = JobBook.of(settings, JobWriter(settings.registry, workers=0 if replicas == 0 else 1))
    try:
        yield book
    finally:
        book.close()


def _ready(console: Console, url: str, settings: ServiceConfig) -> None:
    registry = shown(settings.registry)
    values: dict[str, Any] = {"url": url, "registry": registry, "pid": os.getpid()}
    console.result(values, f"serving {registry} at {url} (Ctrl-C ends it)")


def _add(console: Console, name: str, place: Path | str | None) -> None:
    from fingan.errors import ConfigError
    from fingan.service.identity import add_token

    if place is None:
        raise ConfigError("--add-token needs --token-file FILE to add the token to")
    token = add_token(Path(place), name)
    console.note(f"added {name!r} to {place}; the token is shown this once:")
    console.result({"name": name, "token": token, "token_file": str(place)}, token)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)
