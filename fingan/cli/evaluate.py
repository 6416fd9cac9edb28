"""`fingan evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fingan.cli.console import EXIT_GATE, Console
from fingan.cli.options import AsJson, Model, RegistryRoot, require_folder

if TYPE_CHECKING:
    from fingan.evaluation import Report

Real = Annotated[str, typer.Option("--real", metavar="TRAIN", help="the rows it was trained on")]
Holdout = Annotated[str | None, typer.Option("--holdout", metavar="TEST", help="real rows that it never saw")]
Output = Annotated[Path | None, typer.Option("-o", "--output", metavar="REPORT.html", help="HTML report")]
ReportJson = Annotated[Path | None, typer.Option("--report-json", metavar="REPORT.json", help="figures")]
Gate = Annotated[Path | None, typer.Option("--gate", metavar="GATES.yaml", help="figures it must meet")]


def evaluate(
    model: Model,
    real: Real,
    holdout: Holdout = None,
    output: Output = None,
    report_json: ReportJson = None,
    gate: Gate = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="of the sample and the metrics")] = 0,
    registry: RegistryRoot = "registry",
    as_json: AsJson = False,
) -> int:
    """Measure a published generator against real rows."""
    from fingan.data import read_conformed
    from fingan.evaluation import evaluate as measure
    from fingan.evaluation import read_gates
    from fingan.generator import load
    from fingan.registry import Registry

    require_folder(output, report_json)
    rules = None if gate is None else read_gates(gate)
    store, console = Registry(registry), Console(as_json)
    ref = store.resolve(model)
    generator = load(store.fetch(ref))
    schema, data = generator.schema, generator.config.data
    train = read_conformed(real, schema)
    held = None if holdout is None else read_conformed(holdout, schema)
    console.stage(f"sampling {train.num_rows:,} rows of {ref}")
    report = measure(
        train,
        generator.sample(train.num_rows, seed=seed),
        schema,
        holdout=held,
        target=data.target,
        constraints=data.constraints,
        seed=seed,
        progress=lambda section: console.stage(f"measuring {section}"),
    )
    if output is not None:
        report.to_html(output)
    if report_json is not None:
        report.to_json(report_json)
    failures = [] if rules is None else report.gate(rules)
    messages = [failure.message for failure in failures]
    console.result({"model": str(ref), **figures(report), "gate_failures": messages}, summary(report))
    for message in messages:
        console.note(f"gate failed: {message}")
    return EXIT_GATE if failures else 0


def figures(report: Report) -> dict[str, Any]:
    """Return the report's figures as plain values, without the counts behind its charts."""
    values: dict[str, Any] = report.to_dict()
    values.pop("charts")
    return values


def summary(report: Report) -> str:
    """Return the metrics as lines of text, each with its reference."""
    lines = []
    for metric in report.metrics:
        reference = "" if metric.reference is None else f"   real against real {metric.reference:.4g}"
        lines.append(f"{metric.name:<28} {metric.value:>10.4g}{reference}")
    return "\n".join(lines)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)
