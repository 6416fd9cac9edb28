"""Damaged and forged bundles: each is refused, and the message names the file."""

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from fingan.errors import BundleError
from fingan.registry import Registry, read_bundle
from fingan.registry.manifest import MANIFEST
from tests.registry.helpers import edit_manifest, forge, make_bundle, tensors

WEIGHTS = "generator.safetensors"
ALL = [MANIFEST, "schema.json", "metrics.json", "MODEL_CARD.md", WEIGHTS, "encoder.safetensors"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "b")


def refused(bundle: Path, message: str) -> None:
    """Neither read nor published."""
    with pytest.raises(BundleError, match=message):
        read_bundle(bundle)
    registry = Registry(bundle.parent / "registry")
    with pytest.raises(BundleError, match=message):
        registry.publish("demo", bundle)
    assert registry.names() == []


class TestDamage:
    @pytest.mark.parametrize("file", ALL)
    @pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
    def test_truncated(self, bundle: Path, file: str, share: float) -> None:
        path = bundle / file
        os.truncate(path, int(path.stat().st_size * share))
        refused(bundle, file)

    @pytest.mark.parametrize("file", ALL)
    def test_trailing_bytes(self, bundle: Path, file: str) -> None:
        with (bundle / file).open("ab") as stream:
            stream.write(b"\0")
        refused(bundle, file)

    @pytest.mark.parametrize("file", ALL)
    def test_missing(self, bundle: Path, file: str) -> None:
        (bundle / file).unlink()
        refused(bundle, f"{file} is missing")

    @pytest.mark.parametrize("file", ["extra.json", ".hidden", "rows.parquet"])
    def test_extra(self, bundle: Path, file: str) -> None:
        (bundle / file).write_bytes(b"{}")
        refused(bundle, f"{file} is not in the manifest")

    @settings(max_examples=100)
    @given(file=st.sampled_from(ALL), position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    def test_any_flipped_bit(
        self, tmp_path_factory: pytest.TempPathFactory, file: str, position: float, bit: int
    ) -> None:
        bundle = make_bundle(tmp_path_factory.mktemp("flip") / "b")
        data = bytearray((bundle / file).read_bytes())
        data[int(position * len(data))] ^= 1 << bit
        (bundle / file).write_bytes(data)
        with pytest.raises(BundleError, match=file):
            read_bundle(bundle)


class TestForgedContent:
    """The hashes match: only a look at the content can tell."""

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_weights_that_are_not_finite(self, bundle: Path, value: float) -> None:
        weights = tensors()["generator"]
        weights["blocks.0.weight"][3, 1] = value
        forge(bundle, WEIGHTS, safetensors.numpy.save(weights))
        refused(bundle, rf"{WEIGHTS} holds NaN or infinity in 'blocks\.0\.weight'")

    def test_wrong_shape(self, bundle: Path) -> None:
        weights = tensors()["generator"]
        weights["blocks.0.weight"] = weights["blocks.0.weight"].reshape(4, 8)
        forge(bundle, WEIGHTS, safetensors.numpy.save(weights))
        refused(bundle, rf"{WEIGHTS} holds .* float32\[4, 8\], the manifest says float32\[8, 4\]")

    def test_wrong_type(self, bundle: Path) -> None:
        weights = {name: array.astype(np.float16) for name, array in tensors()["generator"].items()}
        forge(bundle, WEIGHTS, safetensors.numpy.save(weights))
        refused(bundle, rf"{WEIGHTS} holds .* float16")

    @pytest.mark.parametrize("change", [{"extra": np.zeros(1)}, None])
    def test_other_tensors(self, bundle: Path, change: dict[str, np.ndarray] | None) -> None:
        weights = {**tensors()["generator"], **change} if change else {}
        forge(bundle, WEIGHTS, safetensors.numpy.save(weights))
        refused(bundle, f"{WEIGHTS} and the manifest disagree")

    def test_pickle_smuggled_as_safetensors_is_not_executed(self, bundle: Path, tmp_path: Path) -> None:
        class Payload:
            def __reduce__(self) -> Any:
                return (os.mkdir, (str(tmp_path / "executed"),))

        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            forge(bundle, WEIGHTS, pickle.dumps(Payload(), protocol=protocol))
            with pytest.raises(BundleError, match=WEIGHTS):
                read_bundle(bundle)
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            struct.pack("<Q", 2**63) + b"{}",
            struct.pack("<Q", 17 << 20) + b" " * (17 << 20),
            struct.pack("<Q", 2) + b"[]",
            struct.pack("<Q", 4) + b'{"a"',
            struct.pack("<Q", 20_000) + b"[" * 20_000,
        ],
        ids=["empty", "header beyond the file", "huge header", "list", "torn", "deep"],
    )
    def test_malformed_header(self, bundle: Path, data: bytes) -> None:
        forge(bundle, WEIGHTS, data)
        refused(bundle, WEIGHTS)

    @pytest.mark.parametrize(
        ("dtype", "offsets"),
        [("F32", [0, 128]), ("BF16", [0, 64]), ("F32", [64, 192]), ("F32", [128, 0]), ("NOPE", [0, 128])],
        ids=["holes", "unknown to numpy", "beyond the end", "backwards", "no type"],
    )
    def test_lying_header(self, bundle: Path, dtype: str, offsets: list[int]) -> None:
        entry = {"dtype": dtype, "shape": [8, 4], "data_offsets": offsets}
        header = json.dumps({"blocks.0.weight": entry}).encode()
        forge(bundle, WEIGHTS, struct.pack("<Q", len(header)) + header + b"\0" * 64)
        refused(bundle, WEIGHTS)

    @pytest.mark.parametrize(
        "data",
        [
            b'{"a": NaN}',
            b'{"a": 1, "a": 2}',
            b"[1]",
            b"\xff",
            b"[" * 100_000,
            b'{"a": ' + b"9" * 5000 + b"}",
            b'{"a": -1e999}',
        ],
        ids=["nan", "key twice", "list", "not utf-8", "deep", "long number", "infinity in disguise"],
    )
    def test_malformed_document(self, bundle: Path, data: bytes) -> None:
        forge(bundle, "schema.json", data)
        refused(bundle, r"schema\.json")

    def test_text_that_is_not_utf8(self, bundle: Path) -> None:
        forge(bundle, "MODEL_CARD.md", b"\xff")
        refused(bundle, r"MODEL_CARD\.md is not UTF-8")


class TestForgedManifest:
    def test_edited_without_its_digest(self, bundle: Path) -> None:
        text = (bundle / MANIFEST).read_text()
        (bundle / MANIFEST).write_text(text.replace('"seed": 0', '"seed": 1'))
        refused(bundle, r"manifest\.json has been altered")

    @pytest.mark.parametrize(
        "name",
        [
            "../../etc/passwd",
            "/etc/passwd",
            "a/b.json",
            "..json",
            ".json",
            "a.json\n",
            "a.pkl",
            "a.JSON",
            "é.json",
        ],
    )
    def test_file_names_that_are_paths(self, bundle: Path, name: str) -> None:
        edit_manifest(
            bundle, lambda content: content["files"].update({name: content["files"]["schema.json"]})
        )
        refused(bundle, r"manifest\.json is not a bundle's manifest: files\.")

    @pytest.mark.parametrize(
        "edit",
        [
            lambda c: c.pop("files"),
            lambda c: c.update(surprise=1),
            lambda c: c.update(format="1"),
            lambda c: c["files"]["schema.json"].update(size="12"),
            lambda c: c["files"]["schema.json"].update(size=-1),
            lambda c: c["tensors"]["generator"]["scale"].update(shape=[-1]),
            lambda c: c["tensors"]["generator"]["scale"].update(dtype="object"),
            lambda c: c["tensors"].update(ghost={}),
            lambda c: c["tensors"].pop("encoder"),
        ],
    )
    def test_malformed(self, bundle: Path, edit: Callable[[dict[str, Any]], None]) -> None:
        edit_manifest(bundle, edit)
        refused(bundle, r"bundle .*(manifest|schema)\.json")

    def test_of_another_format(self, bundle: Path) -> None:
        edit_manifest(bundle, lambda content: content.update(format=2))
        refused(bundle, r"manifest\.json has format 2, this fingan reads format 1")

    @pytest.mark.parametrize("size", [0, 10**15])
    def test_lying_sizes(self, bundle: Path, size: int) -> None:
        edit_manifest(bundle, lambda content: content["files"][WEIGHTS].update(size=size))
        refused(bundle, WEIGHTS)

    @pytest.mark.parametrize("size", [-1, -2, -(10**30), (4 << 30) + 1])
    def test_sizes_that_none_can_have_are_refused_before_reading(self, bundle: Path, size: int) -> None:
        edit_manifest(bundle, lambda content: content["files"]["schema.json"].update(size=size))
        refused(bundle, rf"schema\.json claims {size:,} bytes; the limit is 4,294,967,296")

    def test_files_that_together_are_too_large(self, bundle: Path) -> None:
        def enlarge(content: dict[str, Any]) -> None:
            for entry in content["files"].values():
                entry["size"] = 4 << 30

        edit_manifest(bundle, enlarge)
        refused(bundle, r"manifest\.json claims 21,474,836,480 bytes in all; the limit is 8,589,934,592")

    def test_too_many_files(self, bundle: Path) -> None:
        def multiply(content: dict[str, Any]) -> None:
            content["files"] |= {f"n{n}.json": content["files"]["schema.json"] for n in range(1000)}

        edit_manifest(bundle, multiply)
        refused(bundle, r"manifest\.json lists 1,005 files; the limit is 1,000")

    def test_too_large(self, bundle: Path) -> None:
        with (bundle / MANIFEST).open("ab") as stream:
            stream.truncate((16 << 20) + 1)
        refused(bundle, r"manifest\.json is larger than the limit")

    @pytest.mark.parametrize(
        "data", [b"", b"null", b"[" * 100_000, b'{"format": 1e999}', b'{"format": Infinity}']
    )
    def test_no_manifest_at_all(self, bundle: Path, data: bytes) -> None:
        (bundle / MANIFEST).write_bytes(data)
        refused(bundle, r"manifest\.json")


class TestNotPlainFiles:
    @pytest.mark.parametrize("file", ALL)
    def test_links_are_not_followed(self, bundle: Path, file: str) -> None:
        (bundle / file).rename(bundle.parent / file)
        (bundle / file).symlink_to(bundle.parent / file)
        refused(bundle, f"{file} cannot be read")

    @pytest.mark.parametrize("file", ALL)
    def test_pipes_do_not_hang(self, bundle: Path, file: str) -> None:
        (bundle / file).unlink()
        os.mkfifo(bundle / file)
        refused(bundle, f"{file} cannot be read: is not a plain file")

    def test_folders(self, bundle: Path) -> None:
        (bundle / "schema.json").unlink()
        (bundle / "schema.json").mkdir()
        refused(bundle, r"schema\.json cannot be read")
