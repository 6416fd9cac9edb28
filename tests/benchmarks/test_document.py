"""Tables find their places in the page; every benchmark has one."""

from __future__ import annotations

import re

import pytest

from benchmarks.document import OUTDATED, PAGE, filled, tables
from benchmarks.registry import NAMES, load
from benchmarks.results import FORMER, Results
from benchmarks.workers import SHOWN


def test_tables_replace_what_stood_between_their_markers_and_nothing_else():
    page = "# A\n\n<!-- one -->\n\nold\n\n<!-- end -->\n\ntext\n\n<!-- two -->\n\nmore\n"
    done = filled(page, {"one": r"| new \d |"})
    assert done == page.replace("old", r"| new \d |")
    assert filled(done, {"one": r"| new \d |"}) == done
    first = filled(done, {"two": "table"})
    assert "<!-- two -->\n\ntable\n\n<!-- end -->\n\nmore" in first


def test_results_of_the_former_default_stand_below_todays_and_say_so(tmp_path):
    metrics = {name: {"value": 0.5} for name in SHOWN}
    row = {"workers": 1, "seed": 0, "steps": 1, "training": {"rows_per_second": 5.0}, "metrics": metrics}
    Results("workers", tmp_path / FORMER).add(row)
    (former,) = tables(tmp_path).values()
    assert former.startswith(f"{OUTDATED}\n\n| workers |")
    Results("workers", tmp_path).add({**row, "steps": 7})
    (both,) = tables(tmp_path).values()
    today, below = both.split(f"\n\n{OUTDATED}\n\n")
    assert f"{OUTDATED}\n\n{below}" == former
    assert today != below


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_a_place_in_the_page_and_its_command(name):
    text = PAGE.read_text(encoding="utf-8")
    assert f"<!-- {name} -->" in text
    assert re.search(rf"python -m benchmarks {name}\b", text)


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_tells_how_to_run_it(name, capsys):
    module = load(name)
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    assert f"python -m benchmarks {name}" in capsys.readouterr().out
