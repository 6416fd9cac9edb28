"""Gates."""

from __future__ import annotations

import pytest

from fingan.errors import ConfigError
from fingan.evaluation import Metric, Report, check_rules, read_gates


@pytest.fixture
def report() -> Report:
    metrics = [
        Metric("detection_auc", 0.7, "lower", {"real": 10}, 0.5, (0.6, 0.8)),
        Metric("tstr_share", 99.0, "higher", {"real": 10}, 100.0, None),
    ]
    return Report({}, metrics, {"dcr_leak": "there is no hold-out"})


def test_gates_that_hold_and_gates_that_fail(report, tmp_path):
    path = tmp_path / "gates.yaml"
    path.write_text("detection_auc: {max: 0.6}\ntstr_share: {min: 97.5, max: 200}\ndcr_leak: {max: 0.1}\n")
    failures = report.gate(path)
    assert [f.metric for f in failures] == ["detection_auc", "dcr_leak"]
    assert failures[0].message == "detection_auc is 0.7, above the maximum 0.6"
    assert failures[1].value is None
    assert "no hold-out" in failures[1].message
    assert report.gate({"tstr_share": {"min": 99.5}})[0].message.endswith("below the minimum 99.5")
    assert "not asked for" in report.gate({"shape_error": {"max": 1}})[0].message


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([], "must be a mapping"),
        ({}, "must be a mapping"),
        ({"detection_acu": {"max": 1}}, "Did you mean 'detection_auc'"),
        ({"detection_auc": 0.7}, "must be {max: x}"),
        ({"detection_auc": {"maximum": 1}}, "'maximum'"),
        ({"detection_auc": {"max": "low"}}, "'low'"),
        ({"detection_auc": {"max": True}}, "True"),
        ({"detection_auc": {"max": float("nan")}}, "nan"),
    ],
)
def test_rules_that_cannot_be_meant(rules, message):
    with pytest.raises(ConfigError, match=message):
        check_rules(rules)


@pytest.mark.parametrize("content", [b"a: [", b"a: !!int ''", b"a: 2024-13-45", b"\xff\xfe\xff", None])
def test_unreadable_gates(tmp_path, content):
    path = tmp_path / "gates.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"gates\.yaml"):
        read_gates(path)
