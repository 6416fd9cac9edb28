"""Bundles of generators: round trip, damage, replay, and what must not be in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from fingan import load
from fingan.errors import BundleError, ConfigError, NotFound
from fingan.networks import layers, textbook
from tests.registry.helpers import alter, edit_manifest, forge
from tests.tiny import arrow, config, generator, train


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    generator().save(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_loaded_generator_gives_the_same_rows(bundle):
    again = load(bundle)
    for where in (None, {"label": "bad"}):
        assert again.sample(3000, where, seed=4).equals(generator().sample(3000, where, seed=4))
    assert again.config == generator().config
    assert again.metrics == generator().metrics
    torn = arrow().slice(0, 300)
    assert again.impute(torn, seed=1).equals(generator().impute(torn, seed=1))


def test_it_may_run_on_another_device(bundle):
    there = load(bundle, device="cpu:0")
    assert there.engine.device == torch.device("cpu:0")
    assert there.sample(3000, seed=4).equals(generator().sample(3000, seed=4))


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "cuda:63", "meta", "hpu", "", None, 3.5])
def test_a_device_that_is_not_there_is_no_fault_of_the_bundle(bundle, device):
    with pytest.raises(ConfigError, match=rf"device {device!r} cannot be used: .*; use 'cpu', or 'cuda'"):
        load(bundle, device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_without_a_gpu_there_is_none_to_run_on(bundle):
    with pytest.raises(ConfigError, match=r"device 'cuda' cannot be used"):
        load(bundle, "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_too_a_row_is_a_function_of_seed_and_number(bundle):
    there, here = load(bundle, device="cuda"), load(bundle)
    assert next(there.engine.network.parameters()).is_cuda
    whole = there.sample(3000, seed=4)
    assert there.sample(3000, seed=4, threads=2).equals(whole)
    assert there.sample(100, seed=4, offset=1500).equals(whole.slice(1500, 100))
    # From the same noise: only the last bits of what the network gives are others.
    expected = here.sample(3000, seed=4)
    for name in ("city", "label", "member", "age"):
        equal = pc.equal(whole[name], expected[name])
        assert pc.mean(equal.cast(pa.float64())).as_py() > 0.99, name


def test_a_bundle_is_written_whole_and_never_over_another(bundle):
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    with pytest.raises(BundleError, match="exists"):
        generator().save(bundle)
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_no_identifier_is_in_any_file(bundle):
    """Rare values of a column are, as the model card says."""
    customers = [value.encode() for value in arrow()["customer"].to_pylist()]
    for path in bundle.iterdir():
        data = path.read_bytes()
        assert not [value for value in customers if value in data], path.name


def test_the_path_of_a_schema_file_stays_at_home():
    own = config("data.schema=folder/of/a/user/schema.yaml")
    assert own.portable().data.schema_path is None
    assert own.portable().network == own.network


@pytest.mark.parametrize("file", ["generator.safetensors", "encoder.json", "schema.json", "manifest.json"])
def test_a_torn_file_is_named(bundle, file):
    data = (bundle / file).read_bytes()
    (bundle / file).write_bytes(data[: len(data) // 2])
    with pytest.raises(BundleError, match=file):
        load(bundle)


@pytest.mark.parametrize("file", ["generator.safetensors", "encoder.json", "calibration.safetensors"])
def test_a_flipped_bit_is_found(bundle, file):
    data = bytearray((bundle / file).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / file).write_bytes(data)
    with pytest.raises(BundleError, match=file):
        load(bundle)


def test_a_missing_and_an_extra_file_are_found(bundle):
    (bundle / "more.txt").write_text("hello")
    with pytest.raises(BundleError, match=r"more\.txt"):
        load(bundle)
    (bundle / "more.txt").unlink()
    (bundle / "schema.json").unlink()
    with pytest.raises(BundleError, match=r"schema\.json"):
        load(bundle)


def test_no_bundle_at_all_is_not_found(tmp_path):
    with pytest.raises(NotFound):
        load(tmp_path / "none")


def test_altered_weights_do_not_replay_even_if_the_manifest_matches(bundle):
    name = max(generator().engine.network.state_dict(), key=lambda n: n.endswith("weight"))
    alter(bundle, "generator", name, lambda w: w + np.float32(0.05))
    with pytest.raises(BundleError, match="network gives another output"):
        load(bundle)


def test_an_altered_calibration_does_not_replay(bundle):
    alter(bundle, "calibration", "knots", lambda knots: knots + 0.5)
    with pytest.raises(BundleError, match="calibration gives other values"):
        load(bundle)


def test_an_altered_encoder_does_not_replay(bundle):
    document = json.loads((bundle / "encoder.json").read_text())
    document["aliases"] = {"years": "fee"}
    forge(bundle, "encoder.json", json.dumps(document).encode())
    with pytest.raises(BundleError):
        load(bundle)


def test_an_altered_digest_does_not_replay(bundle):
    edit_manifest(bundle, lambda content: content["fields"].update(replay="0" * 64))
    with pytest.raises(BundleError, match="encoder gives other rows"):
        load(bundle)


@pytest.mark.parametrize("values", [{}, {"units": []}, {"units": 3, "aliases": 1}])
def test_a_document_of_another_shape_is_a_bundle_error(bundle, values):
    forge(bundle, "encoder.json", json.dumps(values).encode())
    with pytest.raises(BundleError):
        load(bundle)


def test_weights_of_another_architecture_are_a_bundle_error(bundle):
    document = json.loads((bundle / "config.json").read_text())
    document["network"]["width"] = 32
    forge(bundle, "config.json", json.dumps(document).encode())
    with pytest.raises(BundleError, match="inconsistent"):
        load(bundle)


@pytest.mark.parametrize("architecture", ["residual", "dense", "conv"])
def test_a_network_takes_no_memory_before_its_weights_are_known_to_fit(bundle, monkeypatch, architecture):
    document = json.loads((bundle / "config.json").read_text())
    document["network"] |= {"width": 8192, "blocks": 32, "generator": architecture}
    forge(bundle, "config.json", json.dumps(document).encode())
    made, initialise = set(), layers.initialise

    def watched(layer, *arguments, **options):
        made.add(layer.weight.device.type)
        assert layer.weight.is_meta, "memory was taken"
        return initialise(layer, *arguments, **options)

    monkeypatch.setattr(layers, "initialise", watched)
    monkeypatch.setattr(textbook, "initialise", watched)
    with pytest.raises(BundleError, match=r"inconsistent: Error\(s\) in loading state_dict"):
        load(bundle)
    assert made == {"meta"}


@pytest.mark.parametrize("architecture", ["residual", "dense", "conv"])
def test_every_architecture_is_loaded_as_it_was_saved(tmp_path, architecture):
    made = train(arrow(), f"network.generator={architecture}")
    made.save(tmp_path / "bundle")
    again = load(tmp_path / "bundle")
    for where in (None, {"label": "bad"}):
        assert again.sample(2000, where).equals(made.sample(2000, where))


def test_the_replay_survives_the_last_bits(bundle):
    alter(bundle, "replay", "raw", lambda raw: raw * (1 + 1e-6))
    assert load(bundle).sample(10).num_rows == 10


def test_loading_leaves_the_number_of_threads_alone(bundle):
    before = torch.get_num_threads()
    load(bundle).sample(10, threads=2)
    assert torch.get_num_threads() == before


def test_the_model_card_escapes_hostile_column_names(tmp_path):
    from fingan.generator import card

    assert "<script" not in card._cell("<script>alert(1)</script>").replace("\\<", "")
    assert card._cell("a|b\nc") == "a\\|b c"
    generator().save(tmp_path / "bundle")
    text = (tmp_path / "bundle" / "MODEL_CARD.md").read_text()
    assert text.count("\n| ") >= len(arrow().column_names)


def test_rows_keep_the_arrow_types_of_the_schema(bundle):
    rows = load(bundle).sample(20)
    assert rows.schema == generator().schema.arrow()
    assert pa.types.is_decimal(rows.schema.field("fee").type)
