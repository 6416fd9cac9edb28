"""Rows of rare classes come from networks of their own; all that holds of rows holds of them too."""

from __future__ import annotations

import copy
import dataclasses
import functools
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from fingan import load
from fingan.config import ConditioningConfig
from fingan.encoding.codec import encode_table
from fingan.errors import BundleError, ConditionError
from fingan.generator import Generator
from fingan.generator.engine import BLOCK, Ask, Stretch
from fingan.generator.packed import Piece, prepare_piece, sample_packed
from fingan.generator.rare import put, read_label
from fingan.generator.replay import difference, record
from tests.registry.helpers import alter, edit_manifest
from tests.tiny import rare_table, train, with_rare

ROWS = 4 * BLOCK
WHERES = (None, {"label": "bad"}, {"city": "Oslo", "age": 40}, {"amount": None})
ANY = ConditioningConfig()
LABELS = (
    pa.table({"label": ["a", "b"]}),
    pa.table({"label": ["a"], "x": [1]}),
    pa.table({"label": pa.array([], pa.string())}),
)


@functools.cache
def often() -> Generator:
    """Return a generator that makes the rare class often: its last layer leans to it."""
    made = with_rare()
    engine = made.engine
    unit = engine.encoder.unit_of("label")
    category = [n for n, u in enumerate(engine.encoder.units) for s in u.fields if s.kind == "category"]
    start = sum(engine.encoder.layout.widths[: category.index(unit)])
    offsets = engine.calibration.offsets.copy()
    shares = engine.encoder.frequencies()[category.index(unit)]
    offsets[start : start + 2] -= np.log(shares).astype(np.float32)
    calibration = dataclasses.replace(engine.calibration, offsets=offsets)
    return dataclasses.replace(made, engine=dataclasses.replace(engine, calibration=calibration))


def without(made: Generator) -> Generator:
    """Return the generator with the table's network alone."""
    return dataclasses.replace(made, rare=())


def bad(rows: pa.Table) -> np.ndarray:
    return pc.equal(rows["label"], "bad").to_numpy()


def test_both_classes_are_common_in_these_tests():
    assert 0.2 < bad(often().sample(ROWS)).mean() < 0.8


def test_only_rows_of_the_class_are_others():
    own, table = often().sample(ROWS, seed=1), without(often()).sample(ROWS, seed=1)
    rare = bad(own)
    assert np.array_equal(rare, bad(table))
    assert own.filter(pa.array(~rare)).equals(table.filter(pa.array(~rare)))
    # The row's number and the seed make the identifier, whoever makes the row.
    assert own["customer"].equals(table["customer"])
    for name in ("age", "amount", "moment"):
        same = pc.fill_null(pc.equal(own[name], table[name]), True).to_numpy()
        assert same[rare].mean() < 0.5, name


def test_they_are_what_the_engine_of_the_class_makes():
    made = often().sample(ROWS, seed=2)
    (own,) = often().rare
    raw = own.engine.make([Ask([Stretch(2, "sample of rare class 0", 0, ROWS)])])[0]
    alone = pa.Table.from_batches([own.engine.decode(raw, np.arange(ROWS), 2)])
    rare = pa.array(bad(made))
    assert made.filter(rare).equals(alone.filter(rare))


@pytest.mark.parametrize("candidates", [1, 3])
@pytest.mark.parametrize("where", WHERES, ids=str)
def test_a_row_is_a_function_of_seed_and_number(where, candidates):
    made = dataclasses.replace(often(), density=with_rare("sampling.candidates=3").density)
    whole = made.sample(ROWS, where, seed=3, candidates=candidates)
    assert made.sample(ROWS, where, seed=3, candidates=candidates, threads=2).equals(whole)
    for first, last in ((0, 5), (1000, 1100), (1500, 3000)):
        part = made.sample(last - first, where, seed=3, offset=first, candidates=candidates)
        assert part.equals(whole.slice(first, last - first)), (first, last)
    pieces = [prepare_piece(made, Piece(3, a, a + 90, where, candidates)) for a in range(0, 900, 90)]
    pages = pa.Table.from_batches(sample_packed(made, pieces))
    assert pages.equals(whole.slice(0, 900))


def test_given_values_hold_in_rows_of_the_class():
    rows = often().sample(500, where={"city": "Lyon", "age": 50})
    assert set(rows["city"].to_pylist()) == {"Lyon"}
    assert set(rows["age"].to_pylist()) == set(rows["years"].to_pylist()) == {50}
    assert 0 < bad(rows).sum() < 500
    assert not bad(often().sample(200, where={"label": "good"})).any()


def test_the_label_is_not_given_to_a_network_that_knows_no_other():
    """Rows that are asked for by the label are those that the class makes of nothing."""
    (own,) = often().rare
    raw = own.engine.make([Ask([Stretch(7, "sample of rare class 0", 0, 300)])])[0]
    alone = pa.Table.from_batches([own.engine.decode(raw, np.arange(300), 7)])
    assert often().sample(300, where={"label": "bad"}, seed=7).equals(alone)
    both = often().sample(300, where={"label": "bad", "age": 44}, seed=7)
    assert set(both["age"].to_pylist()) == {44}
    assert own.condition({"label": "bad"}, ANY) is None
    with pytest.raises(ConditionError):
        own.condition({"label": "good"}, ANY)


def test_values_that_the_class_never_had_come_from_the_tables_network():
    amounts = rare_table().filter(pc.equal(rare_table()["label"], "bad"))["amount"]
    beyond = round(pc.min(amounts).as_py() / 2, 2)
    where = {"amount": beyond, "label": "bad"}
    rows = often().sample(100, where=where, seed=5)
    assert set(rows["amount"].to_pylist()) == {beyond}
    assert rows.equals(without(often()).sample(100, where=where, seed=5))


def test_candidates_are_chosen_among_rows_of_the_class_too():
    made = with_rare("sampling.candidates=3")
    assert made.density is not None
    rows = made.sample(3000, seed=1)
    assert 0.005 < bad(rows).mean() < 0.05
    first = [made.sample(3000, seed=1, candidates=1), without(made).sample(3000, seed=1, candidates=1)]
    assert not first[0].equals(first[1])


def test_rows_of_the_class_are_not_compared():
    """A hundred real rows are too few to choose by."""
    made = with_rare("sampling.candidates=3")
    batch = made.sample(8000, seed=2, candidates=1).combine_chunks().to_batches()[0]
    assert np.array_equal(np.isnan(made.density(batch)), bad(pa.table(batch)))


def test_they_are_kept_as_often_as_they_are_made():
    made = dataclasses.replace(often(), density=with_rare("sampling.candidates=3").density)
    rows = 40 * BLOCK
    kept, first = (bad(made.sample(rows, seed=3, candidates=n)).mean() for n in (3, 1))
    assert abs(kept - first) < 4 * np.sqrt(0.25 / rows * (1 + 1 / 3))
    assert bad(made.sample(200, where={"label": "bad"}, seed=1)).all()


def test_rows_of_the_class_alone_are_not_made_to_choose_among():
    """They are kept as often as they are made, so one candidate is as good as many."""
    made = with_rare("sampling.candidates=3")
    assert prepare_piece(made, Piece(0, 0, 10, {"label": "bad", "age": 40}, 8)).candidates == 1
    assert prepare_piece(made, Piece(0, 0, 10, {"label": "bad"})).candidates == 1
    for where in (None, {"label": "good"}, {"age": 40}):
        assert prepare_piece(made, Piece(0, 0, 10, where)).candidates == 3
    own = made.sample(300, where={"label": "bad"}, seed=7)
    assert own.equals(made.sample(300, where={"label": "bad"}, seed=7, candidates=1))


def test_a_number_that_the_class_never_had_comes_from_the_tables_network():
    """Of few numbers the nearest would stand for it, and its row would come with it."""
    table = rare_table()
    of_class = pc.equal(table["label"], "bad")
    hours = np.where(of_class.to_numpy(), np.arange(table.num_rows) % 2 * 19, np.arange(table.num_rows) % 24)
    hours = pa.array(np.minimum(hours, 19))
    made = train(table.append_column("hour", hours))
    (own,) = made.rare
    assert own.condition({"hour": 19}, ANY) is not None
    with pytest.raises(ConditionError, match=r"column 'hour': 12 is not among the values.* is 19;"):
        own.condition({"hour": 12}, ANY)
    where = {"hour": 12, "label": "bad"}
    assert made.sample(50, where).equals(without(made).sample(50, where))


def test_a_column_that_the_network_of_the_class_was_never_given_is_left_to_the_tables():
    """Fees copy amounts in a part of the table's rows, and in none of the class's."""
    (own,) = with_rare().rare
    only = ConditioningConfig(columns=("city",))
    assert own.condition({"city": "Oslo", "label": "bad"}, only) is not None
    with pytest.raises(ConditionError, match="never given to the network of bad"):
        own.condition({"age": 40}, only)


def test_no_class_no_pass(monkeypatch):
    """Rows that need no other network cost none."""
    made, calls = often(), []
    (own,) = made.rare
    original = type(own.engine).make

    def counted(self, asks):
        calls.append(self is own.engine)
        return original(self, asks)

    monkeypatch.setattr(type(own.engine), "make", counted)
    made.sample(100, where={"label": "good"})
    assert calls == [False]


def test_put_keeps_the_order():
    batch = pa.record_batch({"x": [0, 1, 2, 3, 4], "s": ["a", "b", None, "d", "e"]})
    rows = pa.record_batch({"x": [10, 30], "s": [None, "z"]})
    assert put(batch, np.array([1, 3]), rows).to_pydict() == {
        "x": [0, 10, 2, 30, 4],
        "s": ["a", None, None, "z", "e"],
    }


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    with_rare("sampling.candidates=3").save(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_bundle_has_the_class(bundle):
    again, made = load(bundle), with_rare("sampling.candidates=3")
    for where in (None, {"label": "bad"}):
        assert again.sample(2000, where, seed=4).equals(made.sample(2000, where, seed=4))
    assert [(own.label, own.value) for own in again.rare] == [("label", pa.scalar("bad"))]


def test_the_model_card_names_the_class(bundle):
    card = (bundle / "MODEL_CARD.md").read_text()
    assert "- classes with a network of their own: bad\n" in card


def test_a_damaged_class_is_found(bundle):
    alter(bundle, "rare_0_calibration", "knots", lambda knots: knots + 0.5)
    with pytest.raises(BundleError, match="calibration gives other values"):
        load(bundle)


def test_a_class_of_no_column_is_refused(bundle):
    alter(bundle, "rare_0_label", "label", lambda _: encode_table(pa.table({"lable": ["bad"]})))
    with pytest.raises(BundleError, match="rare class of 'lable', which is no column of that type"):
        load(bundle)


def test_a_class_that_is_left_out_does_not_replay(bundle):
    def left_out(content):
        for name in [n for n in content["files"] if n.startswith("rare_0_")]:
            del content["files"][name]
            (bundle / name).unlink()
        for group in [g for g in content["tensors"] if g.startswith("rare_0_")]:
            del content["tensors"][group]

    edit_manifest(bundle, left_out)
    with pytest.raises(BundleError):
        load(bundle)


def test_no_identifier_is_in_a_file_of_the_class(bundle):
    rare = rare_table().filter(pc.equal(rare_table()["label"], "bad"))
    customers = [value.encode() for value in rare["customer"].to_pylist()]
    files = list(bundle.glob("rare_0_*"))
    assert len(files) == 5
    for path in files:
        data = path.read_bytes()
        assert not [value for value in customers if value in data], path.name


def test_the_replay_looks_at_the_class():
    made = with_rare()
    arrays, digest = record(made)
    assert difference(made, arrays, digest) == ""
    (own,) = made.rare
    network = copy.deepcopy(own.engine.network)
    with torch.no_grad():
        next(network.parameters()).mul_(2.0)
    other = dataclasses.replace(own, engine=dataclasses.replace(own.engine, network=network))
    changed = dataclasses.replace(made, rare=(other,))
    assert difference(changed, arrays, digest) == "its network gives another output"
    calibration = dataclasses.replace(own.engine.calibration, scores=own.engine.calibration.scores + 0.1)
    other = dataclasses.replace(own, engine=dataclasses.replace(own.engine, calibration=calibration))
    assert (
        difference(dataclasses.replace(made, rare=(other,)), arrays, digest)
        == "its calibration gives other values"
    )


@pytest.mark.parametrize("table", LABELS)
def test_a_class_has_one_label(table):
    with pytest.raises(BundleError, match="not one label"):
        read_label(encode_table(table))
