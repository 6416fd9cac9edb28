"""Ray drivers: data-parallel training.

Names are imported on first use: a Ray worker needs only `fingan.cluster.worker`, and the
sooner it has imported that, the sooner it trains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fingan.cluster.driver import Trained, train

__all__ = ["Trained", "train"]


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'fingan.cluster' has no attribute {name!r}")
    from fingan.cluster import driver

    value: object = getattr(driver, name)
    return value
