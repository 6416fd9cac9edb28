"""Write the settings that searches found into the package: `fingan tune` begins with them.

    python -m benchmarks settings

Reads the finished searches in the results of `python -m benchmarks tuning`. Of each table's winners it
takes the one with the lowest bound on the score of a new seed.
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command import parser
from benchmarks.markdown import grid, grouped, mean_spread
from benchmarks.results import Results, Row
from benchmarks.tuning import SCHEDULERS
from fingan.search import Record
from fingan.search.shipped import SETTINGS, Entry, entry_of, write_entries


def entries(rows: Sequence[Row]) -> list[Entry]:
    """Return the best winner of each table, in the order in which the tables were searched first."""
    found = []
    for own in grouped(rows, lambda row: str(row["dataset"])).values():
        # The other rows are single seeds, or searches as an earlier build ran them.
        searched = [(row, Record.of_json(row["record"])) for row in own if row.get("scheduler") in SCHEDULERS]
        won = [(row, record) for row, record in searched if record.winner is not None]
        if won:
            row, record = min(won, key=lambda one: float(one[1].finalists[0]["bound"]))
            found.append(entry_of(record, command(row), datetime.date.fromisoformat(row["date"])))
    return found


def command(row: Row) -> str:
    """Return what runs a search again, and as a remark which of its two searches is meant."""
    words = f"--dataset {row['dataset']} --trials {row['trials']} --seconds {row['trial_seconds']:g}"
    return f"python -m benchmarks tuning {words}  # tune.scheduler={row['scheduler']}"


def main(arguments: list[str]) -> None:
    """Write the file, and print what stands in it."""
    reader = parser("settings", __doc__)
    reader.add_argument("--output", type=Path, default=SETTINGS, help="the file to write")
    options = reader.parse_args(arguments)
    results = Results("tuning", options.results)
    found = entries(results.rows())
    if not found:
        sys.exit(f"{results.path} holds no finished search; run python -m benchmarks tuning first")
    write_entries(options.output, found)
    lines = [[e.command, mean_spread(e.scores, 3), mean_spread(e.base_scores, 3)] for e in found]
    print(grid(["search", "score of the winner", "of the base"], lines))
