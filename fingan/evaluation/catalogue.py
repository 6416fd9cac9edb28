"""What every metric is called, measured in, and how its value is put into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fingan.evaluation.metric import Direction, Metric

Level = Literal["good", "fair", "poor"]
Words = tuple[str, str, str]

REAL: Words = ("like real data", "close to real data", "unlike real data")
TOLD: Words = ("hard to tell from real", "some tells", "told from real")
USE: Words = ("as useful as real rows", "nearly as useful", "less useful")
COPY: Words = ("no sign of copying", "slight sign of copying", "copies rows")
VALID: Words = ("all as they must be", "a few faults", "faulty rows")
RATE: Words = ("rates kept", "rates somewhat off", "rates off")


@dataclass(frozen=True)
class Info:
    """One metric of the catalogue.

    Attributes:
        title: for people.
        section: fidelity, detection, utility, manifold or memorisation.
        unit: `%` or empty.
        direction: which way is better.
        meaning: one sentence.
        good: how far beyond the reference still counts as good.
        fair: how far still counts as fair.
        words: the verdicts good, fair, poor.
        domain: axis of the small chart.
        target: ideal value, where it is not the reference.
    """

    title: str
    section: str
    unit: str
    direction: Direction
    meaning: str
    good: float
    fair: float
    words: Words
    domain: tuple[float, float]
    target: float | None = None


def _utility(
    name: str, title: str, direction: Direction, good: float, fair: float, meaning: str
) -> dict[str, Info]:
    target = 1.0 if direction == "target" else None
    domain = (0.0, 2.0) if direction == "target" else (0.0, 1.0)
    return {
        f"tstr_{prefix}{name}": Info(
            f"{title}, {model}", "utility", "", direction, meaning, good, fair, USE, domain, target
        )
        for prefix, model in (("", "boosted trees"), ("linear_", "linear model"))
    }


CATALOGUE: dict[str, Info] = {
    "shape_error": Info(
        "Shape error", "fidelity", "%", "lower",
        "Mean distance of the columns' distributions (Kolmogorov–Smirnov, total variation); blind to pairs.",
        0.7, 3.0, REAL, (0, 10),
    ),
    "trend_error": Info(
        "Trend error", "fidelity", "%", "lower",
        "Mean error over all pairs of columns; bins from the real table.", 1.0, 4.0, REAL, (0, 15),
    ),
    "trend_error_own_bins": Info(
        "Trend error, own bins", "fidelity", "%", "lower",
        "As published tables have it: each table binned by its own range, so extremes count.",
        1.5, 5.0, REAL, (0, 20),
    ),
    "strong_pair_trend_error": Info(
        "Strong-pair Trend error", "fidelity", "%", "lower",
        "Trend over the pairs with a real correlation above .5 or association above .3.",
        1.5, 5.0, REAL, (0, 30),
    ),
    "atom_error": Info(
        "Atom error", "fidelity", "%", "lower",
        "Total variation over the frequent single values of numbers: zeros, caps, round amounts.",
        1.0, 5.0, REAL, (0, 30),
    ),
    "missing_pattern_error": Info(
        "Missing-pattern error", "fidelity", "%", "lower",
        "How wrongly missing cells depend on the other columns.", 1.0, 4.0, REAL, (0, 20),
    ),
    "validity": Info(
        "Valid rows", "fidelity", "%", "higher",
        "Rows with no unseen category, no number out of range or off its lattice, no broken rule.",
        0.0, 1.0, VALID, (90, 100), 100.0,
    ),
    "class_rate_error": Info(
        "Class-rate error", "fidelity", "%", "lower",
        "Relative error of the target class whose rate is furthest off.", 10.0, 25.0, RATE, (0, 50), 0.0,
    ),
    "detection_auc": Info(
        "Detection AUC", "detection", "", "lower",
        "How well boosted trees tell synthetic rows from real ones; .5 is a coin toss, 1 is always.",
        0.08, 0.25, TOLD, (0.5, 1),
    ),
    "detection_auc_coarse": Info(
        "Detection AUC, coarse numbers", "detection", "", "lower",
        "The same with numbers cut at 50 quantiles: structure without granularity.",
        0.08, 0.25, TOLD, (0.5, 1),
    ),
    "detection_auc_one_hot": Info(
        "Detection AUC, all categories one-hot", "detection", "", "lower",
        "The same with integer-coded categories one-hot as well.", 0.08, 0.25, TOLD, (0.5, 1),
    ),
    "detection_auc_logistic": Info(
        "Detection AUC, logistic", "detection", "", "lower",
        "A linear detector; nearly blind to structure, for comparison with the literature.",
        0.03, 0.1, TOLD, (0.5, 1),
    ),
    **_utility("auc", "ROC AUC", "higher", 0.015, 0.05, "Ranking of the positives on real hold-out rows."),
    **_utility("pr_auc", "PR-AUC", "higher", 0.03, 0.1, "Precision over recall on real hold-out rows."),
    **_utility("f1", "F1 at 0.5", "higher", 0.03, 0.1, "Balance of precision and recall at 0.5."),
    **_utility("brier", "Brier score", "lower", 0.01, 0.04, "Mean squared error of the probabilities."),
    **_utility("calibration_slope", "Calibration slope", "target", 0.15, 0.4, "Below 1 is over-confident."),
    **_utility("r2", "R²", "higher", 0.03, 0.1, "Share of the outcome's variance explained."),
    **_utility("rmse", "RMSE", "lower", 0.0, 0.0, "In the target's unit."),
    "tstr_share": Info(
        "Utility kept", "utility", "%", "higher",
        "Score of boosted trees trained on synthetic rows, as a share of the same trained on real rows.",
        1.5, 5.0, USE, (50, 105), 100.0,
    ),
    "alpha_precision": Info(
        "α-precision", "manifold", "", "higher",
        "Synthetic rows lie where real rows do.", 0.02, 0.1, REAL, (0, 1),
    ),
    "beta_recall": Info(
        "β-recall", "manifold", "", "target", "Real rows are covered; a perfect sample has about .5.",
        0.05, 0.15, REAL, (0, 1),
    ),
    "authenticity": Info(
        "Authenticity", "manifold", "", "target",
        "Rows that are not nearer to a training row than real rows are; about .5 when perfect, 0 for copies.",
        0.08, 0.2, REAL, (0, 1),
    ),
    "dcr_share": Info(
        "Nearer to training rows", "memorisation", "", "lower",
        "Rows nearer to training rows than to as many unseen ones; .5 is ideal. A copier may score only .56.",
        0.03, 0.06, COPY, (0.4, 0.8),
    ),
    "dcr_leak": Info(
        "Leak", "memorisation", "", "lower",
        "0: nearest records are training rows no more often than chance has it; 1: a copy machine.",
        0.1, 0.25, COPY, (-0.2, 1),
    ),
    "exact_copies": Info(
        "Exact copies", "memorisation", "%", "lower",
        "Rows equal to a training row, beside the hold-out's own share.", 0.3, 1.5, COPY, (0, 10),
    ),
    "membership_auc": Info(
        "Membership inference, AUC", "memorisation", "", "lower",
        "Strongest of six attacks that tell training rows from unseen ones; .5 is chance.",
        0.03, 0.08, COPY, (0.4, 1),
    ),
    "membership_tpr": Info(
        "Membership inference, TPR at 1 % FPR", "memorisation", "", "lower",
        "Training rows recognised when 1 % of the others are taken for one; .01 is chance.",
        0.02, 0.05, COPY, (0, 0.5),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """A level and its words."""

    level: Level
    words: str


def verdict(metric: Metric) -> Verdict:
    """Put a metric into words: how far beyond its reference it lies, in the catalogue's margins."""
    info = CATALOGUE[metric.name]
    beyond = _beyond(metric, info)
    margins = (info.good, info.fair)
    if metric.name.endswith("rmse") and metric.reference:
        margins = (0.05 * metric.reference, 0.15 * metric.reference)
    place = 0 if beyond <= margins[0] + 1e-12 else 1 if beyond <= margins[1] + 1e-12 else 2
    levels: tuple[Level, Level, Level] = ("good", "fair", "poor")
    return Verdict(levels[place], info.words[place])


def _beyond(metric: Metric, info: Info) -> float:
    """Return how far the value lies beyond its reference in the bad direction."""
    goal = metric.reference if info.target is None else info.target
    if goal is None:
        goal = {"lower": info.domain[0], "higher": info.domain[1], "target": sum(info.domain) / 2}[
            info.direction
        ]
    if info.direction == "target":
        slack = (
            0.0 if info.target is None or metric.reference is None else abs(metric.reference - info.target)
        )
        return abs(metric.value - goal) - slack
    return metric.value - goal if info.direction == "lower" else goal - metric.value
