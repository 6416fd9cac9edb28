"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fingan.errors import ConfigError

if TYPE_CHECKING:
    from fingan.config import Config

Data = Annotated[str, typer.Argument(metavar="DATA", help="table: CSV, Parquet or Arrow, path or URL")]
Target = Annotated[str | None, typer.Option("--target", metavar="COL", help="label column")]
ConfigFile = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="fingan.yaml")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", metavar="a.b=c", help="set a configuration key (repeatable)")
]
RegistryRoot = Annotated[str, typer.Option("--registry", metavar="DIR_OR_URL", help="where models are kept")]
AsJson = Annotated[
    bool, typer.Option("--json", help="print one JSON object; progress goes to standard error")
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="everything random is a function of it")
]
Address = Annotated[str | None, typer.Option("--address", metavar="RAY", help="auto, host:port or http://…")]
OpenDashboard = Annotated[
    bool,
    typer.Option("--allow-open-dashboard", help="with --address: accept a dashboard without a token"),
]
Model = Annotated[str, typer.Argument(metavar="NAME[:VERSION]", help="model, with a version or alias")]
Where = Annotated[
    list[str] | None, typer.Option("--where", metavar="COL=VALUE", help="give a column its value")
]


def configuration(path: Path | None, sets: Sequence[str] | None, **given: Any) -> Config:
    """Return the configuration of a command: the file, then `--set`, then its own options.

    Args:
        path: of the file; the defaults when None.
        sets: `section.key=value` texts.
        given: values of options by key, `__` for the dot; None is an option that was not given.

    Raises:
        ConfigError: an unreadable file, an unknown key (with the nearest known one), a bad value.
    """
    from fingan.config import load

    # As overrides, all at once: a rule over two keys must not see one without the other.
    own = [f"{k.replace('__', '.')}={as_yaml(v)}" for k, v in given.items() if v is not None]
    return load(path, [*(sets or []), *own])


def as_yaml(value: Any) -> str:
    """Return a value as ASCII text that YAML reads as just that.

    JSON's own escapes part a letter beyond 16 bits in two, which YAML does not put together again.
    """
    text = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter < "\x7f" else f"\\U{ord(letter):08x}" for letter in text)


def shown(place: str) -> str:
    """Return a path, URL or other word as it may be told: a URL without user, password and query."""
    if "://" not in place:
        return place
    from fingan.data.location import redact

    return redact(place)


def conditions(texts: Sequence[str] | None, names: Iterable[str]) -> dict[str, str] | None:
    """Read `COL=VALUE` texts; the first `=` parts them, unless that makes no column and a later one does.

    Args:
        texts: as given on the command line.
        names: the model's columns.

    Raises:
        ConfigError: a text without `=`, or a column given twice.
    """
    if not texts:
        return None
    known, found = set(names), dict[str, str]()
    for text in texts:
        places = [place for place, sign in enumerate(text) if sign == "="]
        if not places:
            raise ConfigError(f"cannot read --where {text!r}; write COLUMN=VALUE")
        place = next((p for p in places if text[:p] in known), places[0])
        column = text[:place]
        if column in found:
            raise ConfigError(f"--where gives column {column!r} twice")
        found[column] = text[place + 1 :]
    return found


def require_folder(*paths: Path | None) -> None:
    """Refuse, before any work, a file in a folder that is not there.

    Raises:
        ConfigError: names the folder.
    """
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise ConfigError(f"there is no folder {str(path.parent)!r}; make it first")
        if path is not None and path.is_dir():
            raise ConfigError(f"{str(path)!r} is a folder; name a file in it")
