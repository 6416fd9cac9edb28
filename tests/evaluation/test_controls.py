"""Three generators whose verdict is known: permuted columns, a copy machine, a fresh real sample."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pyarrow as pa
import pytest

from fingan.evaluation import HalfModel, Report, evaluate
from tests.evaluation.tables import CODED, Real, copied, permuted, real

ROWS = 1_000
NAMES = ("german", "lending", "adult", "default")
# Permuted columns must score above these: (Trend %, strong-pair Trend %, tree AUC), and keep less utility.
# On the 1,000 rows of german the noise floor of Trend is as high; a bootstrap of the same rows scores 4.
STRUCTURE = {
    "german": (5.0, 18.0, 0.68, 93.0),
    "lending": (7.0, 24.0, 0.93, 93.0),
    "adult": (7.5, 20.0, 0.93, 80.0),
    "default": (7.0, 30.0, 0.97, 85.0),
}
# The noise in Trend falls with the rows, and so does what permuted columns score.
FULL_TREND = {"german": 5.0, "lending": 5.8, "adult": 7.0, "default": 7.0}


@cache
def sample(folder: Path, name: str, rows: int | None) -> Real:
    return real(folder, name, rows)


def judge(given: Real, synthetic: pa.Table, **options: object) -> Report:
    return evaluate(
        given.train, synthetic, given.schema, holdout=given.holdout, target=given.target, **options
    )


def check_permuted(given: Real, name: str, full: bool = False) -> None:
    if name == "german":  # too small to spare rows for a fresh sample
        train = pa.concat_tables([given.train, given.fresh])
        given = Real(train, given.fresh, given.holdout, given.schema, given.target)
    report = judge(given, permuted(given.train), sections=("fidelity", "detection", "utility"))
    trend, strong, auc, kept = STRUCTURE[name]
    trend = FULL_TREND[name] if full else trend
    assert report["trend_error"].value > trend
    assert report["trend_error_own_bins"].value > trend
    assert report["strong_pair_trend_error"].value > strong
    assert report["detection_auc"].value > auc
    assert report["detection_auc_coarse"].value > auc
    assert report["tstr_share"].value < kept
    # What the permutation keeps: every marginal, hence also what a linear detector sees.
    assert report["shape_error"].value == pytest.approx(0, abs=1e-9)
    assert report["class_rate_error"].value == pytest.approx(0, abs=1e-9)
    assert report["validity"].value == 100
    assert report["detection_auc_logistic"].value < 0.55
    failed = {f.metric for f in report.gate({"detection_auc": {"max": 0.6}, "shape_error": {"max": 1}})}
    assert failed == {"detection_auc"}


def check_copied(given: Real) -> None:
    report = judge(given, copied(given.train), sections=("manifold", "memorisation"))
    assert report["exact_copies"].value == 100
    assert report["exact_copies"].reference < 5
    assert report["dcr_leak"].value > 0.9
    assert report["dcr_share"].value > 0.65
    assert report["authenticity"].value < 0.05
    assert report["membership_auc"].interval[0] > 0.65
    assert report["membership_tpr"].value >= 0.5


def check_fresh(given: Real) -> None:
    report = judge(given, given.fresh)
    for name in ("shape_error", "trend_error", "trend_error_own_bins", "strong_pair_trend_error"):
        metric = report[name]
        assert metric.value < 1.25 * metric.reference + 0.5, name
    for name in ("detection_auc", "detection_auc_coarse", "detection_auc_logistic"):
        assert abs(report[name].value - 0.5) < 0.05, name
        assert abs(report[name].reference - 0.5) < 0.05, name
    assert report["tstr_share"].interval[1] > 97
    assert report["alpha_precision"].value > 0.9
    assert report["beta_recall"].value == pytest.approx(0.5, abs=0.08)
    assert abs(report["authenticity"].value - report["authenticity"].reference) < 0.08
    low, high = report["dcr_leak"].interval
    assert low - 0.05 < 0 < high + 0.05
    assert report["dcr_share"].value == pytest.approx(0.5, abs=0.06)
    assert report["exact_copies"].value <= report["exact_copies"].reference + 0.5
    assert report["membership_auc"].interval[0] < 0.53
    assert report["membership_tpr"].value < 0.06


@pytest.mark.parametrize("name", NAMES)
def test_permuted_columns_fail_structure_and_pass_marginals(shared_data, name):
    check_permuted(sample(shared_data, name, ROWS), name)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_machine_fails_memorisation(shared_data, name):
    check_copied(sample(shared_data, name, ROWS))


@pytest.mark.parametrize("name", NAMES)
def test_a_fresh_real_sample_passes_everything(shared_data, name):
    check_fresh(sample(shared_data, name, ROWS))


def test_the_half_model_sharpens_the_share(shared_data):
    given = sample(shared_data, "adult", ROWS)
    size = given.train.num_rows // 2
    first, second = given.train.slice(0, size), given.train.slice(size)
    copier = HalfModel(first, second, copied(first))
    report = judge(given, given.fresh, half=copier, sections=("memorisation",))
    assert report["dcr_share"].value > 0.9
    assert report["dcr_share"].details["protocol"] == "half model"
    assert report["dcr_leak"].value < 0.2


def test_integer_coded_categories_stay_numbers_and_are_one_hot_beside(shared_data):
    given = sample(shared_data, "default", ROWS)
    coded = [
        spec.model_copy(update={"kind": "category", "minimum": None, "maximum": None})
        if spec.name in CODED
        else spec
        for spec in given.schema.columns
    ]
    schema = given.schema.model_copy(update={"columns": tuple(coded)})
    report = evaluate(given.train, permuted(given.train), schema, sections=["fidelity", "detection"])
    assert report["detection_auc_one_hot"].value > 0.9
    assert abs(report["detection_auc_one_hot"].reference - 0.5) < 0.08
    assert report["strong_pair_trend_error"].value > 24


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", NAMES)
def test_controls_at_full_size(shared_data, name):
    given = real(shared_data, name)
    check_permuted(given, name, full=True)
    check_copied(given)
    check_fresh(given)
