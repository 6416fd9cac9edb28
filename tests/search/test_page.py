"""The page of a search: what it says, in every state that a search can be in."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from html.parser import HTMLParser

import pytest
import yaml

from fingan.search import Record, Trial, ranked
from fingan.search.page import duration, figure, render

HOSTILE = "<script>alert('x')</script>\"&\u202e{{ 7*7 }}"
BASE = {"training.lr": 1e-3, "network.width": 256, "objective.name": "relativistic"}
CONFIG = {
    "training": {"lr": 1e-3, "steps": 5},
    "network": {"width": 256},
    "objective": {"name": "relativistic"},
    "tune": {"confidence": 0.9, "scheduler": "asha", "trial_budget": "1m"},
}
SPACE = {
    "training.lr": {"low": 3e-4, "high": 5e-3, "log": True},
    "network.width": [128, 256],
    "objective.name": ["relativistic", "minimax"],
}


def trial(number: int, score: float | None = 0.2, **values) -> Trial:
    curve = () if score is None else ((5.0, score + 0.1), (10.0, score))
    params = BASE if number == 0 else {**BASE, "training.lr": 1e-3 + number * 1e-4}
    kept = {"number": number, "params": params, "status": "finished", "curve": curve, "memorisation": 0.5}
    return Trial(**{**kept, **values})


def repetitions(scores: dict[int, list[float | None]]) -> list[Trial]:
    """One for each score; None for one that failed."""
    return [
        trial(number, score, seed=seed, stage="final", status="failed" if score is None else "finished")
        for number, own in scores.items()
        for seed, score in enumerate(own)
    ]


def record(
    trials: list[Trial],
    finals: dict[int, list[float | None]] | None = None,
    winner: int | None = None,
    **values,
) -> Record:
    again = [] if finals is None else repetitions(finals)
    kept = {
        "name": "adult",
        "shape": {"rows": 32561, "kinds": {"numeric": 0.4}},
        "base": CONFIG,
        "space": SPACE,
        "trials": (*trials, *again),
        "finalists": tuple(f.to_json(0.9) for f in ranked(again, 0.9, 0.0)),
        "winner": None if winner is None else trial(winner).params,
        "importance": {"training.lr": 0.7, "network.width": 0.2, "objective.name": 0.1},
        "seconds": 1312.0,
        "cpu_seconds": 7330.0,
        "command": "fingan tune adult.csv",
        "status": "finished",
    }
    return Record(**{**kept, **values})


@pytest.fixture
def whole() -> Record:
    trials = [
        trial(0, 0.10),
        trial(1, 0.08),
        trial(2, 0.3, status="pruned", memorisation=None),
        trial(3, None, status="failed", memorisation=None, error="no gradient for <b>amount</b>"),
        trial(4, 0.2, rollbacks=1, steps=1234),
    ]
    return record(trials, {0: [0.10, 0.11, 0.10], 1: [0.08, 0.081, 0.079]}, winner=1)


class Page(HTMLParser):
    """Collects what a page is made of, and checks that its tags nest."""

    VOID = ("meta", "link", "img", "br", "input", "wbr")

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.texts: list[str] = []

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

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.texts))

    def all(self, tag: str, name: str) -> list[str | None]:
        return [v for t, k, v in self.attributes if (t, k) == (tag, name)]


def parse(found: Record) -> Page:
    page = Page()
    page.feed(render(found))
    page.close()
    assert page.open == []
    return page


def lede(found: Record) -> str:
    inside = re.search(r'<p class="lede">(.*?)</p>', render(found), re.DOTALL)
    return inside[1].replace("\u00a0", " ")


def test_the_summary_counts_and_names_the_winner(whole):
    said = lede(whole)
    assert "5 trials: 2 finished, 1 pruned, 2 failed." in said
    assert "Of those that failed, 1 went on after being rolled back." in said
    assert "2 finalists were trained again over seeds, 6 times in all." in said
    assert "21 min 52 s by the clock and 2 h 02 min of processor time" in said
    assert (
        "Trial 1 won: over 3 seeds its mean score is 0.0800, 22.6 % below the base setting’s 0.1033" in said
    )
    own, base = whole.finalists[0]["bound"], whole.finalists[1]["bound"]
    assert f"its bound {own:.4f}, {100 * (base - own) / base:.1f} % below" in said


def test_the_base_setting_may_win():
    found = record([trial(0), trial(1)], {0: [0.1, 0.1], 1: [0.2, 0.2]}, winner=0)
    assert "The base setting won" in lede(found)
    assert "Trial 0 won" not in lede(found)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"status": "running"}, "is still running; there is no winner yet"),
        ({"status": "interrupted"}, "was interrupted; there is no winner yet"),
        ({"status": "failed"}, "The search failed before there was a winner"),
        ({}, "no trial came as far as the final"),
    ],
)
def test_it_says_why_nobody_won(values, said):
    assert said in lede(record([trial(0, None, status="failed")], **values))


def test_finalists_that_all_failed_have_no_figures():
    found = record([trial(0), trial(1)], {0: [None, None], 1: [None, 0.1]})
    # As a record that was never written may have it.
    first = {**found.finalists[0], "worst": math.inf, "mean": math.inf}
    found = dataclasses.replace(found, finalists=(first, *found.finalists[1:]))
    again = Record.of_json(json.loads(json.dumps(found.to_json())))
    assert again.finalists[0]["worst"] is None
    for one in (found, again, dataclasses.replace(found, status="failed")):
        assert "every finalist failed with too many seeds" in lede(one)
        assert "2 (100 %)" in parse(one).text
        assert not re.search(r"\b(inf|nan|None)\b", parse(one).text)
    assert render(found) == render(again)


def test_a_winner_that_was_never_repeated_is_no_more_than_that():
    said = lede(record([trial(0), trial(1)], winner=1))
    assert "Trial 1 won. It was not repeated over seeds" in said
    said = lede(record([trial(0)], winner=5))
    assert "a setting of no trial here" in said


def test_a_winner_is_compared_with_a_base_setting_that_has_no_score():
    assert "the base setting has none" in lede(record([trial(0)], {0: [None, None], 1: [0.1, 0.1]}, winner=1))
    assert "the base setting was not repeated" in lede(record([trial(0)], {1: [0.1, 0.1]}, winner=1))
    said = lede(record([trial(0)], {0: [-0.1, -0.1], 1: [-0.2, -0.2]}, winner=1))
    assert "−0.2000, 0.1000 below the base setting’s −0.1000" in said
    assert "0.1000, that of the base setting" in lede(record([], {0: [0.1] * 2, 1: [0.1] * 2}, winner=1))


def test_finalists_stand_in_their_order_with_what_they_changed(whole):
    text = parse(whole).text
    table = text[text.index("Each was trained anew") : text.index("is the chance of failure")]
    assert table.index("1 · winner") < table.index("lr 0.0011") < table.index("The base setting.")
    assert "0 (54 %)" in table
    assert f"{whole.finalists[1]['worst']:.4f}" in table
    assert f"{whole.finalists[0]['spread']:.4f}" in table


def test_the_winner_is_there_as_yaml(whole):
    snippet = re.search(r"<pre[^>]*>(.*?)</pre>", render(whole), re.DOTALL)[1]
    assert yaml.safe_load(snippet) == {
        "training": {"lr": 1e-3 + 1e-4},
        "network": {"width": 256},
        "objective": {"name": "relativistic"},
    }
    assert "<pre" not in render(dataclasses.replace(whole, winner=None))


def test_every_trial_is_in_the_charts_and_in_the_table(whole):
    page, text = parse(whole), render(whole)
    parallel = text[text.index('<svg class="parallel"') :].split("</svg>")[0]
    assert sorted(re.findall(r'<polyline [^>]*data-trial="(\d)"', parallel)) == ["0", "1", "2", "3", "4"]
    curves = text[text.index('<svg class="curves"') :].split("</svg>")[0]
    assert len(re.findall("<polyline", curves)) == 4 + 6
    table = page.text[page.text.index("The search Trial") :]
    for shown in ("rolled back", "pruned", "failed", "no gradient for <b>amount</b>", "1,234", "lr 0.0013"):
        assert shown in table
    assert "Repetitions of the finalists" in table


def test_what_varied_is_listed_by_importance(whole):
    text = parse(whole).text
    assert text.index("70.0 %") < text.index("20.0 %") < text.index("10.0 %")
    assert "0.0003 … 0.005 (log)" in text
    assert "128, 256" in text


def test_no_importance_and_more_keys_than_axes():
    space = {f"training.k{i}": [1, 2] for i in range(20)}
    params = dict.fromkeys(space, 1)
    found = record([trial(0, params=params)], importance={}, space=space, base={})
    assert "8 of the keys are not drawn" in parse(found).text
    assert "Importance" not in [t.strip() for t in re.findall(r"<h3>(.*?)</h3>", render(found))]
    assert "70.0" not in render(found)


def test_names_of_two_sections_are_told_apart():
    space = {"network.name": [1, 2], "objective.name": ["a", "b"], "training.lr": [1e-3, 1.0]}
    base = {"network": {"name": 1}, "objective": {"name": "a"}, "training": {"lr": 1}}
    params = {"network.name": 2, "objective.name": "a", "training.lr": 1.0}
    text = parse(record([trial(0), trial(1, params=params)], space=space, base=base)).text
    assert "network.name 2" in text
    # 1 and 1.0 are the same value.
    assert "lr 1 " not in text


def test_hostile_names_values_and_errors_are_text():
    space = {f"training.{HOSTILE}": [HOSTILE, 1], "network.width": [128, 256]}
    params = {f"training.{HOSTILE}": HOSTILE, "network.width": 128}
    trials = [trial(0, params=params, status="failed", error=HOSTILE), trial(1, params=params)]
    values = {
        "name": HOSTILE,
        "command": HOSTILE,
        "shape": {HOSTILE: HOSTILE},
        "space": space,
        "importance": {f"training.{HOSTILE}": 1.0},
    }
    page = parse(dataclasses.replace(record(trials, **values), winner=params))
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert "{{ 7*7 }}" in page.text
    assert not [a for a in page.attributes if a[1].startswith("on")]


def test_the_page_needs_nothing_from_outside(whole):
    page = parse(whole)
    sources = [v for _, k, v in page.attributes if k in ("src", "href", "srcset", "data", "action")]
    assert all(v.startswith("#") for v in sources)
    assert not {"link", "script", "img"} & set(page.tags)
    assert not re.search(r"url\(|@import", render(whole))


def test_the_page_is_accessible(whole):
    page = parse(whole)
    ids = [v for _, k, v in page.attributes if k == "id"]
    assert len(ids) == len(set(ids))
    assert {v[1:] for v in page.all("a", "href")} <= set(ids)
    assert {"setting", "finalists", "keys", "curves", "front", "trials", "method"} <= set(ids)
    charts = page.tags.count("svg")
    assert charts == 4 + len(whole.finalists)
    assert page.all("svg", "role") == ["img"] * charts
    assert all(page.all("svg", "aria-label"))
    assert ("html", "lang", "en") in page.attributes
    assert "viewport" in page.all("meta", "name")


@pytest.mark.parametrize(
    "trials",
    [
        [],
        [trial(0)],
        [trial(0, None, status="running")],
        [trial(i, None, status="failed", memorisation=None) for i in range(3)],
        [trial(0, math.nan), trial(1, math.inf, memorisation=math.nan)],
        [trial(0, 0.0), trial(1, 0.0)],
        [trial(i, 0.1 + i / 1000, error=HOSTILE * 20) for i in range(200)],
        [trial(0, params={})],
    ],
    ids=["none", "one", "running", "failed", "not finite", "perfect", "200", "no values"],
)
@pytest.mark.parametrize("bare", [False, True])
def test_every_state_of_a_search_renders(trials, bare):
    values = (
        {"space": {}, "base": {}, "importance": {}, "name": "", "shape": {}, "command": ""} if bare else {}
    )
    page = parse(record(trials, **values))
    assert not re.search(r"\b(inf|nan|None)\b", page.text)
    assert page.all("a", "href")
    for at in (v for t, k, v in page.attributes if k in ("points", "cx", "cy", "d")):
        assert not re.search("nan|inf", at)


def test_without_a_measured_memorisation_there_is_no_front():
    page = parse(record([trial(0, memorisation=None)]))
    assert "front" not in page.all("section", "id")
    assert "Front" not in page.text


def test_members_of_the_front_stand_in_a_table():
    trials = [trial(0, 0.3), trial(1, 0.2, memorisation=0.6), trial(2, 0.5)]
    text = parse(record(trials)).text
    table = text[text.index("TrialScoreSecondsMemorisation") : text.index("Below each are the values")]
    assert table.index("0.2000") < table.index("0.3000")
    assert "0.5000" not in table


def test_figures_and_durations():
    assert figure(None) == figure(math.nan) == figure(math.inf) == "–"
    assert figure(-0.5) == "−0.5000"
    assert figure(123456.7) == "123,457"
    told = [duration(s) for s in (0, 0.34, 9.97, 43.2, 59.7, 187, 3599.8, 18720, 187200)]
    assert told == [
        "0 s",
        "0.3 s",
        "10 s",
        "43 s",
        "1 min 00 s",
        "3 min 07 s",
        "1 h 00 min",
        "5 h 12 min",
        "2 d 4 h",
    ]
