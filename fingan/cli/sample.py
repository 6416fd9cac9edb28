"""`fingan sample`."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from fingan.cli.console import Console
from fingan.cli.options import AsJson, Model, RegistryRoot, Where, conditions
from fingan.errors import ConfigError

Rows = Annotated[int, typer.Option("-n", "--rows", metavar="ROWS", help="how many rows")]
Output = Annotated[
    str, typer.Option("-o", "--output", metavar="OUT", help="OUT.parquet, OUT.csv or OUT.arrow")
]
Threads = Annotated[int | None, typer.Option("--threads", metavar="N", help="all cores by default")]
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
    registry: RegistryRoot = "registry",
    as_json: AsJson = False,
) -> None:
    """Draw ROWS rows from a published generator and write them to OUT."""
    if rows < 1:
        raise ConfigError(f"-n must be at least 1, got {rows}")
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
    batches = generator.iter_batches(rows, given, seed, offset, count, candidates)
    started = time.monotonic()
    with open_sink(output, generator.schema.arrow(), escape_formulas=escape_formulas) as sink:
        for batch in batches:
            sink.write(batch)
    seconds = time.monotonic() - started
    values = {
        "model": str(ref),
        "rows": rows,
        "offset": offset,
        "seed": seed,
        "output": output,
        "seconds": seconds,
    }
    speed = f"{rows / max(seconds, 1e-9):,.0f} rows/s"
    Console(as_json).result(values, f"wrote {rows:,} rows of {ref} to {output} ({speed})")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sample)
