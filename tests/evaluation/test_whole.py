"""The whole evaluation: tables of every kind, what is omitted and why, errors."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fingan.config import LessEqual
from fingan.data import infer_schema
from fingan.errors import ConfigError, DataError, SchemaMismatch
from fingan.evaluation import CATALOGUE, SECTIONS, evaluate
from tests.evaluation.tables import mixed


@pytest.fixture(scope="module")
def full():
    tables = [mixed(240, seed=s, missing=0.1) for s in range(3)]
    return evaluate(tables[0], tables[1], infer_schema(tables[0]), holdout=tables[2], target="active")


def test_every_metric_is_measured_or_omitted_with_a_reason(full):
    measured = {m.name for m in full.metrics}
    assert not measured & set(full.omitted)
    regression = {n for n in CATALOGUE if n.endswith(("r2", "rmse"))}
    assert measured | set(full.omitted) == set(CATALOGUE) - regression
    assert all(reason for reason in full.omitted.values())


def test_every_figure_has_its_floor_its_direction_and_its_rows(full):
    for metric in full.metrics:
        assert metric.reference is not None, metric.name
        assert metric.n, metric.name
        assert metric.direction == CATALOGUE[metric.name].direction
        if metric.interval is not None:
            assert metric.interval[0] <= metric.interval[1], metric.name


def test_identifiers_are_named_and_left_out(full):
    assert full.about["identifiers"] == ["row_id"]
    assert "row_id" not in full["shape_error"].details["columns"]


def test_the_result_is_a_function_of_the_seed():
    first, second = mixed(60), mixed(60, seed=1)
    runs = [
        evaluate(first, second, infer_schema(first), seed=3, sections=["fidelity", "detection"]) for _ in "ab"
    ]
    assert runs[0].to_json() == runs[1].to_json()


def test_without_holdout_and_target_much_is_omitted():
    seen = []
    table = mixed(80)
    report = evaluate(table, mixed(80, seed=1), infer_schema(table), progress=seen.append)
    assert seen == list(SECTIONS)
    assert report.omitted["dcr_leak"] == "there is no hold-out to compare with"
    assert "half" in report.omitted["dcr_share"]
    assert report.omitted["tstr_auc"] == "no target was named"
    assert report.omitted["missing_pattern_error"] == "no cell is missing"
    assert report["exact_copies"].reference == 0
    assert report["validity"].details["reference"] == "one real half against the other"
    with pytest.raises(ConfigError, match="no hold-out"):
        report["membership_auc"]
    with pytest.raises(ConfigError, match="Did you mean 'shape_error'"):
        report["shape_eror"]


def test_target_without_holdout_and_small_holdout():
    table, other = mixed(80), mixed(80, seed=1)
    schema = infer_schema(table)
    report = evaluate(table, other, schema, target="grade", sections=["utility"])
    assert report.omitted["tstr_auc"] == "there is no hold-out to test on"
    report = evaluate(table, other, schema, holdout=mixed(40, seed=2), sections=["memorisation"])
    assert "fewer than 60" in report.omitted["membership_auc"]
    assert report["dcr_leak"].details["fresh_real"] is None


def test_a_regression_target():
    tables = [mixed(120, seed=s) for s in range(3)]
    report = evaluate(
        tables[0], tables[1], infer_schema(tables[0]), holdout=tables[2], target="amount",
        sections=["fidelity", "utility"],
    )  # fmt: skip
    assert report["tstr_r2"].reference > 0.2
    assert "classes" in report.omitted["class_rate_error"]


def test_one_column_has_no_pairs():
    rng = np.random.default_rng(0)
    tables = [pa.table({"x": rng.normal(size=60)}) for _ in range(3)]
    report = evaluate(tables[0], tables[1], infer_schema(tables[0]), holdout=tables[2])
    assert report.omitted["trend_error"] == "the table has a single column"
    assert "1 %" in report.omitted["atom_error"]
    assert "<svg" in report.to_html()


def test_constant_and_all_null_columns():
    def table(seed: int) -> pa.Table:
        values = np.random.default_rng(seed).normal(size=90)
        columns = {"x": values, "k": np.ones(90), "e": pa.nulls(90, pa.float64()), "c": ["same"] * 90}
        return pa.table(columns)

    report = evaluate(table(0), table(1), infer_schema(table(0)), holdout=table(2), target="x")
    assert report["validity"].value > 80
    assert report["missing_pattern_error"].value >= 0
    report.to_html()


def test_nulls_and_values_out_of_range_are_counted_not_refused():
    table = pa.table({"x": np.arange(100.0), "c": ["a", "b"] * 50})
    broken = pa.table(
        {"x": pa.array([*range(98), 500, None], pa.float64()), "c": ["a", "b"] * 49 + ["z", "a"]}
    )
    report = evaluate(table, broken, infer_schema(table), sections=["fidelity"])
    assert report["validity"].value == 98
    assert set(report["validity"].details["faults"]) == {
        "x: unexpected null", "x: outside the training range", "c: unseen category"
    }  # fmt: skip


def test_rules_count_in_validity():
    rng = np.random.default_rng(0)
    low = rng.integers(0, 50, 100)
    real = pa.table({"a": low, "b": low + 5})
    fake = pa.table({"a": low, "b": rng.permutation(low + 5)})
    rule = LessEqual(low="a", high="b")
    report = evaluate(real, fake, infer_schema(real), constraints=[rule], sections=["fidelity"])
    assert report["validity"].value < 90
    assert report["validity"].details["rules"] == ["a <= b"]


@pytest.mark.parametrize("role", ["train", "synthetic", "holdout"])
def test_tiny_tables_are_refused_by_name(role):
    tables = {"train": mixed(60), "synthetic": mixed(60), "holdout": mixed(60)}
    tables[role] = tables[role].slice(0, 29)
    word = {"train": "training", "synthetic": "synthetic", "holdout": "hold-out"}[role]
    with pytest.raises(DataError, match=f"the {word} table has 29 rows"):
        evaluate(tables["train"], tables["synthetic"], infer_schema(mixed(60)), holdout=tables["holdout"])


def test_thirty_rows_are_enough():
    tables = [mixed(30, seed=s, missing=0.2) for s in range(3)]
    report = evaluate(tables[0], tables[1], infer_schema(tables[0]), holdout=tables[2], target="grade")
    assert len(report.metrics) > 15


def test_arguments_that_do_not_fit():
    table = mixed(40)
    schema = infer_schema(table)
    with pytest.raises(ConfigError, match="Did you mean 'amount'"):
        evaluate(table, table, schema, target="amuont")
    with pytest.raises(ConfigError, match="Did you mean 'fidelity'"):
        evaluate(table, table, schema, sections=["fidelty"])
    with pytest.raises(DataError, match="identifier"):
        evaluate(table, table, schema, target="row_id")
    with pytest.raises(SchemaMismatch, match="amount"):
        evaluate(table, table.drop_columns(["amount"]), schema)


def test_wide_categories_are_bounded():
    rng = np.random.default_rng(0)
    names = np.array([f"merchant {i}" for i in range(5_000)])
    tables = [pa.table({"m": rng.choice(names, 1500), "x": rng.normal(size=1500)}) for _ in range(3)]
    schema = infer_schema(tables[0])
    schema = schema.model_copy(
        update={"columns": (schema.columns[0].model_copy(update={"kind": "category"}), schema.columns[1])}
    )
    sections = ["fidelity", "detection", "memorisation"]
    report = evaluate(tables[0], tables[1], schema, holdout=tables[2], sections=sections)
    assert report["detection_auc"].value < 0.6
    assert report["shape_error"].reference > 10


def test_a_target_that_no_other_row_knows():
    tables = [mixed(90, seed=s) for s in range(3)]
    place = tables[0].column_names.index("grade")
    synthetic, holdout = (t.set_column(place, "grade", pa.nulls(90, pa.string())) for t in tables[1:])
    schema = infer_schema(tables[0])
    sections = ["fidelity", "utility"]
    report = evaluate(tables[0], tables[1], schema, holdout=holdout, target="grade", sections=sections)
    assert "no known value in the hold-out" in report.omitted["tstr_auc"]
    report = evaluate(tables[0], synthetic, schema, target="grade", sections=["fidelity"])
    assert "no row of a table has a known 'grade'" in report.omitted["class_rate_error"]
    assert report["validity"].value == 0


def test_a_code_of_the_largest_double_is_measured_like_any_other_value():
    def table(rows: int, seed: int) -> pa.Table:
        rng = np.random.default_rng(seed)
        x = np.where(rng.random(rows) < 0.05, 1.797e308, rng.normal(size=rows))
        return pa.table({"x": x, "y": rng.normal(size=rows), "label": rng.choice(["bad", "good"], rows)})

    real, other, held = table(600, 0), table(600, 1), table(300, 2)
    report = evaluate(real, other, infer_schema(real), holdout=held, target="label")
    values = {metric.name: metric.value for metric in report.metrics}
    assert {"detection_auc", "trend_error", "tstr_auc", "dcr_leak", "membership_auc"} <= values.keys()
    assert np.isfinite(list(values.values())).all()
    assert values["detection_auc"] < 0.6


def labelled(rows: int, seed: int, share: float) -> pa.Table:
    rng = np.random.default_rng(seed)
    bad = rng.random(rows) < share
    return pa.table({"x": rng.normal(size=rows) + 3 * bad, "bad": np.where(bad, "yes", "no")})


def test_a_hold_out_of_one_class_tells_nothing_of_utility():
    """Two scores of nothing are not 100 % of each other: a gate must not pass on them."""
    train, other, holdout = labelled(400, 0, 0.2), labelled(400, 1, 0.2), labelled(100, 2, 0.0)
    schema = infer_schema(train, "bad")
    report = evaluate(train, other, schema, holdout=holdout, target="bad", sections=["utility"])
    for name in ("tstr_share", "tstr_auc", "tstr_pr_auc", "tstr_linear_auc", "tstr_calibration_slope"):
        assert report.omitted[name] == "the hold-out has a single value of 'bad'; give rows of others too"
    assert report["tstr_brier"].value < 0.2
    scores = ("pr_auc", "auc", "calibration_slope")
    in_order = [f"tstr_{model}{score}" for model in ("", "linear_") for score in scores]
    assert list(report.omitted) == [*in_order, "tstr_share"]


def test_no_share_of_a_model_that_is_worse_than_a_coin_toss():
    """Twice as useful as nothing is not useful."""

    def signed(seed: int, sign: float) -> pa.Table:
        table = labelled(200, seed, 0.3)
        return table.set_column(0, "x", pa.array(sign * table["x"].to_numpy()))

    train, other, holdout = signed(0, 1), signed(1, -1), signed(2, -1)
    schema = infer_schema(train, "bad")
    report = evaluate(train, other, schema, holdout=holdout, target="bad", sections=["utility"])
    assert report["tstr_auc"].reference < 0.5 < report["tstr_auc"].value
    assert "no skill" in report.omitted["tstr_share"]
    assert report.gate({"tstr_share": {"min": 95}})


def test_a_target_of_one_value_costs_only_what_needs_it():
    train, other = labelled(100, 0, 0.0), labelled(100, 1, 0.0)
    report = evaluate(train, other, infer_schema(train, "bad"), holdout=labelled(60, 2, 0.0), target="bad")
    assert report["shape_error"].value < 20
    assert report["dcr_leak"].value < 1
    for name in ("tstr_auc", "tstr_share", "class_rate_error"):
        assert report.omitted[name].startswith("target 'bad' has a single value in the training rows, 'no'")
    assert "single value" in report.to_html()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_moment_that_is_the_same_in_all_rows(unit):
    """In µs there are fewer floats around it than bins."""

    def table(seed: int) -> pa.Table:
        x = np.random.default_rng(seed).normal(size=600)
        day = np.full(600, np.datetime64("2024-03-01T12:00:00", unit))
        return pa.table({"x": x, "as_of": day, "c": ["a", "b", "c"] * 200})

    report = evaluate(table(0), table(1), infer_schema(table(0)), sections=["fidelity"])
    assert report["trend_error"].value < 10
    assert report["shape_error"].details["columns"]["as_of"] == 0


def test_a_category_that_reads_missing_is_none():
    def table(seed: int, nulls: bool = False) -> pa.Table:
        drawn = np.random.default_rng(seed).choice(["(missing)", "a", "b"], 200)
        holes = np.arange(200) % 10 == 0 if nulls else None
        return pa.table({"x": np.arange(200.0), "c": pa.array(drawn, mask=holes)})

    schema = infer_schema(table(0))
    report = evaluate(table(0), table(1), schema, target="c", sections=["fidelity"])
    assert report["validity"].value == 100
    assert report.omitted["missing_pattern_error"] == "no cell is missing"
    assert set(report["class_rate_error"].details["classes"]) == {"(missing)", "a", "b"}
    gaps = evaluate(table(0), table(1, nulls=True), schema, target="c", sections=["fidelity"])
    assert gaps["validity"].details["faults"] == {"c: unexpected null": 20}
    assert gaps["missing_pattern_error"].value > 5


def test_gaps_that_real_rows_never_have_are_errors_of_their_pattern():
    table = pa.table({"x": np.arange(100.0), "c": ["a", "b"] * 50})
    holed = table.set_column(0, "x", pa.array(np.arange(100.0), mask=np.arange(100) % 5 < 2))
    report = evaluate(table, holed, infer_schema(table), sections=["fidelity"])
    assert report["missing_pattern_error"].value == pytest.approx(40)
    assert report["missing_pattern_error"].reference == 0
    single = evaluate(table.select(["x"]), holed.select(["x"]), infer_schema(table.select(["x"])))
    assert single.omitted["missing_pattern_error"] == "the table has a single column"
