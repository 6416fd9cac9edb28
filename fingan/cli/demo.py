"""`fingan demo`: the whole path on a small real table, checked at its end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fingan.cli.console import EXIT_FAILURE, EXIT_INTERRUPTED, Console, duration
from fingan.cli.evaluate import figures, summary
from fingan.cli.options import AsJson, RegistryRoot, configuration

if TYPE_CHECKING:
    import pyarrow as pa

    from fingan.cluster import Trained
    from fingan.evaluation import Report

HOLDOUT = 0.2
RATE_ROWS = 100_000
RATE_TOLERANCE = 0.10
DETECTION_BOUND = 0.75
SHOWN = ("funded_amnt", "term", "int_rate", "sub_grade", "annual_inc", "emp_length", "Class")


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="where files go")] = Path(),
    workers: Annotated[int, typer.Option("--workers", metavar="N", help="Ray Train workers")] = 2,
    time_budget: Annotated[str, typer.Option("--time-budget", metavar="90s", help="time to train")] = "100s",
    registry: RegistryRoot = "registry",
    as_json: AsJson = False,
) -> int:
    """Train on a real lending table with Ray Train workers, evaluate, publish, sample, serve, report."""
    import pyarrow as pa

    from fingan import cluster
    from fingan.data import LENDING, demo_table_path, read_table, split_rows
    from fingan.evaluation import evaluate

    console, started = Console(as_json), time.monotonic()
    output.mkdir(parents=True, exist_ok=True)
    table = read_table(demo_table_path(LENDING))
    train, held = split_rows(table.num_rows, HOLDOUT, 0, table[LENDING.target].to_numpy())
    real, holdout = table.take(pa.array(train)), table.take(pa.array(held))
    console.note(f"{LENDING.name}: {real.num_rows:,} training rows, {holdout.num_rows:,} held out")
    config = configuration(
        None,
        None,
        data__target=LENDING.target,
        compute__workers=workers,
        training__time_budget=time_budget,
    )
    name = LENDING.name.replace("_", "-")
    trained = cluster.train(real, config, registry, name, on_update=console.update, on_stage=console.stage)
    if trained.interrupted:
        console.result({"name": name, "version": trained.version, "interrupted": True}, "interrupted")
        return EXIT_INTERRUPTED
    generator = trained.generator
    synthetic = generator.sample(real.num_rows, seed=1)
    report = evaluate(
        real,
        synthetic,
        generator.schema,
        holdout=holdout,
        target=LENDING.target,
        seed=0,
        progress=lambda section: console.stage(f"measuring {section}"),
    )
    report.to_html(output / "report.html")
    _write(output / "synthetic.parquet", synthetic)
    console.stage("sampling over HTTP")
    checks = _checks(trained, real, report) | {"served": _served(trained, registry, synthetic)}
    _show(console, trained, report, checks, output, time.monotonic() - started)
    bad = [check["message"] for check in checks.values() if not check["passed"]]
    for message in bad:
        console.note(f"error: the demo's result is not good enough: {message}")
    return EXIT_FAILURE if bad else 0


def _write(path: Path, table: pa.Table) -> None:
    from fingan.data import open_sink

    with open_sink(path, table.schema) as sink:
        for batch in table.to_batches():
            sink.write(batch)


def _checks(trained: Trained, real: pa.Table, report: Report) -> dict[str, Any]:
    """Return the demo's checks of its own result."""
    import pyarrow.compute as pc

    from fingan.data import LENDING

    def rate(table: pa.Table) -> float:
        return float(pc.mean(pc.equal(table[LENDING.target], LENDING.positive).cast("double")).as_py())

    truth, drawn = rate(real), rate(trained.generator.sample(RATE_ROWS, seed=2))
    auc = report["detection_auc"].value
    error = abs(drawn / truth - 1.0)
    return {
        "class_rate": {
            "passed": error <= RATE_TOLERANCE,
            "value": drawn,
            "message": f"rate of {LENDING.positive!r}: {drawn:.2%} generated, {truth:.2%} real "
            "(bound: 10 % apart)",
        },
        "detection": {
            "passed": auc <= DETECTION_BOUND,
            "value": auc,
            "message": f"detection AUC {auc:.3f} (bound: {DETECTION_BOUND}; "
            ".5 cannot be told apart, 1 always)",
        },
    }


def _served(trained: Trained, registry: str, wanted: pa.Table) -> dict[str, Any]:
    """Check that a service gives the rows over HTTP that the generator gave in this process."""
    from fingan.cli.serve import service_configuration
    from fingan.client import Client
    from fingan.service.identity import OneToken, new_token
    from fingan.service.local import OWNER, background

    token, config = new_token(), service_configuration(None, None, registry, 0)
    with background(config, OneToken(token, OWNER)) as url:
        started = time.monotonic()
        reader = Client(url, token).reader(f"{trained.name}:{trained.version}", wanted.num_rows, seed=1)
        same, seconds = reader.read_all().equals(wanted), time.monotonic() - started
    rate = wanted.num_rows / seconds
    told = f"{wanted.num_rows:,} rows over HTTP, {rate:,.0f} a second: "
    return {
        "passed": same,
        "value": rate,
        "message": told + ("those of this process" if same else "others than those of this process"),
    }


def _show(
    console: Console, trained: Trained, report: Report, checks: dict[str, Any], output: Path, seconds: float
) -> None:
    generator = trained.generator

    def rows(where: dict[str, str] | None, seed: int) -> str:
        return str(generator.sample(5, where, seed).select(list(SHOWN)).to_pandas().to_string(index=False))

    lines = [
        summary(report),
        f"\nfive generated rows:\n{rows(None, 3)}",
        f"\nfive more, given Class = bad:\n{rows({'Class': 'bad'}, 4)}\n",
        *(f"{'ok    ' if c['passed'] else 'FAILED'} {c['message']}" for c in checks.values()),
        f"published {trained.name}:{trained.version}; "
        f"wrote {output / 'report.html'} and {output / 'synthetic.parquet'}",
        f"in {duration(seconds)}",
    ]
    values = {"name": trained.name, "version": trained.version, "checks": checks, "seconds": seconds}
    console.result({**figures(report), **values}, "\n".join(lines))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)
