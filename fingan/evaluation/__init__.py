"""Evaluation of synthetic tables: figures with floors and intervals, report, gates, live score."""

from fingan.evaluation.catalogue import CATALOGUE, Info, Verdict, verdict
from fingan.evaluation.evaluate import SECTIONS, evaluate
from fingan.evaluation.gate import Failure, check_rules, read_gates
from fingan.evaluation.inputs import HalfModel
from fingan.evaluation.metric import Metric
from fingan.evaluation.quick import validation_score
from fingan.evaluation.report import Report

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
