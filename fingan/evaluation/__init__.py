"""Evaluation of synthetic tables: figures with floors and intervals, report, gates, live score.

Names are imported on first use: a process that trains or samples needs a few modules of this
package, and none of those that bring scikit-learn.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fingan.evaluation.catalogue import CATALOGUE, Info, Verdict, verdict
    from fingan.evaluation.gate import Failure, check_rules, read_gates
    from fingan.evaluation.inputs import HalfModel
    from fingan.evaluation.metric import Metric
    from fingan.evaluation.quick import validation_score
    from fingan.evaluation.report import Report
    from fingan.evaluation.whole import SECTIONS, evaluate

_DEFERRED = {
    "CATALOGUE": "catalogue",
    "SECTIONS": "whole",
    "Failure": "gate",
    "HalfModel": "inputs",
    "Info": "catalogue",
    "Metric": "metric",
    "Report": "report",
    "Verdict": "catalogue",
    "check_rules": "gate",
    "evaluate": "whole",
    "read_gates": "gate",
    "validation_score": "quick",
    "verdict": "catalogue",
}

__all__ = [
    "CATALOGUE",
    "SECTIONS",
    "Failure",
    "HalfModel",
    "Info",
    "Metric",
    "Report",
    "Verdict",
    "check_rules",
    "evaluate",
    "read_gates",
    "validation_score",
    "verdict",
]


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name not in _DEFERRED:
        raise AttributeError(f"module 'fingan.evaluation' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"fingan.evaluation.{_DEFERRED[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
