"""One thread per forward pass, whatever the process is set to.

A matrix product that is cut over several threads may sum in another order, and a row would
depend on the machine it was drawn on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class OneThread:
    """Sets torch to one thread while anybody is inside; the last one out puts back what was set.

    The setting is partly the thread's own, and a thread that leaves before others cannot change its
    own alone: it stays at one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 1

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Run the block on one thread; may be entered by many threads at once."""
        with self._lock:
            if self._inside == 0:
                self._before = torch.get_num_threads()
            self._inside += 1
            # The setting is partly the calling thread's own, so each one makes it.
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    torch.set_num_threads(self._before)


one_thread = OneThread()
