"""The page about the report explains every figure as the report does, and its gates are read."""

from __future__ import annotations

import re
from pathlib import Path

from fingan.evaluation import read_gates
from fingan.evaluation.catalogue import CATALOGUE

PAGE = Path(__file__).resolve().parents[2] / "docs" / "report.md"


def test_every_figure_of_the_catalogue_is_explained_in_its_words():
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows.keys() == CATALOGUE.keys()
    for name, info in CATALOGUE.items():
        title, unit, _, meaning = rows[name].split(" | ")
        assert (title, unit.strip(), meaning) == (info.title, info.unit, info.meaning)


def test_the_example_of_gates_is_read(tmp_path: Path):
    (example,) = re.findall(
        r"^```yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    file = tmp_path / "gates.yaml"
    file.write_text(example, encoding="utf-8")
    assert read_gates(file) == {
        "detection_auc": {"max": 0.7},
        "tstr_share": {"min": 95},
        "dcr_leak": {"max": 0.1},
    }
