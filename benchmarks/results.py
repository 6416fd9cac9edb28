"""A results file: one JSON object a line, keyed, so that a benchmark resumes where it stopped."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "results"


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
        "torch": torch.__version__,
    }


class Results:
    """The results of one benchmark."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / f"{name}.jsonl"

    def rows(self) -> list[dict[str, Any]]:
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

    def has(self, **keys: Any) -> bool:
        """Whether a result with these keys is there."""
        return any(all(row.get(k) == v for k, v in keys.items()) for row in self.rows())

    def add(self, row: dict[str, Any]) -> None:
        """Append a result with the date and the machine."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        stamped = {**row, "date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine()}
        with self.path.open("a") as file:
            file.write(json.dumps(stamped) + "\n")
            file.flush()
            os.fsync(file.fileno())
