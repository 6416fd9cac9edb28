"""What the sampling service lets its jobs be written by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fingan.cluster.bulk.driver import PartProgress, sample_partitions


@dataclass(frozen=True)
class JobWriter:
    """Writes the rows of jobs, on the Ray that this process is connected to.

    Attributes:
        registry: folder or URL.
        workers: parts at a time; None for all CPUs, 0 for this process, without Ray.
    """

    registry: str
    workers: int | None = None

    def __call__(
        self,
        wanted: Mapping[str, Any],
        place: str,
        on_progress: Callable[[int, int, int], None],
        should_stop: Callable[[], bool],
    ) -> bool:
        """Write all parts that are not there yet; return whether it came to the end.

        Args:
            wanted: `model` with its version, `rows`, `seed`, `offset`, `where`, `columns`, `candidates`,
                `partition_rows`, and the `digest` that the version had when the job was asked for.
            place: folder or URL.
            on_progress: is told rows done, parts done and parts.
            should_stop: asked several times a second.

        Raises:
            ConfigError: the version was replaced since.
            FinganError: as `sample_partitions`.
        """

        def tell(progress: PartProgress) -> None:
            on_progress(progress.rows, progress.parts, progress.of)

        done = sample_partitions(
            self.registry,
            wanted["model"],
            wanted["rows"],
            place,
            where=wanted["where"] or None,
            seed=wanted["seed"],
            offset=wanted["offset"],
            candidates=wanted["candidates"],
            columns=wanted["columns"],
            partition_rows=wanted["partition_rows"],
            digest=wanted.get("digest"),
            workers=self.workers,
            on_progress=tell,
            should_stop=should_stop,
        )
        return done.finished
