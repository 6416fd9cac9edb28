"""Typed configuration: models, constraints, reading and writing."""

from fingan.config.constraints import Constraint, FixedCombinations, LessEqual, Range, Unique
from fingan.config.loading import from_mapping, load, to_mapping, to_yaml
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
    duration_text,
    seconds,
)

__all__ = [
    "MOST_CANDIDATES",
    "CheckpointConfig",
    "ComputeConfig",
    "ConditioningConfig",
    "Config",
    "Constraint",
    "DataConfig",
    "FixedCombinations",
    "HealthConfig",
    "LessEqual",
    "NetworkConfig",
    "ObjectiveConfig",
    "Range",
    "SamplingConfig",
    "TrainingConfig",
    "Unique",
    "duration_text",
    "from_mapping",
    "load",
    "seconds",
    "to_mapping",
    "to_yaml",
]
