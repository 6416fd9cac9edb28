"""The client's methods: models, rows in any shape, files, jobs."""

from __future__ import annotations

import math
import operator
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fingan.client.transport import ServiceError, ServiceUserError, Transport, path_part, pause
from fingan.errors import ConfigError
from fingan.types import Json

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import requests

PART_ROWS = 500_000
"""Rows of one request: what a service grants also behind a proxy that holds nobody back, but of wide rows."""

_TOO_MANY = ("too_many_rows", "too_many_bytes")
_MISSING = ("NAType", "NaTType")  # pandas' own; pandas need not be there


@dataclass(frozen=True)
class _Sample:
    """What all parts of a sample share."""

    seed: int
    where: Mapping[str, Any] | None
    columns: Sequence[str] | None
    candidates: int | None

    def body(self, rows: int, offset: int) -> Json:
        return {
            "rows": rows,
            "offset": offset,
            "seed": self.seed,
            "where": {name: _plain(value) for name, value in (self.where or {}).items()},
            "columns": None if self.columns is None else list(self.columns),
            "candidates": self.candidates,
        }


class Client:
    """Talks to a sampling service; safe to share between threads.

    Args:
        url: of the service, as `https://fingan.example.com`.
        token: to be let in; `FINGAN_TOKEN` where None.
        timeout: seconds without a byte after which a connection counts as broken.
        attempts: tries of a request that is refused for a while or breaks, without progress.
        compression: `zstd` or `gzip` for slow networks; None for none.
        sleep: waits between attempts.

    Raises:
        ConfigError: a URL that is none.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout: float = 60.0,
        attempts: int = 6,
        compression: str | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = Transport(url, token, timeout, attempts, compression, sleep)
        self._attempts, self._sleep = self._transport.attempts, sleep
        self.url = self._transport.url

    def models(self) -> list[Json]:
        """Return the models that the caller may use."""
        return self._transport.listing("/v1/models", "models")

    def describe(self, model: str) -> Json:
        """Return columns, quality and limits of a model (`name`, `name:version` or `name:alias`)."""
        return self._transport.json("GET", f"/v1/models/{path_part(model)}")

    def card(self, model: str) -> str:
        """Return the model card, Markdown."""
        return self._transport.answer("GET", f"/v1/models/{path_part(model)}/card").text

    def sample(
        self,
        model: str,
        rows: int,
        where: Mapping[str, Any] | None = None,
        seed: int = 0,
        offset: int = 0,
        columns: Sequence[str] | None = None,
        candidates: int | None = None,
    ) -> pd.DataFrame:
        """Return rows as a pandas DataFrame; see `batches` for the arguments."""
        from fingan.data.frames import to_pandas

        return to_pandas(self.table(model, rows, where, seed, offset, columns, candidates))

    def table(
        self,
        model: str,
        rows: int,
        where: Mapping[str, Any] | None = None,
        seed: int = 0,
        offset: int = 0,
        columns: Sequence[str] | None = None,
        candidates: int | None = None,
    ) -> pa.Table:
        """Return rows as an Arrow table; see `batches` for the arguments."""
        return self.reader(model, rows, where, seed, offset, columns, candidates).read_all()

    def reader(
        self,
        model: str,
        rows: int,
        where: Mapping[str, Any] | None = None,
        seed: int = 0,
        offset: int = 0,
        columns: Sequence[str] | None = None,
        candidates: int | None = None,
    ) -> pa.RecordBatchReader:
        """Return rows as an Arrow reader, which holds one batch at a time; see `batches`."""
        import pyarrow as pa

        found = self.batches(model, rows, where, seed, offset, columns, candidates)
        first = next(found)
        return pa.RecordBatchReader.from_batches(first.schema, chain([first], found))

    def batches(
        self,
        model: str,
        rows: int,
        where: Mapping[str, Any] | None = None,
        seed: int = 0,
        offset: int = 0,
        columns: Sequence[str] | None = None,
        candidates: int | None = None,
    ) -> Generator[pa.RecordBatch]:
        """Yield record batches, in constant memory; at least one, which may be empty.

        All rows come from the version that answered first, also where an alias moves meanwhile.

        Args:
            model: `name`, `name:version` or `name:alias`.
            rows: how many, at least 0.
            where: column → value that every row shall have; None as a value asks for a gap.
            seed: of the sample; the same seed gives the same rows.
            offset: number of the first row.
            columns: the columns wanted, in order; None for all.
            candidates: rows made for each one kept; None as the model was trained for.

        Raises:
            ConfigError: a number that is none.
            ServiceUserError: a field, column or value that does not fit (also a `UserError`).
            ServiceNotFound: there is no such model.
            ServiceError: no answer, or none in time; what was yielded so far is right.
        """
        if not (rows := _whole("rows", rows)):
            # One row tells the columns.
            for batch in self.batches(model, 1, where, seed, offset, columns, candidates):
                yield batch.slice(0, 0)
            return
        sample = _Sample(_whole("seed", seed), where, columns, candidates)
        first = _whole("offset", offset)
        yield from self._parts(model, sample, first, first + rows)

    def _parts(self, model: str, sample: _Sample, first: int, end: int) -> Generator[pa.RecordBatch]:
        """Yield the rows first … end − 1, part after part; what broke off goes on where it broke."""
        place, failures, digest, most = first, 0, "", PART_ROWS
        while place < end:
            before = place
            try:
                with self._opened(model, sample, place, min(most, end - place)) as part:
                    if place > first and part.digest != digest:
                        raise ServiceError(
                            f"{model} has other content from row {place:,} on: it was published anew "
                            "meanwhile; ask for all rows again"
                        )
                    model, digest = part.model, part.digest
                    for batch in part.batches:
                        place += batch.num_rows
                        yield batch
            except ServiceUserError as error:
                # The service gives fewer at a time: by its limits, or since rows of many columns are long.
                most = min(most, end - place) // 2
                if error.code not in _TOO_MANY or most < 1:
                    raise
            except _Broken as error:
                failures = 1 if place > before else failures + 1
                if failures >= self._attempts:
                    raise ServiceError(
                        f"{self.url} broke off {failures} times at row {place:,}: {error}"
                    ) from error
                self._sleep(pause(failures))

    def save(
        self,
        model: str,
        rows: int,
        path: str | Path,
        where: Mapping[str, Any] | None = None,
        seed: int = 0,
        offset: int = 0,
        columns: Sequence[str] | None = None,
        candidates: int | None = None,
    ) -> Path:
        """Write rows to a file (`.parquet`, `.csv`, `.csv.gz`, `.arrow`), which appears whole or not at all.

        Raises:
            DataError: a suffix that is no format, or a file that cannot be written.
        """
        from fingan.data import open_sink

        with closing(self.batches(model, rows, where, seed, offset, columns, candidates)) as found:
            first = next(found)
            with open_sink(path, first.schema) as sink:
                sink.write(first)
                for batch in found:
                    sink.write(batch)
        return Path(path)

    def start_job(self, model: str, rows: int, **wanted: Any) -> Json:
        """Let the service write a large sample as partitioned Parquet; return the job's status.

        Args:
            model: `name`, `name:version` or `name:alias`.
            rows: how many.
            wanted: `where`, `seed`, `offset`, `columns`, `candidates`, `partition_rows`.
        """
        body = {name: value for name, value in wanted.items() if value is not None}
        if "where" in body:
            body["where"] = {name: _plain(value) for name, value in body["where"].items()}
        body |= {"model": model, "rows": _whole("rows", rows)}
        # Sent once: were the answer lost and the request repeated, there might be two jobs.
        return self._transport.json("POST", "/v1/jobs", body, again=False)

    def job(self, job: str) -> Json:
        """Return a job's status."""
        return self._transport.json("GET", f"/v1/jobs/{path_part(job)}")

    def jobs(self) -> list[Json]:
        """Return the status of the caller's jobs, the newest first."""
        return self._transport.listing("/v1/jobs", "jobs")

    def cancel_job(self, job: str) -> Json:
        """Ask a job to end; what is written stays."""
        return self._transport.json("DELETE", f"/v1/jobs/{path_part(job)}")

    def wait(self, job: str, timeout: float | None = None, every: float = 2.0) -> Json:
        """Return a job's status once it has ended.

        Raises:
            ServiceError: it has not within `timeout` seconds.
        """
        limit = None if timeout is None else time.monotonic() + timeout
        while True:
            status = self.job(job)
            if status["status"] in ("done", "failed", "cancelled"):
                return status
            if limit is not None and time.monotonic() >= limit:
                raise ServiceError(f"job {job} is {status['status']} after {timeout:g} s")
            self._sleep(every)

    @contextmanager
    def _opened(self, model: str, sample: _Sample, offset: int, rows: int) -> Iterator[_Part]:
        """Open the stream of one part.

        Raises:
            _Broken: the connection failed, or the stream ended early.
        """
        import requests
        import urllib3

        body = sample.body(rows, offset)
        answer = self._transport.answer("POST", f"/v1/models/{path_part(model)}/samples", body, stream=True)
        try:
            if "X-Model" not in answer.headers:
                raise self._transport.stranger(answer)
            told = answer.headers
            yield _Part(told["X-Model"], told.get("X-Digest", ""), _batches(answer, rows))
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise _Broken(type(error).__name__) from error
        finally:
            answer.close()


@dataclass(frozen=True)
class _Part:
    model: str
    digest: str
    batches: Iterator[pa.RecordBatch]


class _Broken(Exception):
    """A stream ended before its end."""


def _batches(answer: requests.Response, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the batches of an Arrow stream; a stream without all its rows is a broken one."""
    import pyarrow as pa

    encoding = answer.headers.get("Content-Encoding", "identity")
    source: Any = answer.raw
    come = 0
    try:
        if encoding != "identity":
            source = pa.input_stream(source, compression=encoding)
        for batch in pa.ipc.open_stream(source):
            come += batch.num_rows
            if come > rows:
                break
            yield batch
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise _Broken(f"{type(error).__name__} after {come:,} of {rows:,} rows") from error
    # Arrow takes the end of the bytes for the end of the rows.
    if come != rows:
        raise _Broken(f"{come:,} of {rows:,} rows came")


def _whole(name: str, value: Any) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if number < 0:
        raise ConfigError(f"{name} is {value!r}; give a whole number, at least 0")
    return number


def _plain(value: Any) -> Any:
    """Return a value of a condition as JSON has it; numpy's and dates as Python's, null for a missing one."""
    if str(getattr(value, "dtype", "")) == "datetime64[ns]":
        # NumPy's own item would be a bare number.
        value = value.astype("datetime64[us]")
    item = getattr(value, "item", None)
    if callable(item):
        value = item()
    if type(value).__name__ in _MISSING or (isinstance(value, float) and math.isnan(value)):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
