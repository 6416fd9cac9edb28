"""Who asks: bearer tokens, known by their hashes only, and what each of them may do.

A token is 256 random bits, so a plain SHA-256 of it tells nothing and needs no salt (unlike a
password's). The file can be changed while the service runs: it is read again when it changes, and
a file that cannot be read then leaves the tokens as they were.

    tokens:
      - name: analytics
        sha256: 5e88489…
        models: [loans]            # all, where it is left out
        rows_per_minute: 5000000   # the service's default, where it is left out
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Protocol

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fingan.config import read_yaml
from fingan.errors import ConfigError
from fingan.files import atomic_path

TOKEN_FILE_VARIABLE = "FINGAN_TOKEN_FILE"
LOOK_SECONDS = 2.0
"""A changed file is noticed after so long."""

_PREFIX = "fingan_"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: for logs and quotas.
        models: the models that the caller may use; None for all.
        rows_per_minute: the caller's own quota; None for the service's.
    """

    name: str
    models: frozenset[str] | None = None
    rows_per_minute: int | None = None

    def may_use(self, model: str) -> bool:
        """Tell whether a model, by its bare name, is there for this caller."""
        return self.models is None or model in self.models


ANYBODY = Caller("anybody")


class Authority(Protocol):
    """Knows callers by their tokens."""

    async def caller(self, token: str) -> Caller | None:
        """Return who a token belongs to; None where it is nobody's."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    models: list[str] | None = None
    rows_per_minute: Annotated[int, Field(ge=1)] | None = None

    def caller(self) -> Caller:
        models = None if self.models is None else frozenset(self.models)
        return Caller(self.name, models, self.rows_per_minute)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    tokens: list[_Entry]


class TokenFile:
    """The tokens of a file, read again when it changes.

    Args:
        path: of the file.
        clock: seconds, never going back.

    Raises:
        ConfigError: it cannot be read, others may write it, or it is not of the form above.
    """

    def __init__(self, path: str | Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = Path(path), clock
        self._looked = clock()
        self._seen = self._stamp()
        self._entries = read_tokens(self._path)

    async def caller(self, token: str) -> Caller | None:
        """Return who a token belongs to; every entry is compared, in constant time."""
        self._look()
        if not token:
            # Its hash gets into a file where a variable was not set.
            return None
        digest = _digest(token)
        found = None
        for entry in self._entries:
            if hmac.compare_digest(entry.sha256, digest):
                found = entry.caller()
        return found

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._entries = read_tokens(self._path)
        except ConfigError as error:
            log.error("the tokens stay as they were: %s", error)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        # The time of the change of mode or owner too: `chmod 600` is a remedy that is told.
        return found.st_ctime_ns, found.st_size, found.st_ino


def read_tokens(path: Path) -> list[_Entry]:
    """Read and check a token file; see the module's description for its form.

    Raises:
        ConfigError: names the file, the entry and the remedy; never a token.
    """
    try:
        mode = path.stat().st_mode
        values = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"cannot read the token file {str(path)!r}: {reason}") from error
    except yaml.YAMLError as error:
        # PyYAML's text quotes the line, which may hold a secret that was put there by mistake.
        raise ConfigError(f"the token file {str(path)!r} is not YAML") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(f"others may write the token file {str(path)!r}; run `chmod 600` on it")
    try:
        entries = _File.model_validate(values).tokens
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        # A key that is none of ours may be a secret too.
        ours = {"tokens", *_Entry.model_fields}
        where = ".".join(str(p) for p in first["loc"] if isinstance(p, int) or p in ours) or "file"
        raise ConfigError(
            f"token file {str(path)!r}: {where}: {first['msg']}; an entry has a name, the sha256 of its "
            "token, and perhaps models and rows_per_minute"
        ) from error
    names = [entry.name for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"token file {str(path)!r}: two entries are called {name!r}; rename one")
    return entries


def new_token() -> str:
    """Return a token nobody can guess: 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(32)


def add_token(path: Path, name: str) -> str:
    """Make a token, add its hash to a file (made if need be, mode 0600), and return the token.

    Raises:
        ConfigError: a name that is taken or malformed, or a file that cannot be written.
    """
    entries = read_tokens(path) if path.exists() else []
    token = new_token()
    try:
        entry = _Entry(name=name, sha256=_digest(token))
    except ValidationError as error:
        raise ConfigError(
            f"{name!r} cannot name a token: use letters, digits and . _ @ -, at most 64"
        ) from error
    if any(other.name == name for other in entries):
        raise ConfigError(f"token file {str(path)!r} has an entry {name!r} already; choose another name")
    known = [e.model_dump(exclude_none=True) for e in [*entries, entry]]
    write_private(path, yaml.safe_dump({"tokens": known}, sort_keys=False))
    return token


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in one step.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_path(path) as temporary:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise ConfigError(f"cannot write {str(path)!r}: {error.strerror}; name another place") from error


class OneToken:
    """A single token, held as its hash: of a service that made it itself."""

    def __init__(self, token: str, caller: Caller) -> None:
        self._digest, self._caller = _digest(token), caller

    async def caller(self, token: str) -> Caller | None:
        """Return the caller if it is the token; an empty one is nobody's."""
        return self._caller if token and hmac.compare_digest(self._digest, _digest(token)) else None


class Either:
    """Asks one authority after the other."""

    def __init__(self, *authorities: Authority) -> None:
        self._authorities = authorities

    async def caller(self, token: str) -> Caller | None:
        """Return the first caller found."""
        for one in self._authorities:
            found = await one.caller(token)
            if found is not None:
                return found
        return None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
