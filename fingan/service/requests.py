"""Bodies of requests, checked before anything is done, and of answers, for the documentation."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_validator,
)

from fingan.config import MOST_CANDIDATES

REFERENCE = r"^[a-z0-9][a-z0-9._-]{0,63}(:[a-z0-9][a-z0-9._-]{0,63})?$"
"""A model, perhaps with a version or alias; the registry's grammar."""

JOB = r"^[0-9]{8}-[0-9a-f]{16}$"


def _whole(value: object) -> object:
    """Take `7.0` for 7, as JSON Schema does; a text or a truth value is no number."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[StrictInt, BeforeValidator(_whole)]
Value = StrictStr | StrictInt | StrictFloat | StrictBool | None
Name = Annotated[StrictStr, Field(max_length=1000)]
MOST_ROWS = 1 << 47
TEXT_LENGTH = 10_000
"""Of a value that is given."""

_LOANS: dict[str, JsonValue] = {"rows": 1000, "seed": 7, "where": {"credit_risk": "bad"}}


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Sampling(_Body):
    """What rows are wanted."""

    seed: Whole = Field(0, ge=0, lt=1 << 63, description="of the sample; the same seed gives the same rows")
    offset: Whole = Field(0, ge=0, le=MOST_ROWS, description="number of the first row; continues a download")
    where: dict[Name, Value] = Field(
        default_factory=dict, description="column → value that every row shall have; null asks for a gap"
    )
    columns: list[Name] | None = Field(
        None, min_length=1, description="the columns wanted, in order; null: all"
    )
    candidates: Whole | None = Field(
        None,
        ge=1,
        le=MOST_CANDIDATES,
        description="rows made for each one kept: 1 is fastest; null: as the model was trained for",
    )

    @field_validator("where")
    @classmethod
    def _has_short_texts(cls, where: dict[str, Value]) -> dict[str, Value]:
        for name, value in where.items():
            if isinstance(value, str) and len(value) > TEXT_LENGTH:
                raise ValueError(
                    f"the text for {name[:80]!r} has {len(value):,} characters, and may have "
                    f"{TEXT_LENGTH:,}; give a value that the column has"
                )
        return where


class SampleRequest(Sampling):
    """Body of `POST /v1/models/{model}/samples`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"examples": [_LOANS, {"rows": 10}]},
    )

    rows: Whole = Field(ge=1, le=MOST_ROWS, description="how many")


class JobRequest(Sampling):
    """Body of `POST /v1/jobs`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        json_schema_extra={"examples": [{"model": "loans:2", "rows": 100_000_000}]},
    )

    model: StrictStr = Field(pattern=REFERENCE, description="name, name:version or name:alias")
    rows: Whole = Field(ge=1, le=MOST_ROWS, description="how many")
    partition_rows: Whole = Field(1_000_000, ge=1 << 14, le=1 << 28, description="rows of a file")


class Problem(BaseModel):
    """An error, as RFC 9457 writes it."""

    type: str
    title: str
    status: int
    detail: str
    code: str


class ModelSummary(BaseModel):
    """One model of the list."""

    name: str
    latest: int | None
    versions: list[int]
    aliases: dict[str, int]
    unreadable: dict[str, str] = Field(
        default_factory=dict, description="aliases that cannot be read, and what to do"
    )
    problem: str | None
    kind: str | None = None
    created: str | None = None


class ModelList(BaseModel):
    """Answer of `GET /v1/models`."""

    models: list[ModelSummary]


class ColumnDescription(BaseModel):
    """A column of a model's rows."""

    name: str
    kind: str
    type: str
    nullable: bool
    conditionable: bool


class RowLimits(BaseModel):
    """Rows of one request."""

    rows: int
    json_rows: int


class ModelDescription(BaseModel):
    """Answer of `GET /v1/models/{model}`."""

    name: str
    version: int
    aliases: list[str]
    kind: str
    created: str
    digest: str
    fingan: str
    candidates: int
    columns: list[ColumnDescription]
    metrics: dict[str, Any] | None
    limits: RowLimits
    problem: str | None


class JobStatus(BaseModel):
    """A job."""

    id: str
    model: str
    status: str
    rows: int
    rows_done: int
    parts: int
    parts_done: int
    place: str
    created: str
    finished: str | None
    problem: str | None


class JobList(BaseModel):
    """Answer of `GET /v1/jobs`."""

    jobs: list[JobStatus]
