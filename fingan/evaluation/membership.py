"""Membership inference: can an attacker who has the synthetic rows tell training rows from others?

Several attacks are fitted on the synthetic rows and on reference rows that are
neither attacked nor trained on: nearest and 5-nearest distance, distance ratio,
distance calibrated by the reference (Carlini et al., 2022; van Breugel et al.,
DOMIAS, AISTATS 2023), and a density-ratio classifier. The strongest is chosen on
one half of the attacked rows and scored on the other, both ways round, so that
the choice does not flatter it. Two figures count: the AUC and the true-positive
rate at 1 % false positives (Carlini et al., "Membership inference attacks from
first principles", S&P 2022).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

from fingan.evaluation import intervals, scoring
from fingan.evaluation.distance import Geometry, k_nearest
from fingan.evaluation.frame import Frame, concat
from fingan.evaluation.learners import Design
from fingan.evaluation.metric import Interval
from fingan.evaluation.threads import run_all
from fingan.rng import numpy_generator
from fingan.types import Bool, Float64, Int64

FALSE_POSITIVES = 0.01
ATTACKED_AT_MOST = 4_000
SYNTHETIC_AT_MOST = 50_000
HOLDOUT_AT_LEAST = 60
_NEIGHBOURS = 5
_TINY = 1e-6


@dataclass(frozen=True)
class Membership:
    """Strength of the strongest attack.

    Attributes:
        auc: mean over the two halves.
        auc_interval: DeLong's.
        tpr: true-positive rate at 1 % false positives, mean over the halves.
        tpr_interval: bootstrap.
        chosen: the attack chosen for each half.
        attacks: AUC of every attack on all attacked rows.
        attacked: members attacked; as many non-members.
        reference: reference rows the attacks were fitted on.
    """

    auc: float
    auc_interval: Interval
    tpr: float
    tpr_interval: Interval
    chosen: tuple[str, str]
    attacks: dict[str, float]
    attacked: int
    reference: int


def attack_membership(train: Frame, holdout: Frame, synthetic: Frame, seed: int) -> Membership:
    """Attack equally many training and hold-out rows.

    Args:
        train: rows the model was trained on.
        holdout: real rows it never saw, at least `HOLDOUT_AT_LEAST`: one half is attacked,
            the other is the attacker's reference.
        synthetic: rows the attacker has.
        seed: of the draws.
    """
    rng = numpy_generator(seed, "evaluation.membership")
    order = rng.permutation(holdout.rows)
    attacked = min(holdout.rows // 2, train.rows, ATTACKED_AT_MOST)
    outsiders, reference = holdout.take(order[:attacked]), holdout.take(order[attacked:])
    members = train.take(rng.choice(train.rows, attacked, replace=False))
    if synthetic.rows > SYNTHETIC_AT_MOST:
        synthetic = synthetic.take(rng.choice(synthetic.rows, SYNTHETIC_AT_MOST, replace=False))
    member = np.repeat([True, False], attacked)
    scores = attack_scores(concat(members, outsiders), synthetic, reference, seed)
    half = np.concatenate([rng.permutation(attacked) % 2, rng.permutation(attacked) % 2])
    return _strongest(member, scores, half, seed, reference.rows)


def attack_scores(targets: Frame, synthetic: Frame, reference: Frame, seed: int) -> dict[str, Float64]:
    """Return each attack's score of each target [N]; higher means `was in the training table`.

    Args:
        targets: attacked rows; nothing is fitted on them.
        synthetic: rows the attacker has.
        reference: real rows that are neither targets nor training rows.
        seed: of the density-ratio classifier.
    """
    known = concat(synthetic, reference)
    geometry = Geometry.fit(known)
    points = geometry.points(targets)
    near = k_nearest(points, geometry.points(synthetic), _NEIGHBOURS)
    usual = k_nearest(points, geometry.points(reference), _NEIGHBOURS)
    near_mean, usual_mean = (np.where(np.isinf(d), 0.0, d).mean(axis=1) for d in (near, usual))
    return {
        "nearest": -near[:, 0],
        "five nearest": -near_mean,
        "distance ratio": -near[:, 0] / np.maximum(np.where(np.isinf(near[:, 1]), 1.0, near[:, 1]), _TINY),
        "calibrated nearest": np.log(usual[:, 0] + _TINY) - np.log(near[:, 0] + _TINY),
        "calibrated five nearest": np.log(usual_mean + _TINY) - np.log(near_mean + _TINY),
        "density ratio": _density_ratio(targets, synthetic, reference, seed),
    }


def _density_ratio(targets: Frame, synthetic: Frame, reference: Frame, seed: int) -> Float64:
    rows = min(synthetic.rows, 4 * reference.rows)
    rng = numpy_generator(seed, "evaluation.membership.density")
    chosen = synthetic.take(rng.choice(synthetic.rows, rows, replace=False))
    known = concat(chosen, reference)
    design = Design.fit(reference, known)

    def attack() -> Float64:
        model = HistGradientBoostingClassifier(max_iter=100, random_state=0, early_stopping=False)
        model.fit(design.transform(known), np.repeat([1, 0], [rows, reference.rows]))
        return np.asarray(model.decision_function(design.transform(targets)), dtype=np.float64)

    return run_all([attack])[0]


def tpr_at(member: Bool, scores: Float64, false_positives: float = FALSE_POSITIVES) -> float:
    """Return the true-positive rate of the threshold that lets at most this share of non-members pass."""
    outside = np.sort(scores[~member])[::-1]
    if not outside.size or not member.any():
        return 0.0
    threshold = outside[min(int(false_positives * outside.size), outside.size - 1)]
    return float((scores[member] > threshold).mean())


def _strongest(
    member: Bool, scores: dict[str, Float64], half: Int64, seed: int, reference: int
) -> Membership:
    chosen, aucs, variances, picked = [], [], [], []
    for side in (0, 1):
        choose, judge = half != side, half == side
        strength = {name: scoring.roc_auc(member[choose], s[choose]) for name, s in scores.items()}
        name = max(strength, key=lambda attack: strength[attack])
        chosen.append(name)
        picked.append((member[judge], scores[name][judge]))
        aucs.append(scoring.roc_auc(*picked[-1]))
        variances.append(scoring.roc_auc_variance(*picked[-1]))

    sides = np.concatenate([np.full(m.size, i) for i, (m, _) in enumerate(picked)])
    truth, score = (np.concatenate([p[k] for p in picked]) for k in (0, 1))

    def rate(index: Int64) -> float:
        parts = [index[sides[index] == side] for side in (0, 1)]
        return float(np.mean([tpr_at(truth[p].astype(np.bool_), score[p]) for p in parts]))

    auc = float(np.mean(aucs))
    low, high = intervals.normal(auc, sum(variances) / 4)
    return Membership(
        auc=auc,
        auc_interval=(max(0.0, low), min(1.0, high)),
        tpr=rate(np.arange(truth.size)),
        tpr_interval=intervals.bootstrap(rate, truth.size, seed, "membership.tpr"),
        chosen=(chosen[0], chosen[1]),
        attacks={name: scoring.roc_auc(member, s) for name, s in scores.items()},
        attacked=int(member.sum()),
        reference=reference,
    )
