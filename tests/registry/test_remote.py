"""Object-store semantics: no rename, no locks, uploads that die half-way."""

from __future__ import annotations

import gc
import io
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.fs
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from fingan.errors import BundleError, StorageError
from fingan.registry import Registry, read_bundle
from fingan.registry.manifest import MANIFEST
from tests.registry.helpers import make_bundle


class Store(MemoryFileSystem):  # type: ignore[misc]
    """A memory file system that records its writes and fails on demand."""

    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []
        self.reads = 0
        self.fail_on = ""
        self.broken = False
        self.age = timedelta(0)

    def find(self, path: str, **options: Any) -> Any:
        """Report times of writing as object stores do: all files are equally old."""
        written = (datetime.now(UTC) - self.age).timestamp()
        return {name: {**info, "mtime": written} for name, info in super().find(path, **options).items()}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if self.broken:
            raise OSError(5, "503 Slow Down")
        if "w" in mode:
            self.written.append(path)
            if self.fail_on and path.endswith(self.fail_on):
                raise OSError(5, "503 Slow Down")
            return super()._open(path, mode, **options)
        self.reads += 1
        # a stream of its own for each reader: the parent's share one position
        return io.BytesIO(super()._open(path, mode, **options).getvalue())


class Bucket:
    def __init__(self) -> None:
        self.store = Store()
        self.root = f"bucket-{uuid.uuid4().hex}/models"
        self.filesystem = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(self.store))

    def registry(self) -> Registry:
        return Registry(self.root, filesystem=self.filesystem)

    def files(self) -> list[str]:
        found = self.filesystem.get_file_info(
            pyarrow.fs.FileSelector(self.root, recursive=True, allow_not_found=True)
        )
        return sorted(i.path.partition("models/")[2] for i in found if i.type == pyarrow.fs.FileType.File)


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def test_the_manifest_is_written_last(bucket: Bucket, bundle: Path) -> None:
    bucket.registry().publish("demo", bundle)
    order = [path.rpartition("/")[2] for path in bucket.store.written]
    assert order[0].startswith(".claim-")
    assert order[-1] == MANIFEST
    assert len(order) == 1 + 6


@pytest.mark.parametrize("file", ["schema.json", "encoder.safetensors", MANIFEST])
def test_a_failed_upload_leaves_nothing(bucket: Bucket, bundle: Path, file: str) -> None:
    registry = bucket.registry()
    registry.publish("demo", bundle)
    before = bucket.files()
    bucket.store.fail_on = f"/{file}"
    with pytest.raises(BundleError, match=rf"cannot write .*/demo/2/{file}: 503 Slow Down"):
        registry.publish("demo", bundle)
    assert bucket.files() == before
    bucket.store.fail_on = ""
    assert registry.versions("demo") == [1]
    registry.publish("demo", bundle)
    registry.verify("demo:latest")


def test_a_killed_upload_is_no_version(bucket: Bucket, bundle: Path) -> None:
    bucket.registry().publish("demo", bundle)
    kill_upload(bucket, version=2)
    registry = bucket.registry()
    assert registry.versions("demo") == [1]
    assert registry.publish("demo", bundle) == 3
    assert "demo/2/schema.json" in bucket.files(), "it may still be at work"


def test_day_old_remains_are_deleted_and_their_number_stays_used(bucket: Bucket, bundle: Path) -> None:
    bucket.registry().publish("demo", bundle)
    kill_upload(bucket, version=2)
    bucket.store.age = timedelta(hours=23)
    assert bucket.registry().publish("demo", bundle) == 3
    assert "demo/2/schema.json" in bucket.files(), "it may still be at work"
    bucket.store.age = timedelta(hours=25)
    registry = bucket.registry()
    assert registry.publish("demo", bundle) == 4
    assert [file for file in bucket.files() if file.startswith("demo/2/")] == ["demo/2/.claim-dead"]
    registry.verify("demo:1")


def test_the_number_of_a_version_that_was_copied_here_stays_used(bucket: Bucket, bundle: Path) -> None:
    """A registry that was a folder has no claims; without files, an object store has no folders."""
    bucket.registry().publish("demo", bundle)
    (claim,) = (file for file in bucket.files() if "/.claim-" in file)
    bucket.filesystem.delete_file(f"{bucket.root}/{claim}")
    bucket.registry().remove("demo")
    assert [file.rpartition("-")[0] for file in bucket.files()] == ["demo/1/.claim"]
    assert bucket.registry().publish("demo", bundle) == 2


def kill_upload(bucket: Bucket, version: int) -> None:
    """Leave what a publisher leaves that dies before its manifest."""
    folder = f"{bucket.root}/demo/{version}"
    bucket.filesystem.create_dir(folder, recursive=True)
    for name in (".claim-dead", "schema.json"):
        with bucket.filesystem.open_output_stream(f"{folder}/{name}") as file:
            file.write(b"{}")


def test_eight_publishers_never_share_a_number(bucket: Bucket, bundle: Path) -> None:
    barrier = threading.Barrier(8)

    def publish(_: int) -> int:
        barrier.wait()
        return bucket.registry().publish("demo", bundle)

    with ThreadPoolExecutor(8) as pool:
        versions = sorted(pool.map(publish, range(8)))
    assert len(set(versions)) == 8
    assert bucket.registry().versions("demo") == versions
    for version in versions:
        bucket.registry().verify(f"demo:{version}")


def test_of_two_claims_at_once_both_are_withdrawn(
    bucket: Bucket, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rival claims the same number between our listing and our claim; it wins, we take the next."""
    registry = bucket.registry()
    open_file = bucket.store._open

    def with_rival(path: str, mode: str = "rb", **options: Any) -> Any:
        if "/demo/1/.claim-" in path and not path.endswith("rival"):
            folder = path.rpartition("/")[0]
            with open_file(f"{folder}/.claim-rival", "wb") as file:
                file.write(b"x")
        return open_file(path, mode, **options)

    monkeypatch.setattr(bucket.store, "_open", with_rival)
    assert registry.publish("demo", bundle) == 2
    assert [file for file in bucket.files() if file.startswith("demo/1/")] == ["demo/1/.claim-rival"]


def test_a_manifest_overwritten_on_a_store_with_late_listings(
    bucket: Bucket, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = (make_bundle(tmp_path / "other", seed=1) / MANIFEST).read_bytes()
    registry = bucket.registry()
    open_file = bucket.store._open

    def overwritten(path: str, mode: str = "rb", **options: Any) -> Any:
        if mode == "rb" and path.endswith(MANIFEST):
            with open_file(path, "wb") as file:
                file.write(other)
        return open_file(path, mode, **options)

    monkeypatch.setattr(bucket.store, "_open", overwritten)
    with pytest.raises(BundleError, match="another publisher wrote the same version"):
        registry.publish("demo", bundle)


class TestFetch:
    def test_is_copied_once_and_deleted_with_the_registry(self, bucket: Bucket, bundle: Path) -> None:
        registry = bucket.registry()
        registry.publish("demo", bundle)
        first = registry.fetch("demo")
        bucket.store.reads = 0
        assert registry.fetch("demo:1") == first
        assert bucket.store.reads <= 2, "the second fetch reads the manifest only"
        assert read_bundle(first).manifest == read_bundle(bundle).manifest
        del registry
        gc.collect()
        assert not first.exists()

    def test_of_what_is_lent_nothing_stays(self, bucket: Bucket, bundle: Path) -> None:
        registry = bucket.registry()
        registry.publish("demo", bundle)
        with registry.lent("demo") as first, registry.lent("demo:1") as second:
            assert first != second, "whoever is done earlier takes nothing from the other"
            for copy in (first, second):
                assert read_bundle(copy).manifest == read_bundle(bundle).manifest
        assert not first.exists()
        assert not second.exists()

    def test_from_several_threads(self, bucket: Bucket, bundle: Path) -> None:
        registry = bucket.registry()
        registry.publish("demo", bundle)
        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(lambda _: registry.fetch("demo"), range(8)))) == 1

    def test_of_a_store_that_is_down(self, bucket: Bucket, bundle: Path) -> None:
        registry = bucket.registry()
        registry.publish("demo", bundle)
        bucket.store.broken = True
        with pytest.raises(StorageError, match=r"demo/1: manifest\.json cannot be read: 503 Slow Down"):
            registry.fetch("demo:1")


def test_the_store_goes_down_while_an_alias_is_read(bucket: Bucket, bundle: Path) -> None:
    registry = bucket.registry()
    registry.publish("demo", bundle)
    registry.set_alias("demo", "live", 1)
    bucket.store.broken = True
    with pytest.raises(BundleError, match=r"cannot read .*/demo/aliases/live: 503 Slow Down"):
        registry.resolve("demo:live")
