"""`/v1`: models, their samples, and jobs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from fingan.errors import FinganError
from fingan.service.catalogue import Version
from fingan.service.compression import compressor
from fingan.service.departure import LEFT, unless_gone
from fingan.service.formats import FORMATS, RowFormat, negotiate
from fingan.service.front import Front, Jobs, caller_of, front_of, record_of
from fingan.service.problems import MEDIA_TYPE, Refused
from fingan.service.requests import (
    JOB,
    REFERENCE,
    JobList,
    JobRequest,
    JobStatus,
    ModelDescription,
    ModelList,
    Problem,
    SampleRequest,
)
from fingan.service.streams import Streamed
from fingan.types import Json

Model = Annotated[
    str,
    Path(pattern=REFERENCE, description="name, name:version or name:alias", examples=["loans", "loans:2"]),
]
Format = Annotated[
    str | None,
    Query(alias="format", max_length=20, description="counts more than Accept: " + ", ".join(FORMATS)),
]
_TEXTS = {
    400: "the body cannot be read",
    401: "no token, or none that is known",
    404: "no such model, version, alias or job",
    406: "none of the accepted formats is ours",
    408: "the body did not come in time",
    413: "too many rows or bytes for one answer, or too large a body",
    422: "a field, column or value that does not fit",
    429: "the service is busy, or the caller's quota is used up; see Retry-After",
    503: "no sound version, or no replica in time; see Retry-After",
}


class Markdown(PlainTextResponse):
    """Text that may be rendered."""

    media_type = "text/markdown"


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    content = {MEDIA_TYPE: {"schema": Problem.model_json_schema()}}
    return {s: {"description": _TEXTS[s], "content": content} for s in (401, *statuses)}


_SAMPLES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the rows, streamed",
        "content": {form.media_type: {"schema": {"type": "string"}} for form in FORMATS.values()}
        | {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"columns": {"type": "array"}, "rows": {"type": "array"}},
                }
            }
        },
    },
    **_problems(400, 404, 406, 408, 413, 422, 429, 503),
}
Job = Annotated[str, Path(pattern=JOB, description="number of a job")]
router = APIRouter(prefix="/v1")


@router.get("/models", response_model=ModelList, responses=_problems(503), tags=["models"])
async def list_models(request: Request) -> Json:
    """List the models that the caller may use."""
    return {"models": await front_of(request).catalogue.listing(caller_of(request))}


@router.get(
    "/models/{model}", response_model=ModelDescription, responses=_problems(404, 422, 503), tags=["models"]
)
async def describe_model(request: Request, model: Model) -> Json:
    """Describe a version: columns, quality, memorisation, limits."""
    front, caller = front_of(request), caller_of(request)
    version = await front.catalogue.version(model, caller)
    aliases = await front.catalogue.aliases(version.ref.name)
    told = {name: value for name, value in version.description.items() if name not in ("card", "bytes")}
    width: dict[str, float] = version.description["bytes"]
    return {
        **told,
        "aliases": [alias for alias, number in aliases.items() if number == version.ref.version],
        "limits": {
            "rows": front.most_rows(FORMATS["arrow"], width["arrow"]),
            "json_rows": front.most_rows(FORMATS["json"], width["json"]),
        },
        "problem": await front.catalogue.problem(model, caller),
    }


@router.get(
    "/models/{model}/card",
    response_class=Markdown,
    responses=_problems(404, 422, 503),
    tags=["models"],
)
async def model_card(request: Request, model: Model) -> Response:
    """Return the model card, Markdown."""
    version = await front_of(request).catalogue.version(model, caller_of(request))
    return Markdown(version.description["card"])


@router.get("/models/{model}/marginals", responses=_problems(404, 422, 429, 503), tags=["models"])
async def model_marginals(request: Request, model: Model) -> dict[str, Any]:
    """Return the distribution of every column of the training table, as the bundle holds it."""
    front = front_of(request)
    version = await front.catalogue.version(model, caller_of(request))
    return await front.marginals(version)


@router.post(
    "/models/{model}/samples", response_class=StreamingResponse, responses=_SAMPLES, tags=["samples"]
)
async def draw_samples(request: Request, model: Model, asked: SampleRequest, form: Format = None) -> Response:
    """Draw rows.

    Row i is a function of version, seed, candidates and condition: the same from every replica, and
    whatever `rows` and `offset` are. A broken download goes on with `offset`.
    """
    front, caller = front_of(request), caller_of(request)
    chosen = _format(request, form)
    front.check_size(asked, chosen)
    version = await front.catalogue.version(model, caller)
    answer, candidates = await front.answer(version, asked, chosen)
    front.check_bytes(answer)
    compression = compressor(request.headers.get("accept-encoding"))
    work = None if compression is None else compression[1]
    cost = front.cost(version, asked.rows, candidates)
    body = front.body(answer, caller, record_of(request), work, cost)
    headers = _headers(version, asked, candidates, chosen)
    if compression is not None:
        headers["Content-Encoding"] = compression[0]
    begun = await unless_gone(request, _whole(body) if answer.is_short else anext(body))
    if begun is None:
        record_of(request).facts["broken_off"] = True
        return Response(status_code=LEFT)
    if answer.is_short:
        return Response(begun, headers=headers, media_type=chosen.media_type)
    return Streamed(_behind(begun, body), headers=headers, media_type=chosen.media_type)


async def _whole(body: AsyncGenerator[bytes]) -> bytes:
    return b"".join([part async for part in body])


def _format(request: Request, asked: str | None) -> RowFormat:
    found = negotiate(request.headers.get("accept"), asked)
    if found is None:
        known = ", ".join(f"{form.name} ({form.media_type})" for form in FORMATS.values())
        raise Refused(406, "not_acceptable", f"rows come as {known}; name one in Accept or in ?format=")
    return found


def _headers(version: Version, asked: SampleRequest, candidates: int, form: RowFormat) -> dict[str, str]:
    name = f"{version.ref.name}-{version.ref.version}-{asked.seed}-{asked.offset}.{form.suffix}"
    return {
        "X-Model": str(version.ref),
        "X-Digest": version.digest,
        "X-Rows": str(asked.rows),
        "X-Seed": str(asked.seed),
        "X-Offset": str(asked.offset),
        "X-Candidates": str(candidates),
        "Content-Disposition": f'attachment; filename="{name}"',
        "Vary": "Accept, Accept-Encoding",
    }


async def _behind(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """Yield what was waited for, so that an error before it is told as one, then the rest."""
    try:
        yield first
        async for part in rest:
            yield part
    finally:
        await rest.aclose()


@router.post(
    "/jobs",
    status_code=202,
    response_model=JobStatus,
    responses=_problems(400, 404, 408, 413, 422, 429, 503),
    tags=["jobs"],
)
async def start_job(request: Request, response: Response, asked: JobRequest) -> Json:
    """Write a large sample as partitioned Parquet, below the place that the operator chose."""
    front, caller = front_of(request), caller_of(request)
    most = front.config.limits.job_rows
    if asked.rows > most:
        raise Refused(
            413, "too_many_rows", f"rows: {asked.rows:,} is more than the {most:,} of one job; start several"
        )
    jobs = _jobs(front)
    version = await front.catalogue.version(asked.model, caller)
    sample = SampleRequest(rows=asked.rows, **asked.model_dump(exclude={"model", "rows", "partition_rows"}))
    _, candidates = await front.answer(version, sample, FORMATS["arrow"])
    cost = front.cost(version, asked.rows, candidates)
    front.quotas.take(caller, cost)
    wanted = {**asked.model_dump(), "model": str(version.ref), "digest": version.digest}
    try:
        status = await jobs.start(wanted, caller.name)
    except FinganError:
        front.quotas.give_back(caller, cost)
        raise
    record_of(request).facts |= {"job": status["id"], "model": str(version.ref), "rows": asked.rows}
    response.headers["Location"] = f"/v1/jobs/{status['id']}"
    return status


@router.get("/jobs", response_model=JobList, responses=_problems(404, 503), tags=["jobs"])
async def list_jobs(request: Request) -> Json:
    """List the caller's jobs, the newest first."""
    return {"jobs": await _jobs(front_of(request)).listing(caller_of(request).name)}


@router.get("/jobs/{job}", response_model=JobStatus, responses=_problems(404, 422, 503), tags=["jobs"])
async def job_status(request: Request, job: Job) -> Json:
    """Tell how far a job is."""
    return _known(await _jobs(front_of(request)).status(job, caller_of(request).name), job)


@router.delete("/jobs/{job}", response_model=JobStatus, responses=_problems(404, 422, 503), tags=["jobs"])
async def cancel_job(request: Request, job: Job) -> Json:
    """Ask a job to end; the files that are whole stay."""
    found = _known(await _jobs(front_of(request)).cancel(job, caller_of(request).name), job)
    record_of(request).facts |= {"job": job}
    return found


def _known(status: Json | None, job: str) -> Json:
    if status is None:
        raise Refused(404, "not_found", f"you have no job {job!r}; GET /v1/jobs lists yours")
    return status


def _jobs(front: Front) -> Jobs:
    if front.jobs is None:
        raise Refused(404, "no_jobs", "this service runs no jobs; use `fingan sample` or ray_jobs/sample.py")
    return front.jobs
