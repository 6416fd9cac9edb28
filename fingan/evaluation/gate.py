"""Gates: figures a model must meet, as `metric: {max: x}` or `{min: x}`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fingan.config import read_yaml
from fingan.errors import ConfigError, nearest
from fingan.evaluation.catalogue import CATALOGUE
from fingan.evaluation.metric import Metric

Rules = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Failure:
    """A gate that was not met.

    Attributes:
        metric: its name.
        value: what was measured; None where the metric was not.
        message: one sentence.
    """

    metric: str
    value: float | None
    message: str


def read_gates(path: str | Path) -> Rules:
    """Read a YAML file of gates.

    Raises:
        ConfigError: unreadable, not a mapping, an unknown metric or bound, or a bound that is no number.
    """
    try:
        values = read_yaml(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the gates {str(path)!r}: {error}") from error
    return check_rules(values)


def check_rules(values: Any) -> Rules:
    """Return the rules, or say what is wrong with them.

    Raises:
        ConfigError: not a mapping, an unknown metric (with the nearest known one) or bound,
            or a bound that is no finite number.
    """
    if not isinstance(values, Mapping) or not values:
        raise ConfigError(f"gates must be a mapping such as 'detection_auc: {{max: 0.7}}', got {values!r}")
    for name, bounds in values.items():
        if name not in CATALOGUE:
            raise ConfigError(f"unknown metric {name!r} in the gates.{nearest(str(name), CATALOGUE)}")
        if not isinstance(bounds, Mapping) or not bounds:
            raise ConfigError(f"the gate of {name!r} must be {{max: x}} or {{min: x}}, got {bounds!r}")
        for bound, limit in bounds.items():
            if bound not in ("max", "min"):
                raise ConfigError(f"unknown bound {bound!r} of {name!r}; write max or min")
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not math.isfinite(limit):
                raise ConfigError(f"the {bound} of {name!r} must be a number, got {limit!r}")
    return values


def apply_gates(rules: Rules, metrics: Sequence[Metric], omitted: Mapping[str, str]) -> list[Failure]:
    """Return the gates that fail; a metric that was not measured fails its gate.

    Raises:
        ConfigError: see `check_rules`.
    """
    known = {metric.name: metric for metric in metrics}
    failures: list[Failure] = []
    for name, bounds in check_rules(rules).items():
        if name not in known:
            reason = omitted.get(name, "it was not asked for")
            failures.append(Failure(name, None, f"{name} was not measured: {reason}"))
            continue
        value = known[name].value
        if "max" in bounds and value > bounds["max"]:
            failures.append(
                Failure(name, value, f"{name} is {value:.4g}, above the maximum {bounds['max']:g}")
            )
        if "min" in bounds and value < bounds["min"]:
            failures.append(
                Failure(name, value, f"{name} is {value:.4g}, below the minimum {bounds['min']:g}")
            )
    return failures
