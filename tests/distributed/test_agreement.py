"""What befalls one worker is decided upon by all: roll-backs, giving up, resuming."""

import json

import pytest


@pytest.fixture(scope="module")
def found(groups):
    """Scenario → what each of the two workers says of it."""
    first, second = (
        json.loads((groups / f"scenarios-{rank}.json").read_text(encoding="utf-8")) for rank in (0, 1)
    )
    return {name: (first[name], second[name]) for name in first}


def test_all_is_well_without_misfortune(found):
    assert found["healthy"][0] == found["healthy"][1]
    assert found["healthy"][0]["end"] == "finished"
    assert found["healthy"][0]["progress"]["attempt"] == 0


@pytest.mark.parametrize("what", ["batch", "weight", "gradient"])
def test_poison_on_one_worker_rolls_all_back(found, what):
    first, second = found[what]
    assert first == second
    assert first["end"] == "finished"
    assert first["progress"]["attempt"] == 1
    assert first["progress"]["rate_scale"] == 0.5
    assert first["progress"]["step"] == 40
    assert first["tensors"] != found["healthy"][0]["tensors"]


def test_all_give_up_together(found):
    first, second = found["hopeless"]
    assert first["end"] == second["end"]
    assert first["end"].startswith("TrainingDiverged: training is non-finite at step 30 after 2 roll-backs")
    assert first["progress"]["rate_scale"] == second["progress"]["rate_scale"] == 0.25


def test_all_stop_together(found):
    first, second = found["stop"]
    assert first["end"] == second["end"]
    assert "after 0 roll-backs" in first["end"]


def test_resuming_two_workers_is_bit_equal(found):
    first, second = found["resumed"]
    assert first == second == found["healthy"][0]


def test_workers_whose_checkpoints_differ_refuse(found):
    for outcome in found["apart"]:
        assert outcome["end"].startswith("CheckpointCorrupt: workers start from different states")
