"""Typed configuration: models, constraints, reading and writing."""

from fingan.config.constraints import Constraint, FixedCombinations, LessEqual, Range, Unique
from fingan.config.loading import from_mapping, load, load_service, read_yaml, to_mapping, to_yaml
from fingan.config.models import (
    MOST_CANDIDATES,
    CheckpointConfig,
    ComputeConfig,
    ConditioningConfig,
    Config,
    DataConfig,
    HealthConfig,
    NetworkConfig,
    ObjectiveConfig,
    SamplingConfig,
    TrainingConfig,
)
from fingan.config.section import Duration, Section, duration_text, seconds
from fingan.config.service import (
    AuthConfig,
    LimitsConfig,
    OidcConfig,
    ReplicasConfig,
    ServiceConfig,
)
from fingan.config.tuning import Axis, Choice, Scalar, Span, TuneConfig

__all__ = [
    "MOST_CANDIDATES",
    "AuthConfig",
    "Axis",
    "CheckpointConfig",
    "Choice",
    "ComputeConfig",
    "ConditioningConfig",
    "Config",
    "Constraint",
    "DataConfig",
    "Duration",
    "FixedCombinations",
    "HealthConfig",
    "LessEqual",
    "LimitsConfig",
    "NetworkConfig",
    "ObjectiveConfig",
    "OidcConfig",
    "Range",
    "ReplicasConfig",
    "SamplingConfig",
    "Scalar",
    "Section",
    "ServiceConfig",
    "Span",
    "TrainingConfig",
    "TuneConfig",
    "Unique",
    "duration_text",
    "from_mapping",
    "load",
    "load_service",
    "read_yaml",
    "seconds",
    "to_mapping",
    "to_yaml",
]
