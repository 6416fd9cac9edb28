"""The audit log's way out: JSON lines on standard error, written by a thread of their own.

A pipe that nobody reads fills up. Were it written to where requests are answered, it would stop them all;
so lines wait here, and what finds no room is counted and told.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator

LOGGER = "fingan.audit"
WAITING = 10_000
"""Lines that wait to be written; a service whose standard error is read keeps none for long."""

CLOSE_SECONDS = 2.0
_STANDARD_ERROR = 2


class AuditLog(logging.Handler):
    """Writes every message as a line.

    Args:
        descriptor: of the file.
    """

    def __init__(self, descriptor: int = _STANDARD_ERROR) -> None:
        super().__init__()
        self._descriptor, self._lost = descriptor, 0
        self._lines: queue.Queue[str | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name="audit", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a message; never waits."""
        try:
            self._lines.put_nowait(record.getMessage())
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what waits, unless nobody reads it."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=CLOSE_SECONDS)
            self._thread.join(CLOSE_SECONDS)
        super().close()

    def _work(self) -> None:
        while (line := self._lines.get()) is not None:
            # Not `sys.stderr`: a thread that waits in it at the end of the process would hold its lock.
            with contextlib.suppress(OSError):
                self._write(line)
                if lost := self._taken():
                    self._write(json.dumps({"time": time.time(), "lost": lost}))

    def _taken(self) -> int:
        self.acquire()
        try:
            lost, self._lost = self._lost, 0
        finally:
            self.release()
        return lost

    def _write(self, line: str) -> None:
        content = line.encode("utf-8", "backslashreplace") + b"\n"
        while content:
            content = content[os.write(self._descriptor, content) :]


def begin() -> AuditLog:
    """Write this process's audit log to standard error from now on; return what does it."""
    logger = logging.getLogger(LOGGER)
    for known in logger.handlers:
        if isinstance(known, AuditLog):
            return known
    handler = AuditLog()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    return handler


@contextlib.contextmanager
def audited() -> Iterator[None]:
    """Write the audit log to standard error within the block."""
    logger = logging.getLogger(LOGGER)
    level, handler = logger.level, begin()
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
