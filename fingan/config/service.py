"""The typed configuration of the sampling service: `serve deploy`, `serve run` and `fingan serve` read it."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from fingan.config.section import Duration, Section


class OidcConfig(Section):
    """An identity provider whose signed tokens are accepted beside those of the token file."""

    issuer: str = Field(description="the `iss` of accepted tokens, as https://login.example.com/")
    audience: str = Field(description="the `aud` of accepted tokens: the name of this service there")
    keys_url: str = Field(description="where the provider publishes its keys (JWKS)")
    name_claim: str = Field("sub", description="claim that names the caller in the audit log")
    models_claim: str | None = Field(None, description="claim with the list of models the caller may use")
    rows_per_minute: int | None = Field(None, ge=1, description="quota of every such caller")


class AuthConfig(Section):
    """Who may ask."""

    token_file: str | None = Field(None, description="file of hashed tokens; FINGAN_TOKEN_FILE otherwise")
    required: bool = Field(True, description="false lets everybody in: `fingan serve` on loopback only")
    oidc: OidcConfig | None = Field(None, description="signed tokens of an identity provider")


class LimitsConfig(Section):
    """How much one request, one caller and all together may ask."""

    rows: int = Field(100_000_000, ge=1, le=1 << 40, description="rows of a streamed answer")
    unpaced_rows: int = Field(
        500_000,
        ge=1,
        le=1 << 40,
        description="rows of an answer where the proxy does not hold a generator back for a slow reader",
    )
    unpaced_bytes: int = Field(
        1 << 27, ge=1 << 16, le=1 << 40, description="of such an answer, by what its rows take on average"
    )
    unpaced_together: int = Field(
        1 << 30, ge=1 << 16, le=1 << 44, description="bytes of such answers under way, of one front; then 429"
    )
    json_rows: int = Field(100_000, ge=1, le=1 << 40, description="rows of a JSON answer, which is one value")
    body_bytes: int = Field(1 << 20, ge=1024, le=1 << 30, description="of a request")
    where_columns: int = Field(1000, ge=0, le=100_000, description="columns that a request may give")
    streams: int = Field(64, ge=1, le=100_000, description="long answers under way at a time, of one front")
    queued: int = Field(
        16, ge=0, le=100_000, description="long, and small, requests that wait for their first row; then 429"
    )
    wait: Duration = Field(10.0, description="longest wait for the first row; then 503")
    call: Duration = Field(
        60.0, description="longest time for one call to a replica; then it is made once again, then 503"
    )
    stalled: Duration = Field(60.0, description="an answer whose reader takes nothing for so long is ended")
    chunk_rows: int = Field(8192, ge=1024, le=1 << 20, description="rows that are made and sent at a time")
    rows_per_minute: int | None = Field(
        None, ge=1, description="quota of a caller whose token states none; null: none"
    )
    job_rows: int = Field(10_000_000_000, ge=1, le=1 << 44, description="rows of a job")
    jobs: int = Field(2, ge=1, le=1000, description="jobs at work at a time; others wait")
    job_parts: int = Field(
        4, ge=1, le=4096, description="parts of a job made at a time on a cluster, on one CPU each"
    )
    jobs_listed: Duration = Field(
        30 * 86_400.0, description="age up to which a listing has jobs; older ones are asked for by their id"
    )
    jobs_waiting: int = Field(100, ge=0, le=100_000, description="jobs that wait; then 429")


class ReplicasConfig(Section):
    """The processes that make rows."""

    fewest: int = Field(1, ge=0, le=10_000, description="0 lets an idle service give up all of them")
    most: int = Field(1, ge=1, le=10_000, description="as many as the load asks for, up to this")
    cpus: float = Field(1.0, ge=0, le=256, description="of each; as many chunks are made at a time")
    gpus: float = Field(0.0, ge=0, le=16, description="of each")
    models: int = Field(
        4, ge=1, le=1000, description="generators kept in memory; the least recently used goes"
    )
    target: float = Field(2.0, gt=0, le=1000, description="calls under way per replica that scaling aims at")
    idle: Duration = Field(300.0, description="how long a replica stays without work")

    @model_validator(mode="after")
    def _in_order(self) -> ReplicasConfig:
        if self.fewest > self.most:
            raise ValueError(
                f"replicas.fewest is {self.fewest} but replicas.most is {self.most}; raise the latter"
            )
        return self

    @property
    def threads(self) -> int:
        """Chunks that a replica makes at a time."""
        return max(1, int(self.cpus))


class ServiceConfig(Section):
    """Everything that the service needs to know."""

    registry: str = Field("registry", description="folder or URL of the registry, as every node reaches it")
    models: tuple[str, ...] | None = Field(None, description="the only models served; null: all")
    preload: tuple[str, ...] = Field(
        (), description="models loaded at the start: NAME, NAME:VERSION or NAME:ALIAS"
    )
    refresh: Duration = Field(5.0, description="how often new versions and moved aliases are looked for")
    jobs_place: str | None = Field(
        None, description="folder or URL below which jobs write; null: `.samples` in the registry"
    )
    fronts: int = Field(1, ge=1, le=1000, description="processes that answer HTTP")
    paced: bool | None = Field(
        None, description="whether the proxy holds a generator back for a slow reader; null: found out"
    )
    auth: AuthConfig = AuthConfig()
    limits: LimitsConfig = LimitsConfig()
    replicas: ReplicasConfig = ReplicasConfig()

    @model_validator(mode="before")
    @classmethod
    def _nested(cls, values: Any) -> Any:
        """Take `auth.token_file=…` too: `serve run` has no other way to give a section's key."""
        if not isinstance(values, dict) or not any(isinstance(key, str) and "." in key for key in values):
            return values
        nested: dict[str, Any] = {}
        for key, value in values.items():
            section, dot, name = str(key).partition(".")
            if not dot:
                nested[section] = value
            elif isinstance(nested.setdefault(section, {}), dict):
                nested[section][name] = value
        return nested
