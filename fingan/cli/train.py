"""`fingan train`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fingan.cli.console import EXIT_INTERRUPTED, Console, fail
from fingan.cli.options import (
    Address as AddressOption,
)
from fingan.cli.options import (
    AsJson,
    ConfigFile,
    Data,
    OpenDashboard,
    RegistryRoot,
    Seed,
    Sets,
    Target,
    configuration,
    shown,
)
from fingan.cluster.address import Address
from fingan.errors import FinganError, NotAvailable

if TYPE_CHECKING:
    from fingan.cluster.jobs import TrainingJob

Name = Annotated[str | None, typer.Option("--name", help="model; the data file's stem by default")]
Kind = Annotated[str | None, typer.Option("--kind", help="table (series come later)")]
Workers = Annotated[
    int | None, typer.Option("--workers", metavar="N", help="Ray Train workers; 0 trains here, without Ray")
]
Budget = Annotated[str | None, typer.Option("--time-budget", metavar="10m", help="time to train")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="continue this name's newest unfinished run, with its own configuration"),
]


def train(
    data: Data,
    target: Target = None,
    name: Name = None,
    kind: Kind = None,
    config: ConfigFile = None,
    sets: Sets = None,
    workers: Workers = None,
    time_budget: Budget = None,
    seed: Seed = None,
    resume: Resume = False,
    registry: RegistryRoot = "registry",
    address: AddressOption = None,
    allow_open_dashboard: OpenDashboard = False,
    as_json: AsJson = False,
) -> int:
    """Train a generator on DATA with Ray Train workers and publish it.

    Ctrl-C keeps and publishes the best generator so far.
    """
    if kind == "series":
        raise NotAvailable("price series (--kind series) are not available yet; tables are")
    settings = configuration(
        config,
        sets,
        kind=kind,
        data__target=target,
        compute__workers=workers,
        training__time_budget=time_budget,
        seed=seed,
    )
    console = Console(as_json)
    place = None if address is None else Address(address)
    if place is not None and place.is_dashboard:
        from fingan.cluster.jobs import TrainingJob

        job = TrainingJob(data, settings, registry, name, resume)
        return submit_job(console, job, place, allow_open_dashboard)
    from fingan import cluster

    trained = cluster.train(
        data, settings, registry, name, resume, console.update, console.stage, address, allow_open_dashboard
    )
    metrics = trained.generator.metrics
    values = {
        "name": trained.name,
        "version": trained.version,
        "interrupted": trained.interrupted,
        "registry": shown(registry),
        **metrics,
    }
    training = metrics["training"]
    text = (
        f"published {trained.name}:{trained.version} after {training['steps']:,} steps "
        f"in {training['seconds']:.0f} s ({training['rows_per_second']:,.0f} rows/s, "
        f"stopped by: {training['stopped_by']})"
    )
    console.result(values, text)
    return EXIT_INTERRUPTED if trained.interrupted else 0


def submit_job(console: Console, training: TrainingJob, place: Address, allow_open_dashboard: bool) -> int:
    """Run the command as a job; return the job's exit code."""
    from fingan.cluster.jobs import submit

    arguments, files = training.command(as_json=console.as_json, allow_open_dashboard=allow_open_dashboard)
    done = submit(arguments, files, place, console.note, console.stage, allow_open_dashboard)
    said = f"job {done.job} ended with exit code {done.exit_code}"
    if console.as_json and done.told is None:
        # Killed, or out of memory: the job could not tell of its own end.
        fail(f"{said}: {done.last_line}", FinganError.__name__, as_json=True)
    else:
        console.result(done.told or {}, said)
    return done.exit_code


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(train)
