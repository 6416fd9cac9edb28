"""Long, wide and many-levelled tables: memory and time, each in a process of its own.

    python -m benchmarks scale --case long --case wide --case levels --case streamed

A table is written to a Parquet file in pieces, then read, encoded, trained on for a short budget and sampled
from in a fresh process without Ray, whose peak resident memory is what the system says of it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.command import parser
from benchmarks.jobs import alone
from benchmarks.markdown import grid
from benchmarks.results import Results, Row
from benchmarks.runs import settings
from fingan.encoding.stored import StoredTable
from fingan.fitting import finish, start
from fingan.preparation import prepare
from fingan.rng import numpy_generator

MOST_BYTES = 8 * 2**30
MOST_BYTES_STREAMED = 3 * 2**30
MOST_RATIO = 2.0
PIECE = 100_000
"""Rows written at a time."""

FACTORS = 5
FEW, MANY = 1_000, 100_000


@dataclass(frozen=True)
class Case:
    """A table to train on.

    Attributes:
        rows: its rows.
        columns: its columns, `label` among them.
        levels: of the category `level`; 0 for none.
    """

    rows: int
    columns: int
    levels: int = 0


CASES: dict[str, tuple[Case, ...]] = {
    "long": (Case(10_000_000, 20),),
    "wide": (Case(100_000, 500),),
    "levels": (Case(500_000, 6, FEW), Case(500_000, 6, MANY)),
    # More values than `data.in_memory`: surveyed, stored encoded, read in windows.
    "streamed": (Case(50_000_000, 20),),
}


def piece(case: Case, number: int, rows: int) -> pa.Table:
    """Return the `number`-th piece of a table: correlated numbers, amounts, counts, categories, a label."""
    rng = numpy_generator(0, "benchmark-scale", number)
    hidden = rng.standard_normal((rows, FACTORS))
    columns: dict[str, Any] = {}
    if case.levels:
        # Zipf's law, so that there are rare levels at any number of them.
        drawn = np.floor(case.levels ** rng.random(rows)).astype(np.int64) - 1
        columns["level"] = pa.array(np.char.add("level ", drawn.astype(str)))
    makers: tuple[Callable[[np.ndarray], Any], ...] = (
        lambda value: value,
        lambda value: np.round(np.exp(value), 2),
        lambda value: np.maximum(0, np.round(3 * value)).astype(np.int64),
        lambda value: pa.array(np.array(["low", "middle", "high"])[np.digitize(value, [-1.0, 1.0])]),
    )
    for place in range(case.columns - 1 - len(columns)):
        value = 0.8 * hidden[:, place % FACTORS] + 0.6 * rng.standard_normal(rows)
        columns[f"column {place}"] = makers[place % len(makers)](value)
    columns["label"] = (hidden[:, 0] + rng.standard_normal(rows) > 2.0).astype(np.int64)
    return pa.table(columns)


def write(case: Case, path: Path) -> None:
    """Write a table piece by piece."""
    starts = range(0, case.rows, PIECE)
    first = piece(case, 0, min(PIECE, case.rows))
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for number, begin in enumerate(starts[1:], start=1):
            writer.write_table(piece(case, number, min(PIECE, case.rows - begin)))


def run_one(path: str, seconds: float | None, steps: int | None, sampled: int) -> dict[str, Any]:
    """Read, train and sample in this process; return CPU-seconds of each part.

    Args:
        path: of the table.
        seconds, steps: budget; one of them is None.
        sampled: rows to draw.
    """
    budget = "training.time_budget=" + ("null" if seconds is None else f"{seconds:g}s")
    sets = [budget, f"training.steps={'null' if steps is None else steps}"]
    spent: dict[str, float] = {}

    def lap(name: str) -> None:
        spent[name] = round(time.process_time() - sum(spent.values()) - begun, 2)

    begun = time.process_time()
    prepared = prepare(path, settings("label", sets, compute__workers=0), Path(path).parent / "rows")
    lap("read and encode")
    result = start(prepared).train()
    lap("train")
    generator = finish(prepared, result)
    lap("calibrate")
    for _ in generator.iter_batches(sampled):
        pass
    lap("sample")
    return {
        "cpu_seconds": spent,
        "steps": result.steps,
        "units": len(prepared.encoder.units),
        "streamed": isinstance(prepared.encoded, StoredTable),
    }


def main(arguments: list[str]) -> None:
    """Run what is missing from the results file."""
    reader = parser("scale", __doc__)
    reader.add_argument("--case", action="append", choices=sorted(CASES))
    reader.add_argument("--seconds", type=float, default=60, help="of training, long and wide tables")
    reader.add_argument("--steps", type=int, default=300, help="of training, tables of many levels")
    reader.add_argument("--sampled", type=int, default=100_000)
    reader.add_argument("--repeats", type=int, default=3, help="of the tables of many levels")
    reader.add_argument("--rows", type=int, help="instead of each case's own")
    options = reader.parse_args(arguments)
    results = Results("scale", options.results)
    for name in options.case or CASES:
        timed = name == "levels"
        # Repeats go around both sizes in turn: a busy machine slows both alike.
        for repeat in range(options.repeats if timed else 1):
            for case in CASES[name]:
                rows = options.rows or case.rows
                budget = {"seconds": None if timed else options.seconds}
                budget["steps"] = options.steps if timed else None
                shape = {"rows": rows, "columns": case.columns, "levels": case.levels}
                key = {"case": name, **shape, **budget, "sampled": options.sampled, "repeat": repeat}
                if not results.has(**key):
                    results.add({**key, **_measured(Case(**shape), budget, options.sampled)})
    print(table(results.rows()))


def _measured(case: Case, budget: dict[str, Any], sampled: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        write(case, path)
        finished = alone(run_one, path=str(path), sampled=sampled, **budget)
    return {**finished.value, "peak_bytes": finished.peak_bytes}


def table(rows: list[Row]) -> str:
    """Return memory and time of each case with their bars, as Markdown."""
    lines = []
    for row in rows:
        spent = row["cpu_seconds"]
        most = MOST_BYTES_STREAMED if row["case"] == "streamed" else MOST_BYTES
        verdict = f"at most {most >> 30}: " + ("pass" if row["peak_bytes"] <= most else "miss")
        shape = [f"{row['rows']:,} × {row['columns']}", f"{row['levels']:,}" if row["levels"] else "–"]
        peak = f"{row['peak_bytes'] / 2**30:.2f}"
        lines.append([*shape, f"{row['steps']:,}", *[f"{s:,.1f}" for s in spent.values()], peak, verdict])
    parts = ["read and encode", "train", "calibrate", "sample"]
    header = ["rows × columns", "levels", "steps", *[f"{part}, CPU s" for part in parts]]
    text = grid([*header, "peak GiB", "bar"], lines)
    ratio = _levels_ratio(rows)
    if ratio is not None:
        verdict = "pass" if ratio <= MOST_RATIO else "miss"
        bar = f"at most {MOST_RATIO:g}: {verdict}"
        text += f"\n\nTime of {MANY:,} levels over that of {FEW:,}: {ratio:.2f} ({bar})."
    return text


def _levels_ratio(rows: list[Row]) -> float | None:
    """Return the median over repeats of the ratio of CPU-seconds; None while one is missing."""
    totals = {
        (row["levels"], row["repeat"]): sum(row["cpu_seconds"].values())
        for row in rows
        if row["case"] == "levels"
    }
    ratios = [
        total / totals[FEW, repeat]
        for (levels, repeat), total in totals.items()
        if levels == MANY and (FEW, repeat) in totals
    ]
    return float(np.median(ratios)) if ratios else None
