"""Populations: members that go on from each other's states."""

from __future__ import annotations

import json

import pytest

from fingan.cluster.tuning.ledger import SearchFolder
from fingan.cluster.tuning.population import Population
from fingan.search import SearchSpace, Trial
from fingan.search.population import mutable
from fingan.search.study import Study
from tests.cluster.tuning.searches import folder_of, search, settings

SPACE = "tune.space={training.lr: {low: 0.00001, high: 0.01, log: true}}"
KEPT = (SPACE, "tune.scheduler=population", "tune.intervals=4", "tune.trials=4", "tune.trial_steps=160")
FIRST = [{"training.lr": 0.00001}, {"training.lr": 0.00002}, {"training.lr": 0.005}]


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_population_goes_on_from_better_members_states(tmp_path):
    tuned = search(tmp_path, *KEPT, "tune.concurrency=2", "tune.finalists=1", first=FIRST)
    members = [t for t in tuned.record.trials if t.stage == "search"]
    assert [t.steps for t in members] == [160] * 4
    assert {t.status for t in members} == {"finished"}
    assert all(len(t.curve) == 4 for t in members)
    assert tuned.version == 1
    began = [0.001, *(params["training.lr"] for params in FIRST)]
    changed = [t for t, lr in zip(members, began, strict=True) if t.params["training.lr"] != lr]
    assert changed, "no member took over another's state"
    for trial in changed:
        run = folder_of(tmp_path).trial("search", trial.number, 0).run
        steps = [json.loads(line)["step"] for line in run.progress.read_text().splitlines()]
        assert steps == sorted(set(steps)), "a member began anew instead of going on"


@pytest.fixture
def population(tmp_path) -> Population:
    """Four members that have come to their first look; 3 is the weakest, 0 the best."""
    folder = SearchFolder.create(tmp_path, "m", {})
    space = mutable(SearchSpace.of(settings(*KEPT)))
    found = Population(folder, space)
    found.begin(Study(space, 0), FIRST)
    for number, params in found.pending(0.25):
        trial = folder.trial("search", number, 0)
        trial.begin(Trial(number, params), {})
        saved = trial.run.checkpoints / "step-00000040"
        saved.mkdir(parents=True)
        (saved / "of").write_text(str(number))
        trial.look(1.0, 0.1 * (number + 1), 40, 1)
        trial.run.note(status="paused", until=0.25)
    return found


def owner(population: Population, number: int) -> str:
    (saved,) = population.folder.trial("search", number, 0).run.checkpoints.iterdir()
    return (saved / "of").read_text()


def test_members_begin_with_the_base_and_what_is_given(tmp_path):
    folder = SearchFolder.create(tmp_path, "m", {})
    space = mutable(SearchSpace.of(settings(*KEPT, "tune.trials=6")))
    found = Population(folder, space)
    found.begin(Study(space, 0), FIRST)
    members = found.pending(0.25)
    assert [number for number, _ in members] == list(range(6))
    assert [params for _, params in members[:4]] == [space.base_params(), *FIRST]
    found.begin(Study(space, 1), [])
    assert found.pending(0.25) == members, "a second driver changed the members"


def test_who_has_come_to_a_look_waits_there(population):
    assert population.pending(0.25) == []
    assert [number for number, _ in population.pending(0.5)] == [0, 1, 2, 3]
    population.folder.trial("search", 1, 0).run.note(status="failed")
    assert [number for number, _ in population.pending(0.5)] == [0, 2, 3]


def test_the_weakest_takes_the_state_the_past_and_new_values(population, monkeypatch):
    monkeypatch.setattr(
        "fingan.cluster.tuning.population.list_checkpoints", lambda path: sorted(path.iterdir())
    )
    population.move(1)
    assert [owner(population, number) for number in range(4)] == ["0", "1", "2", "0"]
    moved = population.folder.trial("search", 3, 0).read()
    assert moved is not None
    assert moved.score == pytest.approx(0.1)
    assert moved.params != FIRST[2]
    assert dict(population.pending(0.5))[3] == moved.params
    assert population.folder.trial("search", 3, 0).run.read()["donor"] == 0


def test_a_move_that_was_torn_is_made_again_and_a_whole_one_is_not(population, monkeypatch):
    monkeypatch.setattr(
        "fingan.cluster.tuning.population.list_checkpoints", lambda path: sorted(path.iterdir())
    )
    population.move(1)
    run = population.folder.trial("search", 3, 0).run
    params = run.read()["params"]
    (run.checkpoints / "step-00000040" / "of").write_text("its own work since")
    population.move(1)
    assert owner(population, 3) == "its own work since"
    run.note(moved=0)
    population.move(1)
    assert owner(population, 3) == "0"
    assert run.read()["params"] == params
