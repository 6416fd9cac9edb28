from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fingan import __version__
from fingan.errors import BundleError, NotFound
from fingan.registry import read_bundle, write_bundle
from fingan.registry.manifest import MANIFEST
from tests.registry.helpers import DOCUMENTS, make_bundle, tensors


def test_round_trip(tmp_path: Path) -> None:
    bundle = read_bundle(make_bundle(tmp_path / "b"))
    assert bundle.documents == DOCUMENTS
    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        MANIFEST,
        "schema.json",
        "metrics.json",
        "MODEL_CARD.md",
        "generator.safetensors",
        "encoder.safetensors",
    }
    for group, arrays in tensors().items():
        for name, array in arrays.items():
            found = bundle.group(group)[name]
            assert found.dtype == array.dtype
            np.testing.assert_array_equal(found, array, strict=True)
    assert bundle.manifest.fingan == __version__
    assert bundle.manifest.fields == {"kind": "table", "seed": 0}
    assert bundle.manifest.created.endswith("+00:00")
    assert {path.name for path in tmp_path.iterdir()} == {"b"}


def test_the_manifest_on_disk_states_hashes_and_shapes(tmp_path: Path) -> None:
    manifest = json.loads((make_bundle(tmp_path / "b") / MANIFEST).read_text())
    assert manifest["tensors"]["generator"]["blocks.0.weight"] == {"dtype": "float32", "shape": [8, 4]}
    assert manifest["files"]["MODEL_CARD.md"]["size"] == len(DOCUMENTS["MODEL_CARD.md"])
    assert MANIFEST not in manifest["files"]


@settings(max_examples=40)
@given(
    array=hnp.arrays(
        st.sampled_from(["<f4", ">f8", "<f2", ">i4", "<i8", "u1", "<u8", "?"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        elements={"allow_nan": False, "allow_infinity": False},
    ),
    name=st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__"),
    text=st.text(max_size=50),
)
def test_any_numeric_tensor_and_text_round_trips(
    tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, name: str, text: str
) -> None:
    directory = tmp_path_factory.mktemp("bundle") / "b"
    write_bundle(directory, {"a": {name: text}, "B.md": text}, {"g": {name: array.T}})
    bundle = read_bundle(directory)
    assert bundle.documents == {"a": {name: text}, "B.md": text}
    found = bundle.group("g")[name]
    assert found.shape == array.T.shape
    assert found.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found, array.T)


def test_the_same_content_has_the_same_hashes(tmp_path: Path) -> None:
    first, second, other = (
        read_bundle(make_bundle(tmp_path / str(i), seed)).manifest for i, seed in enumerate([0, 0, 1])
    )
    assert first.files == second.files != other.files


@pytest.mark.parametrize(
    ("documents", "groups", "message"),
    [
        ({"metrics": {"auc": float("nan")}}, {}, r"metrics\.json cannot be written as JSON"),
        (
            {"metrics": {"auc": np.float32(0.5)}},
            {},
            r"metrics\.json cannot be written as JSON.*Use plain dict",
        ),
        ({"../up": {}}, {}, r"'\.\./up\.json' cannot be a file of a bundle"),
        ({"a/b": {}}, {}, "cannot be a file of a bundle"),
        ({"manifest": {}}, {}, "cannot be a file of a bundle"),
        ({"": {}}, {}, "cannot be a file of a bundle"),
        ({"notes": "text"}, {}, "text document 'notes' must be named like"),
        ({"../N.md": "text"}, {}, "cannot be a file of a bundle"),
        ({"N.md": "\ud800"}, {}, r"N\.md cannot be written as UTF-8"),
        ({}, {"../g": {}}, "cannot be a file of a bundle"),
        ({}, {"g": {"w": np.array([1.0, np.inf])}}, "tensor g/'w' holds NaN or infinity"),
        ({}, {"g": {"w": np.array(["text"])}}, "tensor g/'w' has type <U4"),
        ({}, {"g": {"w": np.array([None])}}, "tensor g/'w' has type object"),
        ({}, {"g": {"w": np.array([1j])}}, "tensor g/'w' has type complex128"),
        ({}, {"g": {"__metadata__": np.zeros(1)}}, "tensor g/'__metadata__' has a reserved name"),
    ],
)
def test_refuses_to_write_what_has_no_place(
    tmp_path: Path, documents: dict[str, Any], groups: dict[str, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        write_bundle(tmp_path / "b", documents, groups)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("inf"), np.float64(1).dtype, {1, 2}, {None: 1, "a": 2}])
def test_refuses_manifest_fields_that_are_not_json(tmp_path: Path, value: Any) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json cannot be written as JSON"):
        write_bundle(tmp_path / "b", {}, {}, {"value": value})
    assert list(tmp_path.iterdir()) == []


def test_never_overwrites(tmp_path: Path) -> None:
    directory = make_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match=r"exists already \(.*/b\)\. Remove it"):
        write_bundle(directory, {}, {})
    assert read_bundle(directory).documents == DOCUMENTS


def test_says_that_there_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such folder"):
        read_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"manifest\.json is missing"):
        read_bundle(tmp_path)


def test_a_missing_part_names_the_nearest(tmp_path: Path) -> None:
    bundle = read_bundle(make_bundle(tmp_path / "b"))
    assert bundle.document("metrics") == DOCUMENTS["metrics"]
    with pytest.raises(BundleError, match=r"has no metric\.json\. Did you mean 'metrics'"):
        bundle.document("metric")
    with pytest.raises(BundleError, match=r"has no MODEL_CARD\.md\.json"):
        bundle.document("MODEL_CARD.md")
    with pytest.raises(BundleError, match=r"has no encode\.safetensors\. Did you mean 'encoder'"):
        bundle.group("encode")
