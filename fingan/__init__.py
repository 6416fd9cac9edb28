"""fingan: generative adversarial networks for financial tables and price series.

    import fingan
    synth = fingan.Synthesizer(target="Class")
    synth.fit(table)
    rows = synth.sample(100_000, where={"Class": "bad"}, seed=0)

Names are imported on first use, so that `import fingan` loads neither torch nor Ray.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from fingan.errors import (
    BundleError,
    CheckpointCorrupt,
    ConditionError,
    ConfigError,
    DataError,
    FinganError,
    InUse,
    NotAvailable,
    NotFound,
    SchemaMismatch,
    StorageError,
    TrainingDiverged,
    UserError,
)

if TYPE_CHECKING:
    from fingan.client import Client
    from fingan.config import Config
    from fingan.data import read_table
    from fingan.generator import Generator, load
    from fingan.registry import Registry
    from fingan.synthesizer import Synthesizer

__version__ = "0.1.0"

_DEFERRED = {
    "Client": "fingan.client",
    "Config": "fingan.config",
    "Generator": "fingan.generator",
    "Registry": "fingan.registry",
    "Synthesizer": "fingan.synthesizer",
    "load": "fingan.generator",
    "read_table": "fingan.data",
}

__all__ = [
    "BundleError",
    "CheckpointCorrupt",
    "Client",
    "ConditionError",
    "Config",
    "ConfigError",
    "DataError",
    "FinganError",
    "Generator",
    "InUse",
    "NotAvailable",
    "NotFound",
    "Registry",
    "SchemaMismatch",
    "StorageError",
    "Synthesizer",
    "TrainingDiverged",
    "UserError",
    "__version__",
    "load",
    "read_table",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name not in _DEFERRED:
        raise AttributeError(f"module 'fingan' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_DEFERRED[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
