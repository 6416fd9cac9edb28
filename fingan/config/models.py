"""The typed configuration: one frozen pydantic model per section of `fingan.yaml`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, model_validator

from fingan.config.constraints import Constraint
from fingan.config.section import Duration, Section
from fingan.config.tuning import TuneConfig

Moment = Annotated[float, Field(ge=0.0, lt=1.0)]


class DataConfig(Section):
    """What is learned from which columns."""

    target: str | None = Field(None, description="label column; named more often in training conditions")
    schema_path: str | None = Field(None, alias="schema", description="path of an edited schema.yaml")
    validation: float = Field(
        0.1, ge=0.0, lt=0.9, description="share of the rows held out for selection; under 50 rows, none"
    )
    constraints: tuple[Constraint, ...] = Field((), description="rules that every generated row keeps")
    in_memory: int = Field(
        200_000_000, ge=0, description="values (rows × columns) that are held; more, in Parquet, are streamed"
    )

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


GeneratorName = Literal["residual", "dense", "conv"]


class NetworkConfig(Section):
    """Architecture of both networks."""

    generator: GeneratorName = Field("residual", description="generator architecture")
    discriminator: GeneratorName = Field("residual", description="discriminator architecture")
    width: int = Field(256, ge=8, le=8192, description="hidden units (residual) or base channels × 8 (conv)")
    blocks: int = Field(1, ge=1, le=32, description="residual blocks")
    noise: int = Field(64, ge=1, le=4096, description="width of the generator's noise")
    knots: int = Field(
        12, ge=0, le=256, description="piecewise-linear features per number that the discriminator sees"
    )


class ObjectiveConfig(Section):
    """What the two networks are trained to do."""

    name: Literal["relativistic", "wasserstein_gp", "minimax"] = Field(
        "relativistic", description="adversarial loss"
    )
    penalty: Literal["first_order", "exact", "none"] = Field(
        "first_order", description="zero-centred gradient penalty"
    )
    gamma: float = Field(0.5, ge=0.0, le=1e6, description="penalty weight at the start")
    gamma_end: float = Field(0.1, ge=0.0, le=1e6, description="penalty weight at the end (geometric path)")
    penalty_every: int = Field(
        4, ge=1, le=64, description="every how-manieth row of a batch pays the penalty, weighted up by it"
    )
    discriminator_steps: int = Field(1, ge=1, le=20, description="discriminator updates per generator update")
    marginals: float = Field(
        0.3,
        ge=0.0,
        le=1e3,
        description="weight that keeps generated categories at their training shares; times the share of "
        "rows with nothing given",
    )


class TrainingConfig(Section):
    """The loop."""

    batch_size: int = Field(512, ge=2, le=1 << 20, description="rows per step, over all workers")
    steps: int | None = Field(
        None, ge=1, description="stop after this many steps; null: the time budget decides"
    )
    time_budget: Duration | None = Field(
        600.0, description="stop after this long (10m, 90s); null: steps decide"
    )
    epochs: float | None = Field(
        300.0,
        gt=0.0,
        le=1e9,
        description="passes over the rows after which a time budget's run is over, lest a small table "
        "is learnt by heart; null: any number",
    )
    lr: float = Field(1e-3, gt=0.0, le=1.0, description="Adam's learning rate after warm-up")
    generator_pace: float = Field(
        2.0, gt=0.0, le=100.0, description="the generator's learning rate as a multiple of `lr`"
    )
    betas: tuple[Moment, Moment] = Field((0.0, 0.99), description="Adam's moments")
    ema: float = Field(0.999, ge=0.0, lt=1.0, description="decay of the generator's moving average")
    warmup_steps: int = Field(100, ge=0, description="steps of linear warm-up")
    validations: int = Field(
        12, ge=1, le=1000, description="validations per run; the best one's generator is kept"
    )
    patience: int | None = Field(
        None, ge=1, description="validations without a gain before stopping; null: never"
    )
    shards: int = Field(
        16, ge=1, le=4096, description="virtual shards of a batch; at least the number of workers"
    )

    @model_validator(mode="after")
    def _ends(self) -> TrainingConfig:
        if self.steps is None and self.time_budget is None:
            raise ValueError("nothing ends the training; set training.steps or training.time_budget")
        return self


class ConditioningConfig(Section):
    """Which columns may be given when sampling."""

    columns: Literal["any", "none"] | tuple[str, ...] = Field(
        "any", description="any, none, or a list of columns"
    )
    unconditional_share: float = Field(
        0.8, ge=0.0, le=1.0, description="share of training rows with nothing given"
    )

    def covers(self, names: Collection[str]) -> bool:
        """Whether training gives the network what these columns, which are given together, hold."""
        if self.unconditional_share == 1.0 or self.columns == "none":
            return False
        return self.columns == "any" or not set(self.columns).isdisjoint(names)


MOST_CANDIDATES = 64


class SamplingConfig(Section):
    """How rows are drawn from the trained generator."""

    candidates: int = Field(
        4,
        ge=1,
        le=MOST_CANDIDATES,
        description="rows generated for each one kept, by the ratio of densities; 1: all are kept",
    )


class HealthConfig(Section):
    """What happens when training leaves the healthy range."""

    on_nonfinite: Literal["rollback", "stop"] = Field(
        "rollback", description="reaction to an unhealthy state"
    )
    max_rollbacks: int = Field(3, ge=0, le=100, description="roll-backs before giving up")


class CheckpointConfig(Section):
    """When the state of a run is written, and how much of it stays."""

    every_steps: int = Field(500, ge=1, description="steps between checkpoints")
    keep: int = Field(3, ge=1, le=1000, description="checkpoints kept")


class ComputeConfig(Section):
    """Workers and precision."""

    workers: int = Field(
        1, ge=0, le=4096, description="Ray Train workers; 0 trains in this process, without Ray"
    )
    threads: int | None = Field(
        None,
        ge=1,
        le=256,
        description="CPU threads per worker; null: this machine's cores shared out, at most 4 (cluster: 1)",
    )
    min_workers: int | None = Field(
        None, ge=1, le=4096, description="go on with so few where nodes are lost; null: wait for all"
    )
    gpus_per_worker: float = Field(
        0, ge=0, le=1, description="GPUs per worker; without workers there are none"
    )
    timeout: Duration = Field(300.0, description="a worker that is silent for so long is replaced")
    precision: Literal["auto", "fp64", "fp32", "bf16"] = Field(
        "auto", description="auto: bf16 where it is fast, as the first worker finds, else fp32"
    )


class Config(Section):
    """The whole of `fingan.yaml`."""

    version: Literal[1] = Field(1, description="version of this file's format")
    kind: Literal["table", "series"] = Field("table", description="table or series")
    data: DataConfig = DataConfig()
    network: NetworkConfig = NetworkConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    training: TrainingConfig = TrainingConfig()
    conditioning: ConditioningConfig = ConditioningConfig()
    sampling: SamplingConfig = SamplingConfig()
    health: HealthConfig = HealthConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    compute: ComputeConfig = ComputeConfig()
    tune: TuneConfig = TuneConfig()
    seed: int = Field(0, ge=0, lt=1 << 63, description="the run is a function of this")

    @property
    def rows_per_step(self) -> int:
        """Training rows that a step goes through: a batch for each of the discriminator's updates."""
        return self.training.batch_size * self.objective.discriminator_steps

    def portable(self) -> Config:
        """Return the configuration without the path of a schema file, which tells nothing elsewhere."""
        return self.model_copy(update={"data": self.data.model_copy(update={"schema_path": None})})

    @model_validator(mode="after")
    def _workers_and_what_they_need(self) -> Config:
        if self.compute.workers > self.training.shards:
            raise ValueError(
                f"compute.workers is {self.compute.workers} but training.shards is {self.training.shards}; "
                "raise training.shards to at least the number of workers"
            )
        if self.compute.workers > self.training.batch_size:
            raise ValueError(
                f"compute.workers is {self.compute.workers} but training.batch_size is "
                f"{self.training.batch_size}; lower compute.workers or raise training.batch_size, of which "
                "every worker has a part"
            )
        fewest = self.compute.min_workers
        if fewest is not None and fewest > self.compute.workers:
            raise ValueError(
                f"compute.min_workers is {fewest} but compute.workers is {self.compute.workers}; "
                "lower compute.min_workers or raise compute.workers"
            )
        gpus = self.compute.gpus_per_worker
        if gpus and not self.compute.workers:
            raise ValueError(
                f"compute.gpus_per_worker is {gpus:g} but compute.workers is 0, which trains on the CPUs of "
                "this process; set compute.gpus_per_worker to 0 or raise compute.workers"
            )
        return self
