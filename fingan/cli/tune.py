"""`fingan tune`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from fingan.cli.console import EXIT_FAILURE, EXIT_INTERRUPTED, Console
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
    require_folder,
    shown,
)
from fingan.cli.train import Kind, Name, Workers, submit_job
from fingan.cli.trials import LiveTable, finalists_table
from fingan.cluster.address import Address
from fingan.errors import ConfigError, NotAvailable
from fingan.files import atomic_write_bytes

if TYPE_CHECKING:
    from fingan.cluster.tuning import Tuned
    from fingan.config import Scalar

Trials = Annotated[int | None, typer.Option("--trials", metavar="N", help="settings to try")]
Budget = Annotated[
    str | None,
    typer.Option("--time-budget", metavar="1h", help="time to try settings, without the training"),
]
TrialBudget = Annotated[
    str | None, typer.Option("--trial-budget", metavar="60s", help="training of one trial")
]
Resume = Annotated[bool, typer.Option("--resume", help="continue this name's newest unfinished search")]
Warm = Annotated[
    list[str] | None,
    typer.Option(
        "--warm-start",
        metavar="FILE|NAME",
        help="begin with the best settings of an earlier search: its record.json, or a model of it",
    ),
]
Page = Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="the report, as HTML")]
PageJson = Annotated[Path | None, typer.Option("--report-json", metavar="FILE", help="the record, as JSON")]


def tune(
    context: typer.Context,
    data: Data,
    target: Target = None,
    name: Name = None,
    kind: Kind = None,
    config: ConfigFile = None,
    sets: Sets = None,
    workers: Workers = None,
    trials: Trials = None,
    time_budget: Budget = None,
    trial_budget: TrialBudget = None,
    seed: Seed = None,
    resume: Resume = False,
    warm_start: Warm = None,
    output: Page = None,
    report_json: PageJson = None,
    registry: RegistryRoot = "registry",
    address: AddressOption = None,
    allow_open_dashboard: OpenDashboard = False,
    as_json: AsJson = False,
) -> int:
    """Search for a setting that works every time, then train with it; Ctrl-C keeps what is known."""
    if kind == "series":
        raise NotAvailable("price series (--kind series) are not available yet; tables are")
    settings = configuration(
        config,
        sets,
        kind=kind,
        data__target=target,
        compute__workers=workers,
        tune__trials=trials,
        tune__time_budget=time_budget,
        tune__trial_budget=trial_budget,
        seed=seed,
    )
    require_folder(output, report_json)
    first = _first(warm_start or [], registry)
    console, place = Console(as_json), None if address is None else Address(address)
    if place is not None and place.is_dashboard:
        from fingan.cluster.jobs import TrainingJob

        _refuse_copies(output, report_json)
        job = TrainingJob(data, settings, registry, name, resume, "tune", first)
        return submit_job(console, job, place, allow_open_dashboard)
    from fingan.cluster.tuning import Listener
    from fingan.cluster.tuning import tune as search

    command = shlex.join(["fingan", *map(shown, context.obj)])
    with _Copies(console, output, report_json) as copies:
        with LiveTable(console) as live:
            tell = Listener(live.trials, console.stage, live.update, copies.found)
            tuned = search(
                data, settings, registry, name, resume, first, tell, address, allow_open_dashboard, command
            )
        copies.found(tuned.folder)
        _tell(console, tuned, registry)
    if copies.failed:
        return EXIT_FAILURE
    return EXIT_INTERRUPTED if tuned.interrupted else 0


class _Copies:
    """Report and record where the user wants them; they are needed most where the search fails."""

    def __init__(self, console: Console, page: Path | None, record: Path | None) -> None:
        self._console, self._wanted = console, {"search.html": page, "record.json": record}
        self._folder: Path | None = None
        self.failed = False

    def found(self, folder: Path) -> None:
        """Learn where the originals lie."""
        self._folder = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for name, copy in self._wanted.items():
            original = None if self._folder is None else self._folder / name
            if copy is None or original is None or not original.is_file():
                continue
            try:
                atomic_write_bytes(copy, original.read_bytes())
            except OSError as error:
                self.failed = True
                reason = error.strerror or type(error).__name__
                self._console.note(f"error: cannot write {str(copy)!r}: {reason}; copy {str(original)!r}")


def _refuse_copies(*paths: Path | None) -> None:
    if any(path is not None for path in paths):
        raise ConfigError(
            "the report of a search that runs as a job lies beside its trials, in the registry's .runs; "
            "leave out -o and --report-json, or join the cluster with --address host:port"
        )


def _first(sources: Sequence[str], registry: str) -> list[dict[str, Scalar]]:
    """Return the settings of earlier searches, those of the first source first."""
    from fingan.registry import Registry
    from fingan.search import Record, read_settings, settings_of

    found = []
    for source in sources:
        path = Path(source)
        if path.suffix == ".json" or path.is_file():
            found += read_settings(path)
            continue
        record = (Registry(registry).show(source)["metrics"] or {}).get("search")
        if record is None:
            raise ConfigError(
                f"--warm-start {source!r}: that model was not published by a search; name one that was, "
                "or the record.json of a search"
            )
        try:
            found += settings_of(Record.of_json(record))
        except ConfigError as error:
            raise ConfigError(f"--warm-start {source!r}: {error}") from error
    return found


def _tell(console: Console, tuned: Tuned, registry: str) -> None:
    record = tuned.record
    values: dict[str, Any] = {
        "name": tuned.name,
        "version": tuned.version,
        "interrupted": tuned.interrupted,
        "registry": shown(registry),
        "winner": record.winner,
        "finalists": list(record.finalists),
        "trials": len(record.trials),
        "seconds": record.seconds,
        "cpu_seconds": record.cpu_seconds,
        "report": str(tuned.folder / "search.html"),
        "record": str(tuned.folder / "record.json"),
    }
    lines = [finalists_table(record)] if record.finalists else []
    lines.append(_outcome(tuned))
    lines.append(f"the report is {tuned.folder / 'search.html'}")
    console.result(values, "\n".join(lines))


def _outcome(tuned: Tuned) -> str:
    if tuned.version is None:
        return "stopped early; --resume goes on from here"
    published = f"published {tuned.name}:{tuned.version} with the first of these settings"
    if not tuned.interrupted:
        return published
    more = "nothing was left to do" if tuned.record.status == "finished" else "--resume trains it to its end"
    return f"{published}, interrupted; {more}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(tune)
