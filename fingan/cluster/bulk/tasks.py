"""Making the parts of a folder, in this process or as Ray tasks that may run twice."""

from __future__ import annotations

from collections import abc
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import chain, islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt
import ray

from fingan.cluster.bulk.partitions import Part, PartFolder, Request
from fingan.cluster.following import END_SECONDS, POLL_SECONDS
from fingan.data import open_sink
from fingan.errors import FinganError, NotFound
from fingan.generator import Generator, load
from fingan.networks import keep_freed_memory
from fingan.registry import Registry

RETRIES = 3
"""How often Ray makes a part anew whose worker or node is lost."""

_WAITING_PER_CPU = 2
"""Tasks given to Ray per CPU: one at work, and one that shows a growing cluster that there is more."""

_HARDLY_REPEATS = 0.5
"""Share of distinct values in a batch above which a column of floats gets no dictionary."""


@dataclass(frozen=True)
class Job:
    """What every part is made from.

    Attributes:
        registry: directory or URL.
        place: path or URL of the folder.
        request: what the rows are.
        where: its condition, as it was given.
        verify: look at every byte of a part that is there.
    """

    registry: str
    place: str
    request: Request
    where: Mapping[str, Any]
    verify: bool


@dataclass(frozen=True)
class Made:
    """A part that is there.

    Attributes:
        number: of the part.
        part: what its record says.
        new: whether it was made, rather than found.
    """

    number: int
    part: Part
    new: bool


def never() -> bool:
    """Whether to stop, where nobody asks for it."""
    return False


class Stopped(Exception):
    """The work was asked to stop in the middle of a part."""


def in_this_process(
    job: Job, numbers: Iterable[int], generator: Generator, should_stop: Callable[[], bool]
) -> Iterator[Made]:
    """Make one part after the other.

    Raises:
        Stopped: `should_stop` said so; nothing is left of the part in work.
    """
    return (_make(job, number, lambda: generator, should_stop) for number in numbers)


def by_tasks(job: Job, numbers: Iterable[int], workers: int | None) -> abc.Generator[Made | None, None, None]:
    """Make the parts in Ray tasks of one CPU each; yield them as they come, and None while none does.

    What is left of the tasks when the iterator is closed is cancelled.

    Args:
        job: what they are made from.
        numbers: of the parts.
        workers: how many at a time; None for what the cluster has room for.

    Raises:
        FinganError: what a task raised first, or that its workers were lost again and again.
    """
    called: Any = ray.remote(num_cpus=1, max_retries=RETRIES)(_task)
    shared, rest = ray.put(job), iter(numbers)
    pending: list[Any] = []
    try:
        while True:
            room = (_room() if workers is None else workers) - len(pending)
            pending += [called.remote(shared, number) for number in islice(rest, max(0, room))]
            if not pending:
                return
            ready, pending = ray.wait(pending, num_returns=1, timeout=POLL_SECONDS)
            yield _result(ready[0]) if ready else None
    finally:
        for reference in pending:
            ray.cancel(reference)
        if pending:
            # Those at work take back what they have written of their parts.
            ray.wait(pending, num_returns=len(pending), timeout=END_SECONDS)


def _room() -> int:
    return _WAITING_PER_CPU * max(1, int(ray.cluster_resources().get("CPU", 1)))


def _result(reference: Any) -> Made:
    try:
        made: Made = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, FinganError | OSError) else error from None
    except ray.exceptions.RayError as error:
        told = str(error).strip().partition("\n")[0]
        raise FinganError(
            f"a part could not be made: {told}; what is done is kept, run the same again to go on"
        ) from error
    return made


def _task(job: Job, number: int) -> Made:
    """Make a part on any node."""
    if not PartFolder(job.place).has_request():
        raise FinganError(
            f"the folder {job.place!r} is not to be seen on the node of a worker; "
            "name a place on storage that all nodes share"
        )
    wanted = f"{job.request.model}:{job.request.version}"
    return _make(job, number, partial(_loaded, job.registry, wanted, job.request.digest), never)


@lru_cache(maxsize=1)
def _loaded(registry: str, reference: str, digest: str) -> Generator:
    """Load a model, once in a worker process.

    Raises:
        FinganError: this node's registry has no such model, or another of that name.
    """
    store = Registry(registry)
    try:
        found = store.show(reference)["manifest"]["digest"]
    except NotFound:
        found = None
    if found != digest:
        raise FinganError(
            f"{reference} in the registry {registry!r} is not the same on the node of a worker; "
            "name a registry on storage that all nodes share"
        )
    keep_freed_memory()
    return load(store.fetch(reference))


def _make(job: Job, number: int, generator: Callable[[], Generator], should_stop: Callable[[], bool]) -> Made:
    """Make a part and its record, whatever there is of them, unless that is found to be intact."""
    folder, request = PartFolder(job.place), job.request
    if job.verify:
        known = folder.part(request, number)
        if known is not None and folder.is_intact(known):
            return Made(number, known, new=False)
    _write(folder, job, number, generator(), should_stop)
    return Made(number, folder.record(request, number), new=True)


def _write(
    folder: PartFolder, job: Job, number: int, generator: Generator, should_stop: Callable[[], bool]
) -> None:
    request = job.request
    columns = list(request.columns)
    schema = generator.schema.arrow()
    schema = pa.schema([schema.field(name) for name in columns])
    first, rows = request.bounds(number)
    made = generator.making(columns).iter_batches(rows, job.where, request.seed, first, 1, request.candidates)
    batches = (batch.select(columns) for batch in made)
    # The first may be short.
    head = list(islice(batches, 2))
    plain = _hardly_repeating(max(head, key=len))
    with open_sink(folder.folder.inside(folder.name(number)), schema, plain=plain) as sink:
        for batch in chain(head, batches):
            if should_stop():
                raise Stopped
            sink.write(batch)


def _hardly_repeating(batch: pa.RecordBatch) -> list[str]:
    """Return the columns of floats for which a dictionary would cost more than it saves."""
    found = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        known = len(column) - column.null_count
        if pt.is_floating(column.type) and pc.count_distinct(column).as_py() > _HARDLY_REPEATS * known:
            found.append(name)
    return found
