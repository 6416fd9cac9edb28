"""What the command lines of all benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.results import FOLDER


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """Return the parser of `python -m benchmarks NAME`, with `--results`."""
    reader = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    reader.add_argument("--results", type=Path, default=FOLDER, help="folder of the results files")
    return reader


def seeds(count: int) -> list[int]:
    """Return 0 … count − 1."""
    return list(range(count))
