"""The benchmarks by name; each module has `main(arguments)` and `table(rows)`."""

from __future__ import annotations

import importlib
from typing import Protocol, cast

from benchmarks.results import Row

NAMES = (
    "quality",
    "curve",
    "ablation",
    "stability",
    "training_speed",
    "gpu",
    "sampling",
    "rare",
    "scale",
    "missing",
    "workers",
    "scaling",
    "faults",
    "tuning",
    "serving",
    "bulk",
)

COMMANDS = ("document", "settings")
"""Modules with `main(arguments)` that write down elsewhere what benchmarks have found."""


class Benchmark(Protocol):
    """What a benchmark's module offers."""

    def main(self, arguments: list[str]) -> None:
        """Run what is missing from the results file, and print the table."""
        ...

    def table(self, rows: list[Row]) -> str:
        """Return the results as Markdown."""
        ...


def load(name: str) -> Benchmark:
    """Import the module of a benchmark."""
    return cast(Benchmark, importlib.import_module(f"benchmarks.{name}"))
