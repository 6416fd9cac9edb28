"""A results file: one JSON object a line, keyed, so that a benchmark resumes where it stopped."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fingan.config import Config

FOLDER = Path(__file__).parent / "results"
FORMER = "former"
"""Folder, inside the results', of what was measured with a default configuration that is no longer it."""

Row = dict[str, Any]
"""One result: its keys, what was measured, date and machine."""


def machine() -> dict[str, Any]:
    """Return the facts of this machine that timings depend on."""
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line for line in cpuinfo.read_text().splitlines() if line.startswith("model name"))
        model = next(lines, model).split(":")[-1].strip()
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "amx": bool(torch.cpu._is_amx_tile_supported()),
        "bf16": bool(torch.cpu._is_avx512_bf16_supported()),
        "torch": torch.__version__,
    }


def kind_of(machine: Row) -> str:
    """Return the kind of processor, by what the speed of training hangs on; early rows did not tell bf16."""
    if machine["amx"]:
        unit = "AMX"
    elif "bf16" in machine:
        unit = "bf16" if machine["bf16"] else "fp32"
    else:
        return str(machine["processor"])
    return f"{machine['processor']}, {unit}"


def kind_among(rows: Sequence[Row]) -> Callable[[Row], str]:
    """Return what tells the kind of processor of one of some rows: nothing where all are of one kind."""
    several = len({kind_of(row["machine"]) for row in rows}) > 1
    return lambda row: kind_of(row["machine"]) if several else ""


def revision() -> str | None:
    """Return the commit that was measured, with `+` where files differ from it; None outside a checkout."""
    command = ["git", "describe", "--always", "--dirty=+"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def name_of(config: Config) -> str:
    """Return a name of how a configuration learns and samples, lest results of two be mixed."""
    text = config.model_dump_json(include={"network", "objective", "training", "conditioning", "sampling"})
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Results:
    """The results of one benchmark.

    Args:
        name: of the benchmark and its file.
        folder: where the file lies.
    """

    def __init__(self, name: str, folder: Path = FOLDER) -> None:
        self.path = folder / f"{name}.jsonl"

    def rows(self) -> list[Row]:
        """Return all results so far; a torn last line is ignored."""
        if not self.path.exists():
            return []
        rows = []
        for line in self.path.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def has(self, *, of_this_kind: bool = False, **keys: Any) -> bool:
        """Whether a result with these keys is there, `of_this_kind` of processor if that matters."""
        rows = self.rows()
        if of_this_kind:
            own = kind_of(machine())
            rows = [row for row in rows if kind_of(row["machine"]) == own]
        return any(all(row.get(k) == v for k, v in keys.items()) for row in rows)

    def add(self, row: Row) -> None:
        """Append a result with the date, the commit, the default configuration and the machine."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        date = datetime.now(UTC).strftime("%Y-%m-%d")
        stamp = {"date": date, "revision": revision(), "default": name_of(Config())}
        stamped = {**row, **stamp, "machine": machine()}
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a") as file:
            # On a line of its own, else it would be lost with a torn one.
            file.write("\n" * torn + json.dumps(stamped) + "\n")
            file.flush()
            os.fsync(file.fileno())
