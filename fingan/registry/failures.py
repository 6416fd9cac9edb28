"""How failures are told: what was tried, what is wrong, where, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from fingan.errors import BundleError

_REMEDY = "Copy or publish the bundle again; do not use this one."
_REMEDIES = {
    errno.ENOSPC: "Free space there, or choose another place.",
    errno.EDQUOT: "Free space in your quota, or choose another place.",
    errno.EEXIST: "Remove it, or choose another place.",
    errno.ENOTEMPTY: "Remove it, or choose another place.",
}


def broken(where: str, file: str, problem: str, remedy: str = _REMEDY) -> BundleError:
    """Return the error that says which file of which bundle is wrong, how, and what to do."""
    return BundleError(f"bundle {where}: {file} {problem}. {remedy}")


@contextmanager
def explained(action: str) -> Iterator[None]:
    """Turn a failure of the file system into the BundleError of `failure`."""
    try:
        yield
    except OSError as error:
        raise failure(action, error) from error


def failure(action: str, error: OSError) -> BundleError:
    """Return the error that says what was tried, what failed, where, and what to do."""
    place = f" ({error.filename})" if error.filename else ""
    reason = str(error) if error.strerror is None else error.strerror
    remedy = _REMEDIES.get(error.errno or 0, "Check that the place exists and that you may use it.")
    return BundleError(f"cannot {action}: {reason}{place}. {remedy}")
