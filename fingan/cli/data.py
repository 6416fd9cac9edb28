"""`fingan init` and `fingan check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fingan.cli.console import Console
from fingan.cli.options import (
    Address,
    AsJson,
    ConfigFile,
    Data,
    OpenDashboard,
    Sets,
    Target,
    configuration,
    require_folder,
)
from fingan.errors import ConfigError

if TYPE_CHECKING:
    from fingan.config import Config

Output = Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="configuration")]


def init(
    data: Data,
    target: Target = None,
    output: Output = Path("fingan.yaml"),
    force: Annotated[bool, typer.Option("--force", help="replace files that exist")] = False,
    as_json: AsJson = False,
) -> None:
    """Infer the schema of DATA and write it and an editable configuration."""
    from fingan.config import to_yaml
    from fingan.preparation import infer

    schema_name = "schema.yaml" if output.stem == "fingan" else f"{output.stem}.schema.yaml"
    schema_path = output.with_name(schema_name)
    require_folder(output)
    for path in (output, schema_path):
        if path.exists() and not force:
            raise ConfigError(f"{str(path)!r} exists already; remove it, choose another -o, or give --force")
    config = configuration(None, None, data__target=target, data__schema=schema_path.name)
    schema, rows = infer(data, config)
    _write_all({schema_path: schema.to_yaml(), output: to_yaml(config)})
    kinds = {spec.name: spec.kind for spec in schema.columns}
    values = {"config": str(output), "schema": str(schema_path), "rows": rows, "columns": kinds}
    lines = [f"{rows:,} rows, {len(kinds)} columns"]
    lines += [f"  {name}: {kind}" for name, kind in kinds.items()]
    Console(as_json).result(values, "\n".join([*lines, f"wrote {output} and {schema_path}"]))


def _write_all(texts: dict[Path, str]) -> None:
    """Write all files; a first one that is new goes again where a later one cannot be written."""
    from fingan.files import atomic_write_bytes

    new: list[Path] = []
    try:
        for path, text in texts.items():
            existed = path.exists()
            atomic_write_bytes(path, text.encode())
            new += [] if existed else [path]
    except OSError:
        for path in new:
            path.unlink(missing_ok=True)
        raise


def check(
    data: Annotated[str | None, typer.Argument(metavar="[DATA]", help="table to check")] = None,
    target: Target = None,
    config: ConfigFile = None,
    sets: Sets = None,
    address: Address = None,
    allow_open_dashboard: OpenDashboard = False,
    as_json: AsJson = False,
) -> None:
    """Validate data, configuration and cluster without any work."""
    settings = configuration(config, sets, data__target=target)
    _check_what_it_names(settings)
    found: dict[str, Any] = {"config": "ok"}
    lines = ["configuration: ok"]
    if data is not None:
        from fingan.preparation import inspect

        facts = inspect(data, settings)
        found["data"] = facts
        counts = f"{facts['rows']:,} rows, {facts['columns']} columns, {facts['units']} learned units"
        lines += [f"data: ok, {counts}", *(f"  {note}" for note in facts["notes"])]
    if address is not None:
        from fingan.cluster.check import describe_cluster

        cluster = describe_cluster(address, allow_open_dashboard)
        found["cluster"] = cluster
        lines.append(f"cluster: ok, {', '.join(f'{key} {value}' for key, value in cluster.items())}")
    Console(as_json).result(found, "\n".join(lines))


def _check_what_it_names(settings: Config) -> None:
    """Refuse a schema that cannot be read and a space that cannot be searched, as later commands would."""
    if settings.data.schema_path is not None:
        from fingan.data import TableSchema

        TableSchema.read(settings.data.schema_path)
    if settings.tune.space is not None:
        from fingan.search import SearchSpace

        SearchSpace.of(settings)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(check)
