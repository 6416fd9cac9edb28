"""`fingan sample -o OUT/`: check what is asked for, and have the parts made that are not there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fingan.cluster.address import Address
from fingan.cluster.bulk.asked import Sample, check_count, from_anywhere
from fingan.cluster.bulk.partitions import Part, PartFolder, Request
from fingan.cluster.bulk.tasks import Job, Made, Stopped, by_tasks, in_this_process, never
from fingan.cluster.session import ray_session
from fingan.config import ComputeConfig
from fingan.generator import Generator

PARTITION_ROWS = 1_000_000
MOST_WORKERS = 4096


@dataclass(frozen=True)
class PartProgress:
    """How far the parts are.

    Attributes:
        rows, planned: rows in parts that are done, and of the whole.
        parts, of: the same in parts.
        made: rows made by this call.
        seconds: since it began to make them.
    """

    rows: int
    planned: int
    parts: int
    of: int
    made: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        """Rows made per second."""
        return self.made / max(self.seconds, 1e-9)

    @property
    def remaining(self) -> float | None:
        """Seconds to the end at that rate; None before the first part."""
        return (self.planned - self.rows) / self.rows_per_second if self.made else None


@dataclass(frozen=True)
class Sampled:
    """What `sample_partitions` leaves.

    Attributes:
        place: the folder, without secrets.
        request: what its rows are.
        parts: the whole ones, in the order of their rows.
        finished: whether they are all there, and the manifest with them.
        made: rows made by this call.
        seconds: that took.
    """

    place: str
    request: Request
    parts: tuple[Part, ...]
    finished: bool
    made: int
    seconds: float

    @property
    def rows(self) -> int:
        """Rows of the whole parts."""
        return sum(part.rows for part in self.parts)

    @property
    def bytes(self) -> int:
        """Bytes of the whole parts."""
        return sum(part.bytes for part in self.parts)


def sample_partitions(
    registry: str | Path,
    reference: str,
    rows: int,
    place: str | os.PathLike[str],
    *,
    where: Mapping[str, Any] | None = None,
    seed: int = 0,
    offset: int = 0,
    candidates: int | None = None,
    columns: Sequence[str] | None = None,
    partition_rows: int = PARTITION_ROWS,
    digest: str | None = None,
    verify: bool = False,
    address: str | None = None,
    allow_open_dashboard: bool = False,
    workers: int | None = None,
    on_progress: Callable[[PartProgress], None] | None = None,
    on_stage: Callable[[str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Sampled:
    """Write rows as Parquet parts into a folder; Ctrl-C cancels the parts in work and returns.

    Args:
        registry: directory or URL; all nodes must see it.
        reference: the model, with a version or alias.
        rows: how many, at least 1.
        place: path or URL, for all nodes, of a folder that is new, empty, or begun by the same call.
        where, seed, offset, candidates: as of `Generator.iter_batches`.
        columns: the ones to write, in this order; None for all.
        partition_rows: rows of every part but the last.
        digest: of the version's content that is expected; None for any.
        verify: compare the files of an earlier call with their SHA-256, not only with their size.
        address: `auto` or `host:port` of a running Ray; None starts one on this machine.
        allow_open_dashboard: accept a Ray whose dashboard asks for no token.
        workers: parts at a time; None for all CPUs, 0 for this process, without Ray.
        on_progress: called after every part, in the calling thread.
        on_stage: called with the name of each stage as it begins.
        should_stop: asked several times a second; True does what Ctrl-C does.

    Raises:
        ConfigError, ConditionError, NotFound: before any work, for what does not fit.
        DataError: the place cannot be written.
        FinganError: a part's workers were lost again and again.
    """
    say = on_stage or _ignore
    crew = _Crew(workers, None if address is None else Address(address), allow_open_dashboard, say)
    sample = Sample(rows, where, seed, offset, candidates, columns, partition_rows, digest)
    generator: Generator | None
    generator, request = sample.checked(registry, reference, say)
    folder = PartFolder(place)
    job = Job(from_anywhere(registry), folder.folder.place, request, dict(where or {}), verify)
    run = _Run(job, folder, on_progress or _ignore, should_stop or never)
    if workers != 0:
        # Tasks load their own; here it was for the checks, and must not stay in memory for hours.
        generator = None
    with folder.folder.held():
        return run(crew, generator)


def _ignore(_: object) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class _Crew:
    """Who makes the parts."""

    workers: int | None
    address: Address | None
    allow_open_dashboard: bool
    say: Callable[[str], None]

    def __post_init__(self) -> None:
        if self.workers is not None:
            check_count("workers", self.workers, 0, MOST_WORKERS)

    @contextmanager
    def making(
        self, job: Job, numbers: Sequence[int], generator: Generator | None, should_stop: Callable[[], bool]
    ) -> Iterator[Iterator[Made | None]]:
        """Give the parts as they are made; those still in work at the end of the block are given up."""
        with ExitStack() as stack:
            if generator is not None:
                made: Iterator[Made | None] = in_this_process(job, numbers, generator, should_stop)
            else:
                self.say("starting Ray" if self.address is None else f"joining Ray at {self.address.text}")
                compute = ComputeConfig(workers=self.workers or 1)
                stack.enter_context(ray_session(compute, self.address, self.allow_open_dashboard))
                made = stack.enter_context(closing(by_tasks(job, numbers, self.workers)))
            self.say(f"making {len(numbers):,} of {job.request.parts:,} parts")
            yield made


class _Run:
    """Makes what is missing in a folder that is held."""

    def __init__(
        self,
        job: Job,
        folder: PartFolder,
        on_progress: Callable[[PartProgress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._job, self._folder = job, folder
        self._on_progress, self._should_stop = on_progress, should_stop
        self._done: dict[int, Part] = {}
        self._rows = self._made = 0
        self._start = time.monotonic()

    def __call__(self, crew: _Crew, generator: Generator | None) -> Sampled:
        """Make the parts that are not done, and then the manifest."""
        request = self._job.request
        self._folder.begin(request)
        if not self._job.verify:
            self._done = self._folder.done(request)
            self._rows = sum(part.rows for part in self._done.values())
        if missing := [number for number in range(request.parts) if number not in self._done]:
            self._folder.reopen()
            self._make(missing, crew, generator)
        parts = tuple(self._done[number] for number in sorted(self._done))
        finished = len(parts) == request.parts
        if finished and not self._folder.is_finished():
            self._folder.finish(request, parts)
        seconds = time.monotonic() - self._start
        return Sampled(self._folder.folder.text, request, parts, finished, self._made, seconds)

    def _make(self, numbers: Sequence[int], crew: _Crew, generator: Generator | None) -> None:
        try:
            with crew.making(self._job, numbers, generator, self._should_stop) as parts:
                self._start = time.monotonic()
                for made in parts:
                    if made is not None:
                        self._note(made)
                    if self._should_stop():
                        return
        except (KeyboardInterrupt, Stopped):
            # Whole parts stay; what was in work leaves nothing.
            return

    def _note(self, made: Made) -> None:
        self._done[made.number] = made.part
        self._rows += made.part.rows
        self._made += made.part.rows * made.new
        request = self._job.request
        self._on_progress(
            PartProgress(
                rows=self._rows,
                planned=request.rows,
                parts=len(self._done),
                of=request.parts,
                made=self._made,
                seconds=time.monotonic() - self._start,
            )
        )
