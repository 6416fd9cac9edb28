"""Which classes get a network of their own, and for how long it trains."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from fingan import fitting, rare
from fingan.config import Config, from_mapping
from fingan.data import infer_schema
from fingan.encoding.stored import StoredTable
from fingan.errors import TrainingDiverged
from fingan.fitting import finish, start
from fingan.preparation import inspect, prepare
from fingan.rare import of_rare, rare_classes, without_rare
from fingan.synthesizer import Synthesizer
from fingan.training import Silent
from tests.streamed import write
from tests.tiny import RARE_ROWS, arrow, config, rare_table, train
from tests.training.toys import Recorder


def configured(*overrides: str) -> Config:
    return from_mapping({}, ("data.target=label", *overrides))


def labelled(counts: dict[object, int], apart: bool = True) -> pa.Table:
    """Return rows with these labels in any order, that x tells apart or not; row numbers n."""
    labels = [value for value, count in counts.items() for _ in range(count)]
    rng = np.random.default_rng(0)
    x = rng.normal(size=len(labels)) + 10.0 * apart * np.repeat(range(len(counts)), list(counts.values()))
    order = rng.permutation(len(labels))
    numbers = {"x": x[order], "n": np.arange(len(labels)) % 1000, "row": np.arange(len(labels))}
    return pa.table({"label": pa.array(labels).take(pa.array(order)), **numbers})


def classes_of(table: pa.Table, *overrides: str, rows: np.ndarray | None = None) -> tuple[pa.Table, ...]:
    chosen = np.arange(table.num_rows) if rows is None else rows
    return rare_classes(table, chosen, infer_schema(table, "label"), from_mapping({}, overrides))


def found(table: pa.Table) -> list[tuple[object, int]]:
    """Return each class and its number of rows."""
    classes = classes_of(table, "data.target=label")
    kinds = [Counter(rows["label"].to_pylist()) for rows in classes]
    assert all(len(kind) == 1 for kind in kinds)
    return [next(iter(kind.items())) for kind in kinds]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"no": 1000, "yes": 100}, [("yes", 100)]),
        ({"no": 1000, "yes": 101}, []),
        ({"no": 5000, "yes": 99}, []),
        ({0: 5000, 1: 150, None: 120}, [(1, 150)]),
        ({True: 200, False: 3000}, [(True, 200)]),
        ({0.0: 4000, 1.0: 100, 2.0: 300, 3.0: 3000, 4.0: 20}, [(2.0, 300), (1.0, 100)]),
        (
            {"a": 4000, "b": 101, "c": 102, "d": 103, "e": 104, "f": 105},
            [("f", 105), ("e", 104), ("d", 103), ("c", 102)],
        ),
        ({n: 3000 if n == 0 else 100 for n in range(11)}, []),
        ({"only": 2000}, []),
    ],
    ids=str,
)
def test_a_class_is_rare_that_has_a_tenth_of_the_rows_of_the_commonest(counts, expected):
    table = labelled(counts)
    assert found(table) == expected
    # The order of the rows decides nothing.
    assert found(table.take(pa.array(np.arange(table.num_rows)[::-1]))) == expected


def test_there_is_none_without_a_label():
    table = labelled({"no": 2000, "yes": 150})
    assert classes_of(table) == ()


def test_a_class_whose_rows_are_like_the_others_has_none():
    assert found(labelled({"no": 3000, "yes": 300}, apart=False)) == []
    assert found(labelled({"no": 3000, "yes": 300}).select(["label"])) == []
    assert prepare(arrow(RARE_ROWS), config()).rare == ()


def restated(kind: str) -> pa.Table:
    """Return rows of which nothing but a column that says what the label says tells the class."""
    table = labelled({"no": 3000, "yes": 300}, apart=False)
    yes = pc.equal(table["label"], "yes").to_numpy()
    draw = np.random.default_rng(1)
    reasons = pa.array(draw.choice(["lost", "stolen", "skimmed"], yes.size))
    columns = {
        "flag": pa.array(yes),
        "reason": pc.if_else(pa.array(yes), reasons, None),
        "recovered": pc.if_else(pa.array(yes), pa.array(draw.gamma(2.0, 50.0, yes.size)), None),
        "written off": pa.array(np.where(yes, draw.gamma(2.0, 50.0, yes.size), 0.0)),
    }
    return table.append_column(kind, columns[kind])


@pytest.mark.parametrize("kind", ["flag", "reason", "recovered", "written off"])
def test_a_column_that_restates_the_label_sets_no_class_apart(kind):
    assert found(restated(kind)) == []
    # Beside others that do, it does no harm.
    apart = labelled({"no": 3000, "yes": 300})
    assert found(apart.append_column(kind, restated(kind)[kind])) == [("yes", 300)]


def test_only_training_rows_are_taken():
    table = labelled({"no": 4000, "yes": 300})
    train = np.arange(0, table.num_rows, 2)
    (rows,) = classes_of(table, "data.target=label", rows=train)
    own = table.filter(pc.equal(table["label"], "yes"))["row"].to_pylist()
    assert rows["row"].to_pylist() == [row for row in own if row % 2 == 0]


def test_of_many_rows_some_are_drawn(monkeypatch):
    monkeypatch.setattr(rare, "MOST_ROWS", 120)
    table = labelled({"no": 4000, "yes": 400})
    draws = (classes_of(table, "data.target=label", f"seed={seed}") for seed in (0, 1))
    one, two = (rows["row"].to_pylist() for (rows,) in draws)
    assert len(one) == len(set(one)) == 120
    assert one == sorted(one)
    assert one != two


def test_a_time_budget_is_shared():
    config = configured("training.time_budget=100s")
    assert without_rare(config, 0) == config
    assert without_rare(config, 2).training.time_budget == 75.0
    # As much time as the table's own network left, also where that one ended early.
    assert of_rare(config, 0, 1, 500, 1000, 75.0).training.time_budget == pytest.approx(25.0)
    assert of_rare(config, 1, 2, 500, 1000, 30.0).training.time_budget == pytest.approx(5.0)


def test_steps_are_taken_besides():
    config = configured("training.steps=300", "training.time_budget=null")
    assert without_rare(config, 1) == config
    own = of_rare(config, 0, 1, 500, 300, 12.0).training
    assert (own.steps, own.time_budget) == (100, None)
    assert of_rare(configured("training.steps=1"), 0, 1, 500, 1, 0.0).training.steps == 1


def test_steps_go_through_the_few_rows_no_oftener_than_epochs_would():
    """30,000 steps would show each of a hundred rows 6,400 times."""
    settings = ("training.steps=30000", "training.time_budget=null")
    own = of_rare(configured(*settings, "training.epochs=300"), 0, 1, 100, 30_000, 600.0).training
    assert own.steps * own.batch_size / 100 == pytest.approx(rare.PASSES * 300, rel=0.01)
    free = of_rare(configured(*settings, "training.epochs=null"), 0, 1, 100, 30_000, 600.0).training
    assert free.steps == 10_000


def test_a_step_of_several_batches_goes_through_as_many_rows():
    settings = ("training.steps=30000", "training.time_budget=null", "objective.discriminator_steps=5")
    own = of_rare(configured(*settings), 0, 1, 100, 30_000, 600.0)
    assert own.training.steps * own.rows_per_step / 100 == pytest.approx(rare.PASSES * 300, rel=0.01)


def test_a_batch_fits_into_the_class_and_passes_are_bounded():
    config = configured("training.batch_size=512", "training.epochs=10")
    assert of_rare(config, 0, 1, 473, 1, 1.0).training.batch_size == 256
    assert of_rare(config, 0, 1, 5000, 1, 1.0).training.batch_size == 512
    assert of_rare(config, 0, 1, 473, 1, 1.0).training.epochs == rare.PASSES * 10
    assert of_rare(configured("training.epochs=null"), 0, 1, 473, 1, 1.0).training.epochs is None


def test_classes_have_seeds_of_their_own():
    seeds = {of_rare(configured(f"seed={seed}"), n, 2, 500, 1, 1.0).seed for seed in (0, 1) for n in (0, 1)}
    assert len(seeds) == 4


def test_a_run_with_a_time_budget_leaves_time_for_its_rare_class():
    settings = config("training.steps=null", "training.time_budget=8s", "training.epochs=null")
    prepared = prepare(rare_table(), settings)
    (rows,) = prepared.rare
    assert set(rows["label"].to_pylist()) == {"bad"}
    hooks = Recorder()
    run = start(prepared, hooks=hooks)
    assert run.config.training.time_budget == 6.0
    assert prepared.config.training.time_budget == 8.0
    result = run.train()
    assert result.reason == "time budget"
    made = finish(prepared, result)
    assert [str(own.value) for own in made.rare] == made.metrics["training"]["rare_classes"] == ["bad"]
    assert made.config.training.time_budget == 8.0


def test_a_synthesizer_has_the_rare_class_too():
    model = Synthesizer(config=config()).fit(rare_table())
    sample = model.sample(50, where={"label": "bad"})
    assert set(sample["label"]) == {"bad"}
    assert len(model.generator.rare) == 1


def test_a_class_that_cannot_be_learned_costs_no_run(monkeypatch, caplog):
    prepared = prepare(rare_table(), config())
    result = start(prepared).train()

    def fails(*_):
        raise TrainingDiverged("training is exploding at step 3")

    monkeypatch.setattr(fitting, "_rare_class", fails)
    made = finish(prepared, result)
    assert made.rare == ()
    assert made.sample(10, where={"label": "bad"}).num_rows == 10
    assert "no network of its own for label = bad: training is exploding" in caplog.text


def test_a_class_with_hardly_a_step_is_left_to_the_tables_network(caplog):
    made = train(rare_table(), "training.steps=8")
    assert made.rare == ()
    assert "no network of its own for label = bad: 1.6 passes over its" in caplog.text


def test_several_batches_a_step_are_as_many_passes(caplog):
    made = train(rare_table(), "training.steps=8", "objective.discriminator_steps=4")
    assert len(made.rare) == 1
    assert not caplog.text


def test_what_the_users_rules_tie_costs_the_class_nothing():
    """Its few rows may have a combination each."""
    table = rare_table()
    draw = np.random.default_rng(0).integers(0, 10, (2, table.num_rows))
    for name, numbers in zip(("country", "shop"), draw, strict=True):
        table = table.append_column(name, pa.array([f"{name} {n}" for n in numbers]))
    made = train(table, 'data.constraints=["fixed(country, shop)"]')
    assert made.metrics["training"]["rare_classes"] == ["bad"]


class Stopper(Silent):
    """Asks to stop from the n-th time that it is asked."""

    def __init__(self, after: int) -> None:
        self.left = after

    def should_stop(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_whoever_stops_training_gets_what_the_tables_network_makes(caplog):
    prepared = prepare(rare_table(), config())
    hooks = Recorder(stop_at=20)
    run = start(prepared, hooks=hooks)
    hooks.run = run
    result = run.train()
    assert result.reason == "interrupted"
    assert finish(prepared, result).rare == ()
    assert "no network of its own for label = bad: training was stopped" in caplog.text


def test_a_stop_ends_the_training_of_a_class():
    prepared = prepare(rare_table(), config("training.steps=600"))
    result = start(prepared).train()
    assert finish(prepared, result, Stopper(0)).rare == ()
    # Asked before it begins, at its start, and after each window of 20 steps.
    (own,) = finish(prepared, result, Stopper(3)).rare
    (full,) = finish(prepared, result).rare
    assert not own.engine.network.state_dict().keys() - full.engine.network.state_dict().keys()
    assert any(
        not torch.equal(own.engine.network.state_dict()[k], v)
        for k, v in full.engine.network.state_dict().items()
    )


def test_checking_a_table_tells_of_the_class():
    rows = prepare(rare_table(), config()).rare[0].num_rows
    notes = [note for note in inspect(rare_table(), config())["notes"] if "network" in note]
    assert notes == [f"{rows} rows of label = bad get a network of their own"]
    assert not [note for note in inspect(arrow(), config())["notes"] if "network" in note]


def test_a_table_in_parts_has_its_rare_class_from_the_sample(tmp_path):
    write(tmp_path / "data", rare_table())
    prepared = prepare(tmp_path / "data", config("data.in_memory=1000"), tmp_path)
    assert isinstance(prepared.encoded, StoredTable)
    (rows,) = prepared.rare
    assert set(rows["label"].to_pylist()) == {"bad"}
    assert 100 <= rows.num_rows < pc.sum(pc.equal(rare_table()["label"], "bad")).as_py()
