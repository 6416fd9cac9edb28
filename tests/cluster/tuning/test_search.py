"""A search from the first trial to the published winner, on a real Ray."""

from __future__ import annotations

from datetime import date

import pytest

from fingan.errors import ConfigError, FinganError
from fingan.generator import load
from fingan.registry import Registry
from fingan.search import Record, Trial, read_record
from fingan.search.shipped import Entry, Shape, write_entries
from tests.cluster.tuning.searches import Listener, folder_of, search

HARSH = (
    "objective.name=minimax",
    "objective.penalty=none",
    "objective.marginals=0",
    "health.max_rollbacks=0",
    "training.warmup_steps=0",
    "tune.trial_steps=400",
    "tune.scheduler=none",
)
"""With these a rate of 1 ends every training within 200 steps."""

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


@pytest.fixture(scope="module")
def found(tmp_path_factory, ray_cluster):
    """A finished search, its registry, what it told, and all trials that were seen."""
    registry = tmp_path_factory.mktemp("models")
    stages, seen = [], []
    listener = Listener(on_trials=seen.append, on_stage=stages.append)
    tuned = search(registry, listener=listener, command="fingan tune loans.parquet")
    return tuned, registry, stages, seen


def test_the_winner_is_published_with_the_record_of_the_search(found):
    tuned, registry, stages, _ = found
    assert (tuned.name, tuned.version, tuned.interrupted) == ("m", 1, False)
    store = Registry(registry)
    generator = load(store.fetch(store.resolve("m")))
    assert generator.sample(10, seed=1).num_rows == 10
    record = Record.of_json(generator.metrics["search"])
    assert record.winner == tuned.record.winner
    assert record.trials == tuned.record.trials
    assert record.command == "fingan tune loans.parquet"
    for key, value in record.winner.items():
        section, _, name = key.partition(".")
        assert getattr(getattr(generator.config, section), name) == value
    assert stages[-1] == "calibrating and publishing"


def test_every_trial_is_on_record_and_the_first_is_the_base_setting(found):
    tuned, _, _, seen = found
    tried = [t for t in tuned.record.trials if t.stage == "search"]
    assert [t.number for t in tried] == list(range(4))
    base = tried[0].params
    assert base == {"training.lr": 0.001, "training.batch_size": 64, "network.width": 16}
    assert {t.status for t in tried} <= {"finished", "pruned"}
    assert all(t.steps == 40 for t in tried if t.status == "finished")
    assert all(t.memorisation is not None for t in tried if t.status == "finished")
    scores = [[score for _, score in t.curve] for t in tried]
    assert all(own == sorted(own, reverse=True) for own in scores), "best so far never gets worse"
    assert any(t.status == "running" for trials in seen for t in trials), "nothing was seen on the way"


def test_finalists_are_repeated_over_seeds_that_the_search_has_not_seen(found):
    tuned, *_ = found
    finals = [t for t in tuned.record.trials if t.stage == "final"]
    numbers = {t.number for t in finals}
    assert 0 in numbers
    assert len(numbers) == 3, "two finalists and the base"
    assert {(t.number, t.seed) for t in finals} == {(n, s) for n in numbers for s in (0, 1)}
    searched = {t.number: t.score for t in tuned.record.trials if t.stage == "search"}
    assert all(t.score != searched[t.number] for t in finals)
    bounds = [f["bound"] for f in tuned.record.finalists]
    assert bounds == sorted(bounds)
    assert tuned.record.finalists[0]["params"] == tuned.record.winner


def test_record_and_page_lie_in_the_folder_and_nothing_else_heavy_does(found):
    tuned, registry, *_ = found
    assert read_record(tuned.folder / "record.json") == tuned.record
    page = (tuned.folder / "search.html").read_text(encoding="utf-8")
    assert page.count("</html>") == 1
    assert folder_of(registry).read()["status"] == "finished"
    assert not list(tuned.folder.rglob("*.safetensors"))
    assert not (tuned.folder / "ray").exists()


@pytest.mark.slow
@pytest.mark.slow
def test_the_same_search_gives_the_same_trials(tmp_path):
    # One at a time: which trials the study knows of when it proposes depends on their order.
    one, other = (
        search(tmp_path / name, "tune.concurrency=1", "tune.trials=3", "tune.finalists=1").record.trials
        for name in ("one", "other")
    )
    assert [(t.number, t.seed, t.params, t.status, t.score) for t in one] == [
        (t.number, t.seed, t.params, t.status, t.score) for t in other
    ]


@pytest.mark.slow
def test_failing_settings_do_not_stop_the_search(tmp_path):
    space = "tune.space={training.lr: [0.001, 1.0], training.batch_size: [64, 4000]}"
    first = [{"training.batch_size": 64, "training.lr": 1.0}]
    tuned = search(tmp_path, space, *HARSH, "tune.trials=3", first=first)
    assert tuned.version == 1
    tried = [t for t in tuned.record.trials if t.stage == "search"]
    assert tried[1].params == first[0]
    assert (tried[1].status, tried[0].status) == ("failed", "finished")
    assert "TrainingDiverged" in tried[1].error
    assert all(t.params["training.batch_size"] == 64 for t in tried), "rows cannot fill such a batch"
    assert tuned.record.winner["training.lr"] == 0.001


def test_all_trials_failing_ends_the_search_at_once(tmp_path):
    space = "tune.space={training.lr: {low: 0.9, high: 1.0}}"
    with pytest.raises(FinganError, match=r"trials came to a result.*TrainingDiverged"):
        search(tmp_path, space, *HARSH, "training.lr=0.95", "tune.trials=500")
    record = read_record(folder_of(tmp_path).record)
    assert len(record.trials) < 50
    assert {t.status for t in record.trials} <= {"failed", "interrupted"}
    assert record.status == "failed"
    assert record.winner is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tune.space={}"], "empty"),
        (["tune.space={training.learning_rate: [0.1]}"], "training.lr"),
        (["tune.space={training.lr: [7.5]}"], "training.lr.*7.5"),
        (["tune.concurrency=64"], "64 trial.*CPUs.*tune.concurrency"),
        (["compute.threads=100"], "take 200 CPUs"),
        (["compute.workers=4", "compute.threads=1", "tune.concurrency=2"], "CPUs"),
        (["data.validation=0.01"], "held-out rows.*data.validation"),
        (["tune.scheduler=population", "tune.space={network.width: [8, 16]}"], "population.*training.lr"),
    ],
)
def test_what_cannot_work_is_refused_before_any_trial(tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        search(tmp_path, *overrides)
    assert not list((tmp_path / ".runs").rglob("run.json"))


def test_a_search_of_a_name_that_is_going_on_is_refused(tmp_path):
    from fingan.cluster.lease import leased
    from fingan.cluster.runs import runs_root
    from fingan.cluster.tuning.ledger import place
    from fingan.errors import UserError

    with leased(place(runs_root(tmp_path), "m") / "lease.json", "m"), pytest.raises(UserError):
        search(tmp_path)


def stops_at_the_second_trial() -> Listener:
    """Return one that raises KeyboardInterrupt in the calling thread, once the second trial has begun."""
    pressed = []

    def look(trials: list[Trial]) -> None:
        if not pressed and any(trial.number == 1 for trial in trials):
            pressed.append(True)
            raise KeyboardInterrupt

    return Listener(on_trials=look)


@pytest.mark.parametrize(
    ("wanted", "scheduler"),
    [
        (True, "asha"),
        pytest.param(False, "asha", marks=pytest.mark.slow),
        pytest.param(True, "population", marks=pytest.mark.slow),
    ],
)
def test_shipped_settings_are_tried_right_after_the_base_where_they_are_wanted(
    wanted, scheduler, tmp_path, monkeypatch
):
    rates = {"training.lr": 0.0023, "training.batch_size": 128}
    # A population varies no widths, the other search does: each finds its own.
    params = rates if scheduler == "population" else {**rates, "network.width": 8}
    shape, day = Shape(rows=1000, columns=10, categories=0.5), date(2026, 1, 31)
    write_entries(tmp_path / "settings.json", [Entry(shape, 60.0, "", day, params, (0.3,), (0.4,), 0)])
    monkeypatch.setattr("fingan.search.shipped.SETTINGS", tmp_path / "settings.json")
    kept = (f"tune.shipped={wanted}", f"tune.scheduler={scheduler}", "tune.trial_steps=4000")
    stopped = search(tmp_path / "models", *kept, listener=stops_at_the_second_trial())
    assert stopped.interrupted
    begun = {t.number: t for t in read_record(stopped.folder / "record.json").trials}
    assert (begun[1].params == params) is wanted
    assert [number for number, trial in begun.items() if trial.given] == ([1] if wanted else [])
    assert folder_of(tmp_path / "models").read()["first"] == ([params] if wanted else [])
