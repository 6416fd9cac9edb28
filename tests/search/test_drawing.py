"""The charts of a search: where things lie, and that every trial is there."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree

import pytest

from fingan.search import Trial
from fingan.search.drawing import curves, kind, parallel, strip, tradeoff
from fingan.search.scales import MOST_AXES, Axis, Scale, shown_keys, spell

LR = {"low": 1e-4, "high": 1e-2, "log": True}
NAN = math.nan


def trial(number: int = 0, score: float | None = 0.2, **values) -> Trial:
    curve = () if score is None else ((5.0, score + 0.1), (10.0, score))
    return Trial(**{"number": number, "params": {}, "status": "finished", "curve": curve, **values})


def parts(drawn: str, tag: str) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(drawn).iter(tag))


def points(line: ElementTree.Element) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split(","))) for pair in line.get("points").split()]


def lines(drawn: str) -> dict[int, ElementTree.Element]:
    return {int(line.get("data-trial")): line for line in parts(drawn, "polyline")}


def texts(drawn: str) -> list[str]:
    return [element.text for element in parts(drawn, "text")]


def test_equal_ratios_are_equally_long_on_a_log_scale():
    scale = Scale(1e-4, 1e-2, log=True)
    assert [scale.at(v) for v in (1e-4, 1e-3, 1e-2)] == pytest.approx([0, 0.5, 1])
    assert Scale(0, 4).at(1) == 0.25


def test_values_off_a_scale_lie_at_its_ends():
    assert [Scale(1, 10, log=True).at(v) for v in (0.0, -3.0, 0.5, 11.0)] == [0, 0, 0, 1]
    assert [Scale(1, 10).at(v) for v in (-3.0, 11.0)] == [0, 1]


@pytest.mark.parametrize("log", [True, False, None])
@pytest.mark.parametrize(
    "values", [[], [None], [NAN, math.inf], [0.0], [3.0], [-2.0, -2.0], [0.0, 5.0], [1, 9]]
)
def test_whatever_the_values_a_scale_has_room(values, log):
    scale = Scale.of(values, log)
    assert scale.low < scale.high
    assert scale.low > 0 or not scale.log
    assert all(0 <= scale.at(v) <= 1 for v in (0.0, 1.0, -1.0, 1e9))
    assert scale.padded().low < scale.low
    assert scale.padded().high > scale.high


def test_a_wide_spread_is_shown_on_a_log_scale_unless_told_otherwise():
    assert Scale.of([0.1, 5.0, NAN]).log
    assert not Scale.of([0.1, 0.2]).log
    assert not Scale.of([0.0, 5.0]).log
    assert not Scale.of([0.1, 5.0], log=False).log


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize(("low", "high"), [(3e-4, 5e-3), (0.05, 2.0), (1, 3), (0.4312, 0.4318), (1e-9, 1e6)])
def test_ticks_are_few_round_and_on_the_scale(low, high, log):
    ticks = Scale(low, high, log).ticks(6)
    assert 1 <= len(ticks) <= 7
    assert ticks == sorted(ticks)
    slack = 0.002 * (high - low)
    assert all(low - slack <= t <= high + slack for t in ticks)
    assert all(len(f"{t:.9g}".strip("-0.").split("e")[0]) <= 7 for t in ticks)


def test_numbers_to_choose_from_stand_in_order_and_words_as_they_come():
    axis = Axis.of("training.batch_size", [512, 128, 256], [512, 128])
    assert axis.levels == (128, 256, 512)
    assert [axis.at(v) for v in (128, 256, 512)] == [0, 0.5, 1]
    assert Axis.of("k", ["wide", "narrow"], []).levels == ("wide", "narrow")
    assert Axis.of("k", [None, True, False, 1], []).labels()[0] == (0.0, "null")
    assert Axis.of("k", ["only"], []).labels() == [(0.5, "only")]


def test_a_value_off_the_space_gets_a_place():
    assert Axis.of("k", [1, 2], [7]).levels == (1, 2, 7)
    assert Axis.of("k", [1, 2], [1.0]).levels == (1, 2)
    assert Axis.of("k", [True, False], [1]).levels == (True, False, 1)
    wider = Axis.of("k", LR, [0.05])
    assert wider.at(0.05) == 1
    assert wider.at(1e-2) < 1
    assert Axis.of("k", LR, [0.0]).at(0.0) == 0
    assert Axis.of("k", LR, []).at(None) == 0.5
    assert Axis.of("k", ["a", "b"], []).at("c") == 0.5


def test_whole_numbers_have_whole_labels_and_no_two_labels_overlap():
    assert Axis.of("k", {"low": 1, "high": 3}, []).labels() == [(0.0, "1"), (0.5, "2"), (1.0, "3")]
    places = [at for at, _ in Axis.of("k", LR, []).labels()]
    assert places[0] == 0
    assert places[-1] == 1
    assert min(b - a for a, b in itertools.pairwise(places)) >= 0.09


def test_values_are_spelled_short_but_told_apart():
    assert [spell(v) for v in (None, True, False, 0.9995, 1.0, 5e-05, 20000.0, 512, "auto", -0.5)] == [
        "null", "true", "false", "0.9995", "1", "5e−5", "20000", "512", "auto", "−0.5",
    ]  # fmt: skip


def test_the_most_important_keys_stand_next_to_the_score():
    space = {f"s.k{i}": [1, 2] for i in range(20)}
    shown = shown_keys(space, {f"s.k{i}": i / 190 for i in range(20)})
    assert shown == [f"s.k{i}" for i in range(20 - MOST_AXES, 20)]
    assert shown_keys(space, {}) == [f"s.k{i}" for i in range(MOST_AXES)]
    assert shown_keys({"a": [], "b": []}, {"a": NAN, "b": 0.1}) == ["a", "b"]


def test_every_trial_is_a_line_over_all_axes():
    axes = [Axis.of("training.lr", LR, []), Axis.of("network.width", [64, 128], [])]
    rates = [1e-4, 1e-3, 1e-2]
    trials = [
        trial(i, 0.1 + 0.1 * i, params={"training.lr": r, "network.width": 64}) for i, r in enumerate(rates)
    ]
    drawn = lines(parallel(trials, axes, winner=1))
    assert sorted(drawn) == [0, 1, 2]
    assert all(len(points(line)) == 3 for line in drawn.values())
    first, second, third = (points(drawn[i]) for i in range(3))
    assert first[0][1] > second[0][1] > third[0][1]
    assert second[0][1] == pytest.approx((first[0][1] + third[0][1]) / 2, abs=0.1)
    assert first[1] == second[1] == third[1]
    assert first[2][1] > second[2][1] > third[2][1]


def test_what_a_trial_came_to_is_its_class_and_the_winner_lies_on_top():
    trials = [
        trial(0),
        trial(1, status="pruned"),
        trial(2, status="failed"),
        trial(3, rollbacks=1),
        trial(4, status="running"),
        trial(5),
        trial(6),
    ]
    drawn = parts(parallel(trials, [Axis.of("k", LR, [])], winner=5), "polyline")
    classes = {int(line.get("data-trial")): line.get("class").split() for line in drawn}
    kinds = ["finished", "pruned", "failed", "failed", "open", "finished", "finished"]
    assert [kind(t) for t in trials] == kinds
    assert all(kinds[number] in own for number, own in classes.items())
    assert "base" in classes[0]
    assert [number for number, own in classes.items() if "winner" in own] == [5]
    assert [int(line.get("data-trial")) for line in drawn][-2:] == [0, 5]


def test_a_trial_without_a_score_ends_above_all_that_have_one():
    trials = [trial(0, 0.3), trial(1, None, status="failed"), trial(2, NAN), trial(3, 0.1)]
    drawn = parallel(trials, [Axis.of("k", LR, [])], None)
    ends = {number: points(line)[-1][1] for number, line in lines(drawn).items()}
    assert ends[1] == ends[2] < ends[0] < ends[3]
    assert "none" in texts(drawn)
    assert "none" not in texts(parallel(trials[:1], [Axis.of("k", LR, [])], None))


def test_long_names_are_broken_cut_and_escaped():
    axes = [Axis.of("conditioning.unconditional_share", LR, []), Axis.of("<b>.&" + "x" * 40, LR, [])]
    drawn = parallel([trial()], axes, None)
    assert {"conditioning", "unconditional", "_share", "<b>"} <= set(texts(drawn))
    assert "<b>" not in drawn
    assert max(map(len, texts(drawn))) <= 14


def test_curves_show_every_trial_that_was_looked_at():
    trials = [
        trial(0),
        trial(1, None, status="failed"),
        trial(2, curve=((3.0, 0.5),)),
        trial(3, curve=((1.0, NAN), (2.0, 0.4), (3.0, 0.3))),
        trial(2, stage="final", seed=1),
    ]
    found = parts(curves(trials, winner=2), "polyline")
    assert sorted(int(line.get("data-trial")) for line in found) == [0, 2, 2, 3]
    assert found[-1].get("class").split() == ["trial", "finished", "final", "winner"]
    assert [len(points(line)) for line in found if line.get("data-trial") == "3"] == [2]
    single = next(
        line for line in found if line.get("data-trial") == "2" and "final" not in line.get("class")
    )
    assert len(points(single)) == 2
    assert points(single)[0] == points(single)[1]
    assert "lone" in single.get("class")


def test_curves_fall_to_the_right_and_long_ones_keep_their_end():
    long = trial(7, curve=tuple((float(i), 1.0 / i) for i in range(1, 1001)))
    short = trial(8, curve=((1.0, 1.0), (1000.0, 0.001)))
    drawn = lines(curves([long, short], None))
    own = points(drawn[7])
    assert len(own) <= 150
    assert own[-1] == points(drawn[8])[-1]
    assert all(a[0] <= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(own))


def test_the_tradeoff_shows_what_was_measured_and_larger_dots_for_more_memorisation():
    trials = [
        trial(0, 0.5, memorisation=0.5),
        trial(1, 0.3, memorisation=0.55),
        trial(2, 0.2, memorisation=0.7),
        trial(3, 0.2, memorisation=0.9),
        trial(4, 0.1, memorisation=None),
        trial(5, 0.1, memorisation=0.5, status="failed"),
        trial(6, NAN, memorisation=0.5),
        trial(7, 0.6, memorisation=0.5),
    ]
    drawn = tradeoff(trials, winner=1)
    dots = {int(dot.get("data-trial")): dot for dot in parts(drawn, "circle")}
    assert sorted(dots) == [0, 1, 2, 3, 7]
    radii = [float(dots[i].get("r")) for i in range(4)]
    assert radii[0] < radii[1] < radii[2] == radii[3]
    assert float(dots[0].get("cy")) < float(dots[1].get("cy")) < float(dots[2].get("cy"))
    assert [number for number in sorted(dots) if "best" in dots[number].get("class").split()] == [0, 1, 2]
    assert {"0", "1", "2"} <= set(texts(drawn))


def test_many_trials_are_drawn_fainter():
    for draw in (
        lambda trials: parallel(trials, [Axis.of("k", LR, [])], None),
        lambda trials: curves(trials, None),
    ):
        few, many = (draw([trial(i) for i in range(count)]) for count in (40, 200))
        assert "many" in ElementTree.fromstring(many).get("class").split()
        assert "many" not in ElementTree.fromstring(few).get("class").split()
        assert len(lines(many)) == 200


def test_charts_of_nothing_are_charts():
    for drawn in (
        parallel([], [], None),
        curves([], None),
        tradeoff([], None),
        strip([], None, None, Scale(0, 1)),
    ):
        root = ElementTree.fromstring(drawn)
        assert root.get("role") == "img"
        assert root.get("aria-label")


def test_a_strip_shows_seeds_mean_and_bound():
    drawn = strip([0.1, 0.3], 0.2, 0.4, Scale(0.1, 0.4))
    xs = [float(dot.get("cx")) for dot in parts(drawn, "circle")]
    assert len(xs) == 2
    assert xs[0] < xs[1]
    bound = float(re.search(r'class="reference" d="M([\d.]+)', drawn)[1])
    assert bound > xs[1]
    assert "0.1000, 0.3000" in drawn
    assert "No seed has a score" in strip([], None, None, Scale(0, 1))
