"""The tables that come with the package; their sources and licences are in `tables/README.md`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class DemoTable(NamedTuple):
    """A shipped table: its name, its label column, and the label of interest."""

    name: str
    target: str
    positive: str


LENDING = DemoTable("modeldata_lending_club", "Class", "bad")
GERMAN_CREDIT = DemoTable("german_credit", "creditability", "bad")

_FILES = {LENDING.name: "lending_club.parquet", GERMAN_CREDIT.name: "german_credit.parquet"}


def demo_table_path(demo: DemoTable = LENDING) -> Path:
    """Return the path of a shipped table: 9,857 loans by default, 1,000 for `GERMAN_CREDIT`."""
    return Path(__file__).parent / "tables" / _FILES[demo.name]
