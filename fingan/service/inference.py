"""Health and metadata as the Open Inference Protocol (v2) has them, for probes and model meshes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import JSONResponse, Response

from fingan import __version__
from fingan.service.front import caller_of, front_of
from fingan.service.problems import Refused
from fingan.service.routes import Model, _problems
from fingan.types import Json

_TYPES = {
    "bool": "BOOL",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "float": "FP32",
    "double": "FP64",
}
VersionNumber = Annotated[int, Path(ge=1, le=999_999_999)]
router = APIRouter(prefix="/v2", tags=["health"])


@router.get("/health/live")
async def live() -> Json:
    """The process answers."""
    return {"live": True}


@router.get("/health/ready", responses={503: {"description": "not yet"}})
async def ready(request: Request) -> Response:
    """The models that are loaded at the start are there, and rows can be made: a few were just now."""
    found = await front_of(request).readiness.ready()
    return JSONResponse({"ready": found}, 200 if found else 503)


@router.get("", responses=_problems())
async def server(request: Request) -> Json:
    """Name and version of the service."""
    return {"name": "fingan", "version": __version__, "extensions": ["samples"]}


@router.get("/models/{model}", responses=_problems(404, 422, 503))
@router.get("/models/{model}/versions/{version}", responses=_problems(404, 422, 503))
async def metadata(request: Request, model: Model, version: VersionNumber | None = None) -> Json:
    """Columns of a model, as outputs."""
    front = front_of(request)
    found = await front.catalogue.version(_versioned(model, version), caller_of(request))
    columns: list[Json] = found.description["columns"]
    return {
        "name": found.ref.name,
        "versions": [str(found.ref.version)],
        "platform": "fingan",
        "inputs": [],
        "outputs": [
            {"name": column["name"], "datatype": _TYPES.get(column["type"], "BYTES"), "shape": [-1]}
            for column in columns
        ],
    }


@router.get("/models/{model}/ready", responses=_problems(404, 422, 503))
@router.get("/models/{model}/versions/{version}/ready", responses=_problems(404, 422, 503))
async def model_ready(request: Request, model: Model, version: VersionNumber | None = None) -> dict[str, Any]:
    """A version of the model is loaded and sound; loads it where nobody has."""
    front = front_of(request)
    found = await front.catalogue.version(_versioned(model, version), caller_of(request))
    return {"name": found.ref.name, "version": str(found.ref.version), "ready": True}


def _versioned(model: str, version: int | None) -> str:
    if version is None:
        return model
    if ":" in model:
        raise Refused(422, "invalid_name", f"{model[:80]!r} names a version already; name the model alone")
    return f"{model}:{version}"
