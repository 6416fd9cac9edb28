"""`fingan sample`."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fingan.cli.console import EXIT_INTERRUPTED, REFRESH_SECONDS, Console, duration
from fingan.cli.options import Address as AddressOption
from fingan.cli.options import AsJson, Model, OpenDashboard, RegistryRoot, Where, conditions
from fingan.cluster.address import Address
from fingan.errors import ConfigError, NotAvailable

if TYPE_CHECKING:
    from fingan.cluster.bulk import PartProgress

Rows = Annotated[int, typer.Option("-n", "--rows", metavar="ROWS", help="how many rows")]
Output = Annotated[
    str, typer.Option("-o", "--output", metavar="OUT", help="OUT.parquet, OUT.csv, OUT.arrow, or OUT/")
]
Threads = Annotated[int | None, typer.Option("--threads", metavar="N", help="file: all cores by default")]
Candidates = Annotated[
    int | None,
    typer.Option(
        "--candidates",
        metavar="N",
        help="rows generated for each one kept; 1 is fastest; as configured in training by default",
    ),
]
Escape = Annotated[
    bool, typer.Option("--escape-formulas", help="CSV: quote texts that a spreadsheet would run")
]
Columns = Annotated[
    str | None, typer.Option("--columns", metavar="COL,COL", help="OUT/: write these; all by default")
]
PartitionRows = Annotated[
    int | None,
    typer.Option("--partition-rows", metavar="N", help="OUT/: rows of a part; a million by default"),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", metavar="N", help="OUT/: parts at a time; all CPUs by default, 0 without Ray"),
]
Verify = Annotated[
    bool, typer.Option("--verify", help="OUT/: compare the parts of an earlier run with their SHA-256")
]


def sample(
    model: Model,
    rows: Rows,
    output: Output,
    where: Where = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="of the sample")] = 0,
    offset: Annotated[int, typer.Option("--offset", metavar="ROW", help="number of the first row")] = 0,
    threads: Threads = None,
    candidates: Candidates = None,
    escape_formulas: Escape = False,
    columns: Columns = None,
    partition_rows: PartitionRows = None,
    workers: Workers = None,
    verify: Verify = False,
    address: AddressOption = None,
    allow_open_dashboard: OpenDashboard = False,
    registry: RegistryRoot = "registry",
    as_json: AsJson = False,
) -> int:
    """Draw ROWS rows from a published generator and write them to OUT.

    An OUT that ends in / is a folder of Parquet parts, made on Ray; the same command continues one
    that was interrupted.
    """
    if rows < 1:
        raise ConfigError(f"-n must be at least 1, got {rows}")
    console = Console(as_json)
    asked = {"seed": seed, "offset": offset, "candidates": candidates}
    ray = {"address": address, "allow_open_dashboard": allow_open_dashboard}
    own = {"workers": workers, "partition_rows": partition_rows, "columns": columns, "verify": verify or None}
    _check_address(address)
    if output.endswith("/"):
        _refuse("is for a single file", threads=threads, escape_formulas=escape_formulas or None)
        return _write_parts(console, registry, model, rows, output, where, {**asked, **ray, **own})
    _refuse("is for a folder of parts: end OUT in /", **own)
    if escape_formulas:
        _check_csv(output)
    if address is not None:
        console.note("a single file is written by this process; --address is for an OUT that ends in /")
    _write_file(console, registry, model, rows, output, where, asked, threads, escape_formulas)
    return 0


def _check_address(address: str | None) -> None:
    if address is not None and Address(address).is_dashboard:
        raise NotAvailable(
            "fingan sample does not submit jobs: run it on a node with --address auto, or use "
            "`ray job submit … -- python -m ray_jobs.sample …`"
        )


def _check_csv(output: str) -> None:
    from fingan.data.location import locate

    if locate(output).format != "csv":
        _refuse("is for CSV: end OUT in .csv or .csv.gz", escape_formulas=True)


def _refuse(reason: str, **options: object) -> None:
    """Refuse options that were given (are not None) and do not fit the kind of output."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(f"--{name.replace('_', '-')} {reason}")


def _write_file(
    console: Console,
    registry: str,
    model: str,
    rows: int,
    output: str,
    where: Sequence[str] | None,
    asked: Mapping[str, Any],
    threads: int | None,
    escape_formulas: bool,
) -> None:
    from fingan.data import open_sink
    from fingan.generator import load
    from fingan.networks import keep_freed_memory
    from fingan.registry import Registry

    store = Registry(registry)
    ref = store.resolve(model)
    generator = load(store.fetch(ref))
    keep_freed_memory()
    count = (os.cpu_count() or 1) if threads is None else threads
    given = conditions(where, generator.schema.names)
    batches = generator.iter_batches(rows, given, threads=count, **asked)
    started = time.monotonic()
    with open_sink(output, generator.schema.arrow(), escape_formulas=escape_formulas) as sink:
        for batch in batches:
            sink.write(batch)
    seconds = time.monotonic() - started
    values = {
        "model": str(ref),
        "rows": rows,
        "offset": asked["offset"],
        "seed": asked["seed"],
        "output": output,
        "seconds": seconds,
    }
    speed = f"{rows / max(seconds, 1e-9):,.0f} rows/s"
    console.result(values, f"wrote {rows:,} rows of {ref} to {output} ({speed})")


def _write_parts(
    console: Console,
    registry: str,
    model: str,
    rows: int,
    place: str,
    where: Sequence[str] | None,
    asked: dict[str, Any],
) -> int:
    from fingan.cluster.bulk import sample_partitions
    from fingan.networks import keep_freed_memory

    keep_freed_memory()
    given = {name: value for name, value in asked.items() if value is not None}
    if "columns" in given:
        given["columns"] = given["columns"].split(",")
    if where:
        given["where"] = conditions(where, _names(registry, model))
    done = sample_partitions(
        registry, model, rows, place, on_progress=_Progress(console), on_stage=console.stage, **given
    )
    request = done.request
    values = {
        "model": f"{request.model}:{request.version}",
        "rows": done.rows,
        "offset": request.offset,
        "seed": request.seed,
        "place": done.place,
        "parts": len(done.parts),
        "bytes": done.bytes,
        "finished": done.finished,
        "made": done.made,
        "seconds": done.seconds,
    }
    speed = f"{done.made / max(done.seconds, 1e-9):,.0f} rows/s"
    parts = f"{len(done.parts):,} part{'s' * (len(done.parts) != 1)}"
    text = f"{done.rows:,} rows of {values['model']} in {parts} in {done.place}"
    if not done.finished:
        console.result(values, f"interrupted with {text}; the same command makes the rest")
        return EXIT_INTERRUPTED
    console.result(values, f"{text}, {done.made:,} of them made now ({speed})")
    return 0


def _names(registry: str, model: str) -> Sequence[str]:
    from fingan.generator import load
    from fingan.registry import Registry

    store = Registry(registry)
    return load(store.fetch(store.resolve(model))).schema.names


class _Progress:
    """Prints how far the parts are, at most every two seconds and at the end."""

    def __init__(self, console: Console) -> None:
        self._console, self._shown = console, 0.0

    def __call__(self, progress: PartProgress) -> None:
        """Print, if it is time."""
        now = time.monotonic()
        if now - self._shown < REFRESH_SECONDS and progress.parts < progress.of:
            return
        self._shown = now
        left = "" if progress.remaining is None else f", {duration(progress.remaining)} left"
        self._console.note(
            f"part {progress.parts:>5,}/{progress.of:<5,} {progress.rows:>13,} rows  "
            f"{progress.rows_per_second:>9,.0f} rows/s{left}"
        )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sample)
