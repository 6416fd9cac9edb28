"""The grammar of names: what may become part of a path or of a URL is checked here first."""

from __future__ import annotations

import re
from typing import NamedTuple

from fingan.errors import ConfigError

LATEST = "latest"
"""The reserved alias of a model's newest version."""

FILE_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}\.(json|md|safetensors)$"
"""What a file of a bundle may be called; no dots but one, no separators."""

VERSION = re.compile(r"[1-9][0-9]{0,8}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_RULE = "1 to 64 of a-z, 0-9, '.', '_', '-', beginning with a letter or digit"


class Ref(NamedTuple):
    """One version of one model."""

    name: str
    version: int

    def __str__(self) -> str:
        return f"{self.name}:{self.version}"


def is_name(text: str) -> bool:
    """Tell whether `text` matches the grammar of names."""
    return _NAME.fullmatch(text) is not None


def check_name(name: str) -> str:
    """Return `name` if it may name a model.

    Raises:
        ConfigError: it does not match `[a-z0-9][a-z0-9._-]{0,63}`.
    """
    if not is_name(name):
        raise ConfigError(f"{name[:80]!r} cannot name a model: use {_RULE}.")
    return name


def check_alias(alias: str) -> str:
    """Return `alias` if it may name a version of a model.

    Raises:
        ConfigError: it does not match the grammar of names, is `latest`, or is a number.
    """
    if not is_name(alias) or alias == LATEST or alias.isdecimal():
        raise ConfigError(f"{alias[:80]!r} cannot be an alias: use {_RULE}; not a number, not {LATEST!r}.")
    return alias


def split_reference(reference: str) -> tuple[str, str]:
    """Split `name`, `name:version` or `name:alias` into the name and the rest (`latest` if none).

    Raises:
        ConfigError: either part is malformed.
    """
    name, colon, selector = reference.partition(":")
    check_name(name)
    if not colon or selector == LATEST:
        return name, LATEST
    if VERSION.fullmatch(selector) is None:
        check_alias(selector)
    return name, selector
