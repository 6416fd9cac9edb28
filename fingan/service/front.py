"""What the routes share: configuration, models, admission, quotas, jobs."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request

from fingan.config import ServiceConfig
from fingan.service.admission import Admission
from fingan.service.answer import Answer, compressed, parquet, pieces
from fingan.service.calls import Backend, RowsCall
from fingan.service.catalogue import Catalogue, Version
from fingan.service.compression import Compressor
from fingan.service.formats import RowFormat
from fingan.service.guard import Record
from fingan.service.identity import Caller
from fingan.service.problems import Refused
from fingan.service.quota import Quotas
from fingan.service.readiness import Readiness
from fingan.service.requests import SampleRequest
from fingan.service.sampler import read_schema
from fingan.service.telemetry import Prometheus
from fingan.types import Json

CHECKED = 1000
"""Requests, but for their rows, that were checked and need not be again; those asked last."""


class Jobs(Protocol):
    """Large samples that are written to files; see `fingan.cluster`."""

    async def start(self, wanted: Mapping[str, Any], caller: str) -> Json:
        """Begin a job and return its status.

        Raises:
            Refused: 429, too many wait.
        """

    async def status(self, job: str, caller: str | None) -> Json | None:
        """Return a job's status; None where there is none of that caller (None: of anybody)."""

    async def listing(self, caller: str | None) -> list[Json]:
        """Return the status of all jobs of a caller, the newest first."""

    async def cancel(self, job: str, caller: str | None) -> Json | None:
        """Ask a job to end; return its status."""


@dataclass
class Front:
    """One process that answers HTTP.

    Attributes:
        config: of the service.
        backend: makes the rows.
        catalogue: knows the models.
        admission: bounds what is under way.
        quotas: of callers.
        telemetry: counts.
        readiness: tells whether rows can be made.
        jobs: writes large samples; None where there is nobody to do it.
        paced: whether a slow reader holds its generator back here.
    """

    config: ServiceConfig
    backend: Backend
    catalogue: Catalogue
    admission: Admission
    quotas: Quotas
    telemetry: Prometheus
    paced: bool
    jobs: Jobs | None = None
    checked: OrderedDict[bytes, Json] = field(default_factory=OrderedDict)
    readiness: Readiness = field(init=False)

    def __post_init__(self) -> None:
        config = self.config
        self.readiness = Readiness(
            self.catalogue,
            self.backend,
            config.preload,
            config.limits.wait,
            wakes=config.replicas.fewest > 0,
        )

    def most_rows(self, form: RowFormat, row_bytes: float = 0.0) -> int:
        """Return how many rows an answer of a format may have.

        Args:
            form: of the answer.
            row_bytes: what a row takes, on average; 0 leaves bytes out of account.
        """
        limits = self.config.limits
        streamed = limits.rows if self.paced else min(limits.rows, limits.unpaced_rows)
        if not self.paced and row_bytes:
            streamed = min(streamed, int(limits.unpaced_bytes / row_bytes))
        return min(streamed, limits.json_rows) if form.whole else streamed

    def check_size(self, asked: SampleRequest, form: RowFormat) -> None:
        """Refuse what no single answer may hold.

        Raises:
            Refused: names the limit and what to do instead.
        """
        limits, most = self.config.limits, self.most_rows(form)
        if asked.rows > most:
            raise Refused(
                413,
                "too_many_rows",
                f"rows: {asked.rows:,} is more than the {most:,} of one {form.name} answer; ask for parts "
                "with offset, or start a job with POST /v1/jobs",
            )
        if len(asked.where) > limits.where_columns:
            raise Refused(422, "invalid_request", f"where: gives more than {limits.where_columns:,} columns")

    def check_bytes(self, answer: Answer) -> None:
        """Refuse an answer that would fill the memory of a front whose readers do not hold it back.

        Raises:
            Refused: names the limit and what to do instead.
        """
        most = self.config.limits.unpaced_bytes
        if not self.paced and answer.size > most:
            fit = int(most / answer.row_bytes)
            detail = (
                f"rows: {answer.rows:,} of about {answer.row_bytes:,.0f} bytes in {answer.form.name} are "
                f"more than the {most:,} bytes of one answer; ask for {fit:,} rows at a time with offset, "
                "for fewer columns, or start a job with POST /v1/jobs"
            )
            raise Refused(413, "too_many_bytes", detail)

    async def answer(self, version: Version, asked: SampleRequest, form: RowFormat) -> tuple[Answer, int]:
        """Check a request against a version; return the answer to be made and its candidates per row.

        Raises:
            Refused, ConfigError, ConditionError: names field, value and remedy.
        """
        call = RowsCall(
            model=str(version.ref),
            digest=version.digest,
            first=asked.offset,
            last=asked.offset + asked.rows,
            seed=asked.seed,
            where=dict(asked.where) or None,
            columns=None if asked.columns is None else tuple(asked.columns),
            candidates=asked.candidates,
        )
        found = await self._checked(call)
        _check_identifiers(call, found["identifiers"])
        chunk = self.config.limits.chunk_rows
        ahead = 1 + self.config.replicas.threads * self.config.replicas.most
        schema, width = read_schema(found["schema"]), float(found["bytes"][form.name])
        answer = Answer(call, form, schema, chunk, width, min(ahead, 8))
        return answer, int(found["candidates"])

    def cost(self, version: Version, rows: int, candidates: int) -> int:
        """Return what a quota is charged: rows, and more for more candidates than are configured."""
        configured = int(version.description["candidates"])
        return -(-rows * max(candidates, configured) // configured)

    async def marginals(self, version: Version) -> Json:
        """Return the distribution of every column of a version's training table.

        Raises:
            Refused: too many wait.
        """
        async with self.admission.small.first():
            return await self.backend.marginals(str(version.ref))

    async def _checked(self, call: RowsCall) -> Json:
        """Ask a replica, unless it has been asked the same before."""
        # By a hash: what callers write may be as long as a request's body, and is not to be kept.
        asked = repr((call.digest, call.where, call.columns, call.candidates))
        key = hashlib.sha256(asked.encode("utf-8", "backslashreplace")).digest()
        found = self.checked.get(key)
        if found is None:
            async with self.admission.small.first():
                found = await self.backend.check(call)
        self.checked[key] = found
        self.checked.move_to_end(key)
        while len(self.checked) > CHECKED:
            self.checked.popitem(last=False)
        return found

    async def body(
        self, answer: Answer, caller: Caller, record: Record, work: Compressor | None, cost: int
    ) -> AsyncGenerator[bytes]:
        """Yield the bytes of an answer, whose rows `cost` so much in all, and keep the books."""
        rows = answer.rows
        self.quotas.take(caller, cost)
        given = 0

        def count(number: int) -> None:
            nonlocal given
            given += number

        try:
            # Small answers are bounded by their gate: slow readers of long ones do not shut them out.
            async with (
                nullcontext() if answer.is_small else self.admission.stream(),
                nullcontext() if self.paced else self.admission.room(answer.size),
                aclosing(pieces(answer, self.backend, self.admission, count)) as parts,
            ):
                made: AsyncIterator[bytes] = parts
                if answer.form.name == "parquet":
                    made = parquet(made, answer.schema)
                if work is not None:
                    made = compressed(made, work)
                async for part in made:
                    self.telemetry.piece()
                    yield part
        finally:
            self.telemetry.rows(answer.call.model.partition(":")[0], given)
            record.facts |= {"model": answer.call.model, "rows": rows, "whole": given == rows}
            # Charged is what was handed on.
            self.quotas.give_back(caller, cost * (rows - given) // rows)


def _check_identifiers(call: RowsCall, identifiers: Json | None) -> None:
    """Refuse rows that have no identifier of their own, before any of them is made.

    Raises:
        Refused: names the column and what can be asked for.
    """
    if identifiers is not None and call.last > identifiers["values"]:
        detail = (
            f"rows + offset: {call.last:,} is more than the {identifiers['values']:,} values of column "
            f"{identifiers['column']!r}; ask for rows up to there, or with columns for those that are no "
            "identifiers, or train with longer identifiers"
        )
        raise Refused(422, "data_error", detail)


def caller_of(request: Request) -> Caller:
    """Return who asks, as the guard found out."""
    caller: Caller = request.state.caller
    return caller


def record_of(request: Request) -> Record:
    """Return the request's entry of the audit log."""
    record: Record = request.state.record
    return record


def front_of(request: Request) -> Front:
    """Return the front that answers."""
    front: Front = request.app.state.front
    return front
