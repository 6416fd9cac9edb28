"""Ctrl-C at chosen moments of a training in this process."""

from __future__ import annotations

import time
from collections.abc import Callable

from fingan.cluster import driver
from fingan.cluster.lease import Lease
from fingan.fitting import finish


class CtrlC:
    """Raises KeyboardInterrupt in the calling thread, as Ctrl-C does, at given calls."""

    def __init__(self, *calls: int) -> None:
        self._calls, self._seen = calls, 0

    def __call__(self, update: object) -> None:
        self._seen += 1
        if self._seen in self._calls:
            raise KeyboardInterrupt


def ctrl_c_while_finishing(monkeypatch) -> Callable[[str], None]:
    """Return what, told of stages, presses Ctrl-C when training is over; the rest begins afterwards."""
    pressed = iter([False])

    def heard(prepared, result, hooks):
        while not hooks.should_stop():
            time.sleep(0.01)
        return finish(prepared, result, hooks)

    def press(_: Lease) -> None:
        if next(pressed, None) is False:
            raise KeyboardInterrupt

    def on_stage(stage: str) -> None:
        if "calibrating" in stage:
            monkeypatch.setattr(Lease, "check", press)

    monkeypatch.setattr(driver, "finish", heard)
    return on_stage
