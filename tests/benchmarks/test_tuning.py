"""The tables of the search benchmark: what they compare, and with which searches."""

from __future__ import annotations

from benchmarks.tuning import EARLIER, table
from fingan.config import from_mapping, to_mapping
from fingan.search import Record, Trial, ranked

SECONDS = 60.0


def searched(scheduler: str, scores: list[float], repeated: dict[int, list[float]], seconds: float) -> dict:
    """Return the row of a search: trials of equal cost, and the scores of finalists over seeds."""
    tried = tuple(
        Trial(number, {"training.lr": 0.001 + number / 1e6}, 0, "search", "finished", ((seconds, score),))
        for number, score in enumerate(scores)
    )
    again = [
        Trial(number, tried[number].params, seed, "final", "finished", ((SECONDS, score),))
        for number, own in repeated.items()
        for seed, score in enumerate(own)
    ]
    finalists = ranked(again, 0.9, 0.0)
    record = Record(
        name="loans",
        shape={"rows": 900, "columns": 9, "categories": 0.1},
        base=to_mapping(from_mapping({})),
        space={},
        trials=(*tried, *again),
        finalists=tuple(finalist.to_json(0.9) for finalist in finalists),
        winner=finalists[0].params,
        status="finished",
    )
    spent = sum(trial.seconds for trial in record.trials)
    key = {"dataset": "loans", "scheduler": scheduler, "trials": len(scores), "trial_seconds": SECONDS}
    return {**key, "resumed": False, "tree_cpu_seconds": spent * 1.05, "record": record.to_json()}


def seeded(setting: str, params: dict, aucs: list[float]) -> list[dict]:
    return [
        {
            "dataset": "loans",
            "seed": 1000 + number,
            "setting": setting,
            "params": params,
            "failed": False,
            "figures": {"detection_auc": auc, "tstr_share": 95.0},
        }
        for number, auc in enumerate(aucs)
    ]


def line(rows: list[dict], start: str) -> list[str]:
    found = [text for text in table(rows).splitlines() if text.startswith(f"| loans | {start} |")]
    assert len(found) == 1
    return [cell.strip() for cell in found[0].strip("|").split("|")]


WHOLE = searched("none", [0.9, 0.5, 0.3, 0.4], {0: [0.9, 0.9], 2: [0.45, 0.55]}, SECONDS)


def test_a_lucky_draw_and_quality_over_seeds_are_told_apart():
    pruned = searched("asha", [0.9, 0.45, 0.6, 0.5], {0: [0.9, 0.9], 1: [0.42, 0.52]}, SECONDS / 3)
    cells = line([pruned, WHOLE], "ASHA among the last nine")
    assert cells[5:7] == ["never", "miss"], "no trial scored .3"
    assert cells[7] == "0.470 ± 0.071"
    assert cells[8:10] == ["17%", "pass"], "the second of trials that cost a third"
    assert cells[10:] == ["4.8%", "pass"]


def test_a_setting_with_fewer_seeds_or_beyond_the_cost_does_not_reach_it():
    fewer = searched("asha", [0.9, 0.3], {0: [0.9, 0.9], 1: [0.4]}, SECONDS)
    assert line([fewer, WHOLE], "ASHA among the last nine")[8:10] == ["never", "miss"]
    dear = searched("asha", [0.9, 0.3], {0: [0.9, 0.9], 1: [0.4, 0.5]}, SECONDS)
    cells = line([dear, WHOLE], "ASHA among the last nine")
    assert (cells[5:7], cells[8:10]) == (["50%", "miss"], ["50%", "miss"])


def test_seeds_of_an_earlier_winner_do_not_count():
    old = searched(EARLIER, [0.9, 0.4], {1: [0.4, 0.4]}, SECONDS)
    new = searched("asha", [0.9, 0.8, 0.5], {2: [0.5, 0.5]}, SECONDS)
    rows = [old, new, *seeded("default", {}, [0.9, 0.8])]
    rows += [
        *seeded("tuned", old["record"]["winner"], [0.1]),
        *seeded("tuned", new["record"]["winner"], [0.7, 0.6]),
    ]
    assert line(rows, "tuned")[2:] == ["2", "0", "0.650", "0.700", "95.0", "pass"]
    assert line(rows, "ASHA among all trials")[2] == "0 of 2"
