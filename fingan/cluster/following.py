"""Work in a thread of its own, while the calling thread stays free for progress and Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable

WORK = "fingan-work"
"""Name of the thread; the command line looks for it at its end."""

POLL_SECONDS = 0.25
END_SECONDS = 30.0
"""Given to work that nobody will look at any more."""


class InThread:
    """Runs a function beside the calling thread."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._value: object = None
        self._error: BaseException | None = None
        # Not `join`: in Python 3.11 a Ctrl-C in it takes the running thread for a finished one.
        self._over = threading.Event()
        threading.Thread(target=self._call, args=(function,), daemon=True, name=WORK).start()

    def _call(self, function: Callable[[], object]) -> None:
        try:
            self._value = function()
        except BaseException as error:
            self._error = error
        finally:
            self._over.set()

    def wait(self, seconds: float) -> bool:
        """Wait that long at most; return whether it is over."""
        return self._over.wait(seconds)

    def value(self) -> object:
        """Return the function's value, or raise its error."""
        if self._error is not None:
            raise self._error
        return self._value


def follow(
    outcome: InThread, look: Callable[[], None], stop: Callable[[], None], interrupted: bool = False
) -> bool:
    """Look again and again until the work is over.

    Args:
        outcome: the work.
        look: called every now and then, and once at the end.
        stop: called at the first Ctrl-C, and before an error of `look` is passed on; a second Ctrl-C
            leaves at once.
        interrupted: whether the user did so before: then the first Ctrl-C leaves at once.

    Returns:
        Whether the user interrupted.
    """
    over = False
    while not over:
        try:
            over = outcome.wait(POLL_SECONDS)
            look()
        except KeyboardInterrupt:
            if interrupted:
                raise
            interrupted = True
            stop()
        except BaseException:
            stop()
            outcome.wait(END_SECONDS)
            raise
    return interrupted
