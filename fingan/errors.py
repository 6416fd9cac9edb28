"""Every error that fingan raises on purpose.

    FinganError
    ├── UserError (also ValueError)       the caller can mend it
    │   ├── ConfigError                   configuration, option or column name: exit code 2
    │   │   └── InUse                     another run writes to the same place
    │   ├── NotAvailable                  not in this version yet: exit code 2
    │   ├── NotFound                      no such model, version or alias: exit code 1
    │   └── DataError                     the data itself: exit code 1
    │       ├── SchemaMismatch            the data differ from the schema
    │       └── ConditionError            `where=` asks for something that cannot be: exit code 2
    ├── TrainingDiverged                  roll-backs are used up
    ├── CheckpointCorrupt                 a checkpoint fails its manifest
    └── BundleError                       a bundle fails its manifest or its replay
        └── StorageError              it could not be read or written now; that may pass

A message names the column or field, the value, and the remedy.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_COMPARED = 200  # characters: the comparison is quadratic in the length


class FinganError(Exception):
    """Base of all errors raised on purpose; `exit_code` is the command line's."""

    exit_code = 1


class UserError(FinganError, ValueError):
    """Something the caller can mend."""


class ConfigError(UserError):
    """A configuration key, option or column name that does not fit."""

    exit_code = 2


class InUse(ConfigError):
    """Another run writes to the same place."""


class NotAvailable(UserError):
    """Something announced that this version does not have yet."""

    exit_code = 2


class NotFound(UserError):
    """No such model, version or alias in the registry."""


class DataError(UserError):
    """The data cannot be used as they are."""


class SchemaMismatch(DataError):
    """The data differ from the schema; the message holds the diff."""


class ConditionError(DataError):
    """A condition that no row can meet."""

    exit_code = 2


class TrainingDiverged(FinganError):
    """Training left the healthy range and its roll-backs are used up."""


class CheckpointCorrupt(FinganError):
    """A checkpoint whose files do not match their manifest."""


class BundleError(FinganError):
    """A bundle that is torn, altered, or does not replay its own sample."""


class StorageError(BundleError):
    """A bundle or registry that could not be read or written now: that says nothing of its content."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean 'x'?` for the closest known name, or an empty string."""
    by_folded = {str(k)[:_COMPARED].casefold(): str(k) for k in known}
    close = difflib.get_close_matches(name[:_COMPARED].casefold(), by_folded, n=1, cutoff=0.5)
    return f" Did you mean {by_folded[close[0]]!r}?" if close else ""
