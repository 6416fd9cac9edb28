"""The report as JSON and as a page: self-contained, escaped, accessible."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from fingan.data import infer_schema
from fingan.errors import DataError
from fingan.evaluation import Report, evaluate
from fingan.evaluation.charts import distribution, heatmap, shorten
from fingan.evaluation.html import figure
from tests.evaluation.tables import mixed

HOSTILE = "<script>alert('x')</script>\"&\u202e"


@pytest.fixture(scope="module")
def report() -> Report:
    def hostile(seed: int) -> pa.Table:
        table = mixed(120, seed=seed, missing=0.1).rename_columns(
            [HOSTILE if n == "grade" else n for n in mixed(1).column_names]
        )
        rng = np.random.default_rng(seed)
        label = pa.array(np.where(rng.random(120) < 0.4, "<img src=x onerror=alert(1)>", "{{ 7*7 }}"))
        return table.append_column("<b>label</b>", label)

    tables = [hostile(s) for s in range(3)]
    return evaluate(tables[0], tables[1], infer_schema(tables[0]), holdout=tables[2], target="<b>label</b>")


class Page(HTMLParser):
    """Collects what a page is made of, and checks that its tags nest."""

    VOID = ("meta", "link", "img", "br", "input")

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, k, v) for k, v in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, k, v) for k, v in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parse(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


def test_hostile_names_are_text(report):
    text = report.to_html(title=HOSTILE)
    page = parse(text)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "{{ 7*7 }}" in text
    assert not [a for a in page.attributes if a[1].startswith("on")]


def test_the_page_needs_nothing_from_outside(report):
    page = parse(report.to_html())
    sources = [(t, k, v) for t, k, v in page.attributes if k in ("src", "href", "srcset", "data", "action")]
    assert all(v.startswith("#") for _, _, v in sources)
    assert "link" not in page.tags
    assert "@import" not in report.to_html()
    assert not re.search(r"url\(", report.to_html())


def test_the_page_is_accessible(report):
    page = parse(report.to_html())
    ids = [v for _, k, v in page.attributes if k == "id"]
    assert len(ids) == len(set(ids))
    targets = [v[1:] for _, k, v in page.attributes if k == "href"]
    assert set(targets) <= set(ids)
    charts = page.tags.count("svg")
    assert charts > 20
    assert sum(1 for t, k, v in page.attributes if t == "svg" and k == "aria-label" and v) == charts
    assert ("html", "lang", "en") in page.attributes
    assert any(k == "name" and v == "viewport" for _, k, v in page.attributes)
    for name in ("summary", "columns", "pairs", "detection", "utility", "memorisation", "method"):
        assert name in ids


def test_json_round_trip_redraws_the_same_page(report):
    again = Report.from_dict(json.loads(report.to_json()))
    assert again.to_json() == report.to_json()
    assert again.to_html() == report.to_html()
    assert again.values() == report.values()
    with pytest.raises(DataError, match="version 1"):
        Report.from_dict({"version": 2})


def test_no_row_gets_into_the_report(report):
    assert "r0-17" not in report.to_json()


def test_files_are_written_whole_or_not_at_all(report, tmp_path):
    report.to_html(tmp_path / "r.html")
    report.to_json(tmp_path / "r.json")
    assert (tmp_path / "r.html").read_text(encoding="utf-8") == report.to_html()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.html", "r.json"]
    with pytest.raises(DataError, match="nowhere"):
        report.to_html(tmp_path / "nowhere" / "r.html")


def test_an_empty_report_still_renders():
    about = {
        "rows": {"train": 1, "synthetic": 1, "holdout": None, "halves": 0},
        "columns": 1, "identifiers": [], "target": None, "positive": None, "boosting": "none", "seed": 0,
    }  # fmt: skip
    parse(Report(about).to_html())


def test_a_copier_is_pointed_out():
    table = mixed(400)
    copy = table.take(np.random.default_rng(0).integers(0, 400, 400))
    found = evaluate(table, copy, infer_schema(table), sections=["detection"])
    assert found["detection_auc"].value < 0.45
    assert "same rows are in both tables" in found.to_html()


def test_figures_and_labels():
    assert figure(-0.5, "") == "−0.500"
    assert figure(1.234, "%") == "1.23\u00a0%"
    assert figure(123456.7, "") == "123,457"
    assert figure(0.00042, "") == "0.00042"
    assert figure(-0.0042, "") == "−0.0042"
    assert figure(0.0, "") == "0.000"
    assert shorten("abcdefghij", 6) == "abc…ij"
    assert shorten("abc", 6) == "abc"


def test_charts_of_odd_columns():
    empty = {"name": "x", "error": 0.0, "real": [], "synthetic": [], "labels": [], "chart": "bars"}
    assert "no values" in distribution(empty)
    names = [f"c{i}" for i in range(60)]
    errors = np.ones((60, 60)) - np.eye(60)
    drawn = heatmap({"names": names, "errors": errors.tolist()})
    assert drawn.count('class="heat"') == 40 * 39 // 2
