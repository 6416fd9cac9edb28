"""What an answer of the service must hold: the rows that the published version makes in this process."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from fingan.generator import load
from fingan.registry import Registry

_END = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class Expected:
    """Answers to requests of so many rows each, whose seeds go round.

    The rows are made beforehand, so that comparing them costs the measurement next to nothing.

    Args:
        registry: the one that is served.
        model: its newest version is asked for.
        rows: of every request.
        candidates: of every request.
        seeds: different requests.
    """

    def __init__(self, registry: Path, model: str, rows: int, candidates: int, seeds: int = 16) -> None:
        generator = load(Registry(registry).fetch(model))
        self.size, self.candidates = rows, candidates
        self._tables = [generator.sample(rows, seed=seed, candidates=candidates) for seed in range(seeds)]

    def seed(self, number: int) -> int:
        """Return the seed of a request."""
        return number % len(self._tables)

    def rows(self, number: int, content: bytes) -> int:
        """Return the rows of the answer to a request; 0 unless they are exactly those asked for."""
        # A reader of Arrow takes a stream that is cut between two batches for a whole one.
        if not content.endswith(_END):
            return 0
        try:
            found = pa.ipc.open_stream(content).read_all()
        except (pa.ArrowException, OSError):
            return 0
        return self.size if found.equals(self._tables[self.seed(number)]) else 0
