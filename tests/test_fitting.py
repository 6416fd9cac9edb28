"""From a real table to a trained generator, in the three parts that every way of training shares."""

import itertools
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from fingan import fitting
from fingan.config.loading import from_mapping
from fingan.data import infer_schema, read_table
from fingan.data.demo import GERMAN_CREDIT, demo_table_path
from fingan.errors import ConfigError, DataError, NotAvailable
from fingan.evaluation import validation_score
from fingan.fitting import finish, start, uses_bf16, validator
from fingan.preparation import VALIDATION_ROWS, inspect, prepare
from fingan.training import Alone, Silent
from tests.tiny import arrow, rare_table, train
from tests.tiny import config as tiny
from tests.training.toys import SMALL, Recorder

CPU = torch.device("cpu")


def configured(*overrides):
    return from_mapping({}, [*SMALL, f"data.target={GERMAN_CREDIT.target}", *overrides])


@pytest.fixture(scope="module")
def german() -> pa.Table:
    return read_table(demo_table_path(GERMAN_CREDIT))


@pytest.fixture(scope="module")
def prepared(german):
    return prepare(german, configured("training.steps=4"))


COMBINATIONS = list(
    itertools.product(
        ("relativistic", "wasserstein_gp", "minimax"),
        ("residual", "dense", "conv"),
        ("first_order", "exact", "none"),
    )
)


@pytest.mark.parametrize(("name", "network", "penalty"), COMBINATIONS)
def test_every_objective_trains_every_network_with_every_penalty(prepared, name, network, penalty):
    config = configured(
        "training.steps=4",
        "compute.precision=fp32",
        f"objective.name={name}",
        f"objective.penalty={penalty}",
        f"network.generator={network}",
        f"network.discriminator={network}",
    )
    hooks = Recorder()
    run = start(replace(prepared, config=config, validation=None), hooks=hooks)
    before = [p.detach().clone() for p in run.state.generator.parameters()]
    result = run.train()
    assert result.steps == 4
    assert result.rollbacks == 0
    assert all(np.isfinite(v) for v in hooks.updates[-1].terms.values())
    assert all(torch.isfinite(t).all() for t in result.weights.values())
    after = run.state.generator.parameters()
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    penalised = hooks.updates[-1].terms["penalty"]
    assert (penalised == 0.0) == (penalty == "none")


def test_prepare_splits_and_encodes(german, prepared):
    assert prepared.rows == german.num_rows == 1000
    assert len(prepared.encoded) == 900
    assert prepared.validation.num_rows == 100
    assert prepared.schema.names == tuple(german.column_names)
    # Stratified: the rare label has its share on both sides.
    held = prepared.validation[GERMAN_CREDIT.target].to_pylist()
    assert held.count(GERMAN_CREDIT.positive) == 30


def test_start_finds_the_label(prepared):
    run = start(prepared)
    conditioning = run.source._conditioning
    number = prepared.encoder.unit_of(GERMAN_CREDIT.target)
    assert conditioning.label_unit == number
    codes = prepared.encoded.codes[:, conditioning.label]
    assert sorted(np.bincount(codes).tolist()) == [270, 630]


def test_a_trained_generator_keeps_what_was_measured(german):
    prepared = prepare(german, configured("training.steps=40", "training.validations=2"))
    hooks = Recorder()
    result = start(prepared, hooks=hooks).train()
    assert result.score is not None
    assert result.best_step in (20, 40)
    assert hooks.updates[-1].best == result.score
    generator = finish(prepared, result)
    sample = generator.sample(50, seed=1)
    assert sample.num_rows == 50
    assert sample.column_names == german.column_names
    assert sample.equals(generator.sample(50, seed=1))
    training = generator.metrics["training"]
    assert training["steps"] == 40
    assert training["score"] == result.score
    assert training["stopped_by"] == "finished"
    assert training["rows"] == 1000
    assert generator.metrics["validation"]["score"] > 0.0


def test_few_held_out_rows_are_compared_with_many_generated_ones(prepared, monkeypatch):
    compared = []

    def watched(real, synthetic, schema, seed):
        compared.append((real.num_rows, synthetic.num_rows))
        return validation_score(real, synthetic, schema, seed)

    monkeypatch.setattr(fitting, "validation_score", watched)
    few = replace(prepared, validation=prepared.validation.slice(0, 60))
    validate = validator(few, False, CPU)
    assert validate is not None
    assert validate(start(few).state.average) > 0.0
    assert compared == [(60, VALIDATION_ROWS)]


def test_few_rows_are_trained_without_validation(german, caplog):
    prepared = prepare(german.slice(0, 200), configured("training.steps=4", "training.batch_size=50"))
    assert prepared.validation is None
    assert "so few rows that none are held out" in caplog.text
    # What is not held out is for training: no row is lost.
    assert len(prepared.encoded) == prepared.reference.num_rows == 200
    assert validator(prepared, False, CPU) is None
    result = start(prepared).train()
    assert result.score is None
    assert "validation" not in finish(prepared, result).metrics


def test_inspect_trains_nothing_and_tells_what_was_found(german):
    doubled = german.append_column("copy", german["age"] if "age" in german.column_names else german[0])
    found = inspect(doubled, configured())
    assert found["rows"] == 1000
    assert found["columns"] == german.num_columns + 1
    assert any(note.startswith("copy equals") for note in found["notes"])


@pytest.mark.parametrize(("table", "classes"), [(arrow, 0), (rare_table, 1)])
def test_identifiers_of_few_digits_do_not_bound_the_rows_that_refinement_looks_at(table, classes):
    rows = table()
    numbers = pa.array(np.arange(rows.num_rows), pa.int16())
    short = rows.set_column(rows.schema.get_field_index("customer"), "customer", numbers)
    generator = train(short, "sampling.candidates=4")
    assert generator.density is not None
    assert len(generator.rare) == classes
    assert len(generator.sample(3000)["customer"].unique()) == 3000


def test_networks_of_rare_classes_keep_to_the_threads_that_are_given():
    seen = []

    class Watching(Silent):
        def should_stop(self) -> bool:
            seen.append(torch.get_num_threads())
            return False

    before = torch.get_num_threads()
    prepared = prepare(rare_table(), tiny(f"compute.threads={before + 1}"))
    assert finish(prepared, start(prepared).train(), Watching()).rare
    # It is asked once before the class's network begins.
    assert (seen[0], set(seen[1:])) == (before, {before + 1})
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("rows", "told"), [(490, True), (500, False)])
def test_checking_a_table_tells_that_nothing_is_held_out(german, rows, told):
    notes = inspect(german.slice(0, rows), configured())["notes"]
    assert any("none are held out" in note for note in notes) is told
    meant = inspect(german.slice(0, rows), configured("data.validation=0"))["notes"]
    assert not [note for note in meant if "held out" in note]


@pytest.mark.parametrize(("precision", "wanted"), [("fp64", False), ("fp32", False), ("bf16", True)])
def test_a_given_precision_is_used(precision, wanted):
    assert uses_bf16(configured(f"compute.precision={precision}"), CPU) is wanted


def test_auto_follows_the_processor(monkeypatch):
    config = configured("compute.precision=auto")
    for able in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda able=able: able)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert uses_bf16(config, CPU) is able


class Second(Alone):
    """The second of two workers; the first one's processor may be of another kind."""

    rank, world = 1, 2

    def __init__(self, first_has_bf16: bool) -> None:
        self._first = float(first_has_bf16)

    def broadcast_(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.fill_(self._first)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("own", [True, False])
def test_what_auto_means_is_the_first_workers_word(prepared, monkeypatch, first, own):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: own)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    auto = replace(prepared, config=configured("compute.precision=auto"))
    assert start(auto, Second(first)).autocast is first
    assert start(auto).autocast is own


@pytest.mark.parametrize(
    ("overrides", "rows", "error", "message"),
    [
        (
            ["training.batch_size=500"],
            550,
            DataError,
            r"495 training rows .* set training\.batch_size to at most 495",
        ),
        (
            ["training.batch_size=500"],
            400,
            DataError,
            r"^400 training rows are fewer .* set training\.batch_size to at most 400",
        ),
        ([], 5, DataError, "10"),
        (["data.target=creditabilty"], 400, ConfigError, "Did you mean 'creditability'"),
        (["conditioning.columns=[nothing]"], 400, ConfigError, "unknown column 'nothing'"),
        (["kind=series"], 400, NotAvailable, "series"),
    ],
)
def test_what_cannot_be_learned_is_refused(german, overrides, rows, error, message):
    with pytest.raises(error, match=message):
        prepare(german.slice(0, rows), configured(*overrides))


def test_an_identifier_is_no_target(german, tmp_path):
    numbered = german.append_column("id", pa.array([f"row-{i:06d}" for i in range(german.num_rows)]))
    path = tmp_path / "schema.yaml"
    path.write_text(infer_schema(numbered).to_yaml(), encoding="utf-8")
    with pytest.raises(ConfigError, match="the target 'id' is an identifier"):
        prepare(numbered, configured("data.target=id", f"data.schema={path}"))


@pytest.mark.parametrize("kind", ["number", "none"])
def test_a_numeric_target_or_none_has_no_label(german, kind):
    names = [
        n for n, t in zip(german.column_names, german.schema.types, strict=True) if pa.types.is_integer(t)
    ]
    wide = max(names, key=lambda n: len(german[n].unique()))
    target = f"data.target={wide if kind == 'number' else 'null'}"
    run = start(prepare(german, configured(target, "training.steps=4")))
    assert run.source._conditioning.label is None
    assert run.train().steps == 4


def test_validation_rows_of_a_sorted_table_are_drawn_from_all_of_it() -> None:
    rows, rare = 60_000, 0.05
    label = np.where(np.arange(rows) < rows * (1 - rare), "good", "bad")
    table = pa.table({"x": np.arange(rows) % 97, "label": label})
    config = from_mapping({}, ["data.target=label", "training.batch_size=64"])
    validation = prepare(table, config).validation
    assert validation is not None
    assert validation.num_rows == VALIDATION_ROWS
    share = pc.mean(pc.equal(validation["label"], "bad").cast("double")).as_py()
    assert abs(share - rare) < 0.015


def test_a_class_rate_of_0_17_percent_comes_out_as_it_is() -> None:
    rows = 60_000
    rng = np.random.default_rng(0)
    fraud = np.zeros(rows, dtype=bool)
    fraud[: round(rows * 0.0017)] = True
    amount = rng.gamma(2.0, 50.0, rows).round(2) + 400 * fraud
    table = pa.table({"amount": amount, "hour": rng.integers(0, 24, rows), "fraud": fraud}).take(
        pa.array(rng.permutation(rows))
    )
    settings = ["data.target=fraud", "network.width=32", "network.blocks=1", "network.noise=8"]
    settings += ["training.batch_size=256", "training.steps=150", "training.time_budget=null"]
    settings += ["training.validations=1", "training.warmup_steps=10", "compute.precision=fp32"]
    prepared = prepare(table, from_mapping({}, settings))
    generator = finish(prepared, start(prepared).train())
    # So many that the draw itself is 2 % off, not 4.
    drawn = generator.sample(1_200_000, seed=1, threads=2)
    rate = pc.mean(drawn["fraud"].cast("double")).as_py()
    assert abs(rate / 0.0017 - 1.0) < 0.1
    asked = generator.sample(500, where={"fraud": True}, seed=1)
    assert pc.all(asked["fraud"]).as_py()
