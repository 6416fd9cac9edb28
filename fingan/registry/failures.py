"""How failures are told: what was tried, what is wrong, where, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from fingan.errors import BundleError, StorageError

_REMEDY = "Copy or publish the bundle again; do not use this one."
_REMEDIES = {
    errno.ENOSPC: "Free space there, or choose another place.",
    errno.EDQUOT: "Free space in your quota, or choose another place.",
    errno.EEXIST: "Remove it, or choose another place.",
    errno.ENOTEMPTY: "Remove it, or choose another place.",
}
# What `open_regular` says of a link, a folder, a pipe or a socket: no file of a bundle, now or later.
_NO_FILE = frozenset({0, errno.ELOOP, errno.EISDIR, errno.ENOTDIR, errno.ENXIO})


def broken(where: str, file: str, problem: str, remedy: str = _REMEDY) -> BundleError:
    """Return the error that says which file of which bundle is wrong, how, and what to do."""
    return BundleError(f"bundle {where}: {file} {problem}. {remedy}")


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Turn a failure of the file system into the StorageError of `failure`."""
    try:
        yield
    except OSError as error:
        raise failure(action, error) from error


def unreadable(where: str, file: str, error: OSError) -> BundleError:
    """Return the error that says why a file of a bundle cannot be read, and whether that may pass."""
    problem = f"cannot be read: {error.strerror or error}"
    if error.errno in _NO_FILE:
        return broken(where, file, problem, "A bundle holds plain, readable files only.")
    remedy = "Try again, and check that you may read it."
    return StorageError(f"bundle {where}: {file} {problem}. {remedy}")


def failure(action: str, error: OSError) -> StorageError:
    """Return the error that says what was tried, what failed, where, and what to do."""
    place = f" ({error.filename})" if error.filename else ""
    reason = str(error) if error.strerror is None else error.strerror
    remedy = _REMEDIES.get(error.errno or 0, "Check that the place exists and that you may use it.")
    return StorageError(f"cannot {action}: {reason}{place}. {remedy}")
