"""`fingan models list|show|verify|alias|rm`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from fingan.cli.console import Console
from fingan.cli.options import AsJson, Model, RegistryRoot, shown
from fingan.errors import ConfigError

models = typer.Typer(help="List, show, verify, alias and remove published models.", no_args_is_help=True)


@models.command("list")
def list_models(registry: RegistryRoot = "registry", as_json: AsJson = False) -> None:
    """List the models with their versions and aliases."""
    from fingan.registry import Registry

    store = Registry(registry)
    found, lines = [], []
    for name in store.names():
        versions, aliases, unreadable = store.versions(name), store.aliases(name), store.unreadable(name)
        found.append({"name": name, "versions": versions, "aliases": aliases, "unreadable": unreadable})
        marks = "".join(f"  {alias} → {version}" for alias, version in aliases.items())
        marks += "".join(f"\n  {problem}" for problem in unreadable.values())
        lines.append(f"{name}  versions {', '.join(map(str, versions))}{marks}")
    text = "\n".join(lines) if lines else f"no models in {shown(registry)}"
    Console(as_json).result({"models": found}, text)


@models.command()
def show(model: Model, registry: RegistryRoot = "registry", as_json: AsJson = False) -> None:
    """Show a version's manifest and metrics."""
    from fingan.registry import Registry

    values = Registry(registry).show(model)
    Console(as_json).result(values, json.dumps(values, indent=2, default=str, ensure_ascii=False))


@models.command()
def verify(model: Model, registry: RegistryRoot = "registry", as_json: AsJson = False) -> None:
    """Check every byte of a version and replay its stored sample."""
    from fingan.generator import load
    from fingan.registry import Registry

    store = Registry(registry)
    ref = store.resolve(model)
    # Fetching and loading each check every byte, where it is stored and where it is read.
    load(store.fetch(ref))
    text = f"{ref}: every file matches and its sample replays"
    Console(as_json).result({"model": str(ref), "verified": True}, text)


@models.command()
def alias(
    name: Annotated[str, typer.Argument(metavar="NAME", help="model")],
    alias: Annotated[str, typer.Argument(metavar="ALIAS", help="such as production")],
    version: Annotated[int | None, typer.Argument(metavar="VERSION", help="version it points at")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="forget the alias")] = False,
    registry: RegistryRoot = "registry",
    as_json: AsJson = False,
) -> None:
    """Let an alias point at a version, or forget it."""
    from fingan.registry import Registry

    if (version is None) != remove:
        raise ConfigError("give a VERSION to set an alias, or --remove to forget it")
    store = Registry(registry)
    if version is None:
        store.remove_alias(name, alias)
        Console(as_json).result({"name": name, "alias": alias, "version": None}, f"forgot {name}:{alias}")
    else:
        store.set_alias(name, alias, version)
        values = {"name": name, "alias": alias, "version": version}
        Console(as_json).result(values, f"{name}:{alias} → version {version}")


@models.command()
def rm(model: Model, registry: RegistryRoot = "registry", as_json: AsJson = False) -> None:
    """Remove one version (NAME:VERSION), or a whole model (NAME); their numbers are not given again."""
    from fingan.registry import Registry

    Registry(registry).remove(model)
    Console(as_json).result({"removed": model}, f"removed {model}")


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    app.add_typer(models, name="models")
