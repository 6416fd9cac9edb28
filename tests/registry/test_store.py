"""What a registry promises, on a folder, a file:// URL and an object store alike."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.fs
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from fingan.errors import BundleError, ConfigError, NotFound
from fingan.registry import Ref, Registry, read_bundle
from fingan.registry.manifest import MANIFEST
from tests.registry.helpers import DOCUMENTS, make_bundle


class Place:
    """A registry and a way to damage its files behind its back."""

    def __init__(self, registry: Registry, filesystem: pyarrow.fs.FileSystem, root: str) -> None:
        self.registry, self.filesystem, self.root = registry, filesystem, root

    def write(self, path: str, data: bytes) -> None:
        with self.filesystem.open_output_stream(f"{self.root}/{path}") as file:
            file.write(data)


@pytest.fixture(params=["folder", "url", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "memory":
        memory = MemoryFileSystem(skip_instance_cache=True)
        filesystem = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(memory))
        root = f"bucket-{uuid.uuid4().hex}/models"
        yield Place(Registry(root, filesystem=filesystem), filesystem, root)
        memory.rm(root.split("/")[0], recursive=True) if memory.exists(root) else None
        return
    root = tmp_path / "my registry"
    registry = Registry(root if request.param == "folder" else root.as_uri())
    yield Place(registry, pyarrow.fs.LocalFileSystem(), str(root))


@pytest.fixture
def registry(place: Place) -> Registry:
    return place.registry


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


class TestPublishAndFetch:
    def test_versions_count_from_one(self, registry: Registry, bundle: Path, tmp_path: Path) -> None:
        assert registry.publish("demo", bundle) == 1
        assert registry.publish("demo", make_bundle(tmp_path / "second", seed=1)) == 2
        assert registry.publish("other", bundle) == 1
        assert registry.names() == ["demo", "other"]
        assert registry.versions("demo") == [1, 2]
        assert registry.resolve("demo") == registry.resolve("demo:latest") == Ref("demo", 2)
        assert registry.resolve("demo:1") == Ref("demo", 1)

    def test_fetch_gives_the_bundle_back(self, registry: Registry, bundle: Path) -> None:
        registry.publish("demo", bundle)
        fetched = registry.fetch("demo")
        assert read_bundle(fetched).manifest == read_bundle(bundle).manifest
        assert read_bundle(fetched).documents == DOCUMENTS
        assert registry.fetch(Ref("demo", 1)) == fetched
        with registry.lent("demo") as lent:
            assert read_bundle(lent).manifest == read_bundle(bundle).manifest
        assert read_bundle(registry.fetch("demo")).documents == DOCUMENTS, "what is stored stays"
        assert registry.verify("demo:1") == read_bundle(bundle).manifest

    def test_more_than_nine_versions_sort_as_numbers(self, registry: Registry, bundle: Path) -> None:
        assert [registry.publish("demo", bundle) for _ in range(11)] == list(range(1, 12))
        assert registry.resolve("demo").version == 11

    def test_a_broken_bundle_is_not_published(self, registry: Registry, bundle: Path) -> None:
        (bundle / "schema.json").unlink()
        with pytest.raises(BundleError, match=r"schema\.json is missing"):
            registry.publish("demo", bundle)
        assert registry.names() == []
        with pytest.raises(NotFound, match="no such folder"):
            registry.publish("demo", bundle / "nowhere")

    def test_show(self, registry: Registry, bundle: Path) -> None:
        registry.publish("demo", bundle)
        registry.set_alias("demo", "live", 1)
        shown = registry.show("demo")
        assert (shown["name"], shown["version"], shown["aliases"]) == ("demo", 1, ["live"])
        assert shown["metrics"] == DOCUMENTS["metrics"]
        assert shown["manifest"]["fields"] == {"kind": "table", "seed": 0}
        json.dumps(shown)


class TestNotFound:
    def test_names_the_nearest_model(self, registry: Registry, bundle: Path) -> None:
        with pytest.raises(NotFound, match="It is empty; publish a model first"):
            registry.resolve("lending")
        registry.publish("lending", bundle)
        with pytest.raises(NotFound, match=r"no model 'landing'\. Did you mean 'lending'"):
            registry.resolve("landing")

    def test_lists_the_versions_and_the_nearest_alias(self, registry: Registry, bundle: Path) -> None:
        registry.publish("demo", bundle)
        registry.publish("demo", bundle)
        registry.set_alias("demo", "production", 1)
        with pytest.raises(NotFound, match=r"no version 7\. It has: 1, 2\."):
            registry.resolve("demo:7")
        with pytest.raises(NotFound, match=r"no alias 'productoin'\. Did you mean 'production'"):
            registry.resolve("demo:productoin")


class TestAliases:
    def test_move(self, registry: Registry, bundle: Path) -> None:
        for _ in range(12):
            registry.publish("demo", bundle)
        registry.set_alias("demo", "live", 12)
        registry.set_alias("demo", "best", 3)
        registry.set_alias("demo", "live", 1)
        assert registry.aliases("demo") == {"best": 3, "live": 1}
        assert registry.resolve("demo:live") == Ref("demo", 1)
        registry.remove_alias("demo", "best")
        assert registry.aliases("demo") == {"live": 1}
        with pytest.raises(NotFound, match="no alias 'best'"):
            registry.remove_alias("demo", "best")

    def test_point_at_versions_that_exist(self, registry: Registry, bundle: Path) -> None:
        registry.publish("demo", bundle)
        with pytest.raises(NotFound, match="no version 2"):
            registry.set_alias("demo", "live", 2)
        for reserved in ("latest", "12"):
            with pytest.raises(ConfigError, match="cannot be an alias"):
                registry.set_alias("demo", reserved, 1)

    @pytest.mark.parametrize("content", [b"", b"1", b"0\n", b"one\n", b"1\n2\n", b"1" * 20])
    def test_a_torn_pointer_is_an_error(self, place: Place, bundle: Path, content: bytes) -> None:
        place.registry.publish("demo", bundle)
        place.registry.set_alias("demo", "live", 1)
        place.write("demo/aliases/live", content)
        with pytest.raises(BundleError, match="aliases/live does not hold a version number"):
            place.registry.resolve("demo:live")

    def test_a_torn_one_harms_no_version_and_no_other_alias(self, place: Place, bundle: Path) -> None:
        registry = place.registry
        for _ in range(2):
            registry.publish("demo", bundle)
        registry.set_alias("demo", "best", 1)
        registry.set_alias("demo", "live", 2)
        place.write("demo/aliases/live", b"one")
        assert registry.aliases("demo") == {"best": 1}
        for reference in ("demo", "demo:1", "demo:2", "demo:best"):
            shown = registry.show(reference)
            assert shown["aliases"] == (["best"] if shown["version"] == 1 else [])
            assert shown["unreadable"] == registry.unreadable("demo")
            assert read_bundle(registry.fetch(reference)).documents == DOCUMENTS
            json.dumps(shown)
        ((alias, problem),) = registry.unreadable("demo").items()
        assert alias == "live"
        assert problem.startswith("alias 'live' of model 'demo' cannot be read")
        assert "Set the alias again" in problem
        registry.set_alias("demo", "live", 2)
        assert (registry.aliases("demo"), registry.unreadable("demo")) == ({"best": 1, "live": 2}, {})

    def test_a_torn_one_can_be_forgotten(self, place: Place, bundle: Path) -> None:
        place.registry.publish("demo", bundle)
        place.registry.set_alias("demo", "live", 1)
        place.write("demo/aliases/live", b"")
        # It may point at this version: nobody can tell.
        with pytest.raises(BundleError, match="alias 'live' of model 'demo' cannot be read"):
            place.registry.remove("demo:1")
        place.registry.remove_alias("demo", "live")
        assert place.registry.unreadable("demo") == {}
        place.registry.remove("demo:1")
        assert place.registry.names() == []

    def test_one_that_is_removed_while_they_are_read_is_not_there(
        self, place: Place, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place.registry.publish("demo", bundle)
        for alias in ("best", "live"):
            place.registry.set_alias("demo", alias, 1)
        entries = place.registry._storage.entries

        def late(*parts: str) -> dict[str, bool]:
            found = entries(*parts)
            if parts[-1] == "aliases" and "live" in found:
                place.registry._storage.delete("demo", "aliases", "live")
            return found

        monkeypatch.setattr(place.registry._storage, "entries", late)
        assert place.registry.aliases("demo") == {"best": 1}


class TestRemove:
    def test_a_number_never_comes_back(self, registry: Registry, bundle: Path) -> None:
        assert [registry.publish("demo", bundle) for _ in range(3)] == [1, 2, 3]
        registry.remove("demo:3")
        registry.remove("demo:1")
        assert registry.versions("demo") == [2]
        assert registry.publish("demo", bundle) == 4
        with pytest.raises(NotFound, match="no version 3"):
            registry.fetch("demo:3")

    def test_not_while_an_alias_points_there(self, registry: Registry, bundle: Path) -> None:
        registry.publish("demo", bundle)
        registry.set_alias("demo", "live", 1)
        with pytest.raises(ConfigError, match="alias 'live' points at demo:1"):
            registry.remove("demo:1")
        registry.remove_alias("demo", "live")
        registry.remove("demo:latest")
        assert registry.names() == []

    def test_a_whole_model(self, registry: Registry, bundle: Path, tmp_path: Path) -> None:
        registry.publish("demo", bundle)
        registry.publish("kept", bundle)
        registry.set_alias("demo", "live", 1)
        old = read_bundle(registry.fetch("demo")).manifest
        registry.remove("demo")
        assert registry.names() == ["kept"]
        with pytest.raises(NotFound, match="no model 'demo'"):
            registry.remove("demo")
        assert registry.publish("demo", make_bundle(tmp_path / "new", seed=5)) == 2
        assert registry.versions("demo") == [2]
        assert registry.aliases("demo") == {}
        assert read_bundle(registry.fetch("demo")).manifest != old
        with pytest.raises(NotFound, match="no version 1"):
            registry.fetch("demo:1")

    def test_no_number_of_a_removed_model_comes_back(self, registry: Registry, bundle: Path) -> None:
        assert [registry.publish("demo", bundle) for _ in range(12)] == list(range(1, 13))
        registry.remove("demo:12")
        registry.remove("demo")
        assert registry.publish("demo", bundle) == 13
        registry.remove("demo")
        assert registry.publish("demo", bundle) == 14

    def test_nothing_but_marks_is_left_of_a_model(self, place: Place, bundle: Path) -> None:
        for _ in range(2):
            place.registry.publish("demo", bundle)
        place.registry.set_alias("demo", "live", 1)
        place.registry.set_alias("demo", "torn", 2)
        place.write("demo/aliases/torn", b"")
        place.registry.remove("demo")
        selector = pyarrow.fs.FileSelector(f"{place.root}/demo", recursive=True)
        left = [i for i in place.filesystem.get_file_info(selector) if i.type == pyarrow.fs.FileType.File]
        assert {i.base_name.partition("-")[0] for i in left} <= {".claim"}

    def test_a_removal_that_was_cut_short_is_done_again(
        self, place: Place, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At whatever step it dies, a second one finishes it, and `latest` never turns back before."""
        from fingan.registry import local, remote

        for _ in range(3):
            place.registry.publish("demo", bundle)
        for target, name in ((local, "_empty"), (remote.RemoteStorage, "delete")):
            real, calls = getattr(target, name), []

            def dies(*parts: Any, real: Any = real, calls: list[Any] = calls) -> None:
                calls.append(parts)
                if len(calls) == 2:
                    raise KeyboardInterrupt
                real(*parts)

            monkeypatch.setattr(target, name, dies)
        with pytest.raises(KeyboardInterrupt):
            place.registry.remove("demo")
        assert place.registry.resolve("demo") == Ref("demo", 3)
        monkeypatch.undo()
        place.registry.remove("demo")
        assert place.registry.names() == []
        assert place.registry.publish("demo", bundle) == 4


class TestDamage:
    def test_a_version_without_manifest_does_not_exist(self, place: Place, bundle: Path) -> None:
        place.registry.publish("demo", bundle)
        place.registry.publish("demo", bundle)
        place.filesystem.delete_file(f"{place.root}/demo/2/{MANIFEST}")
        assert place.registry.versions("demo") == [1]
        assert place.registry.resolve("demo") == Ref("demo", 1)
        assert place.registry.publish("demo", bundle) == 3

    def test_latest_passes_over_a_damaged_manifest(self, place: Place, bundle: Path) -> None:
        place.registry.publish("demo", bundle)
        place.registry.publish("demo", bundle)
        place.write(f"demo/2/{MANIFEST}", b'{"format"')
        assert place.registry.resolve("demo") == Ref("demo", 1)
        with pytest.raises(BundleError, match=r"demo/2: manifest\.json is not valid JSON"):
            place.registry.verify("demo:2")
        place.write(f"demo/1/{MANIFEST}", b"")
        with pytest.raises(
            BundleError, match=r"no version of 'demo' has a sound manifest\. The newest: .*demo/2: manifest"
        ):
            place.registry.resolve("demo")

    @pytest.mark.parametrize("call", ["fetch", "verify"])
    def test_altered_files_are_named(self, place: Place, bundle: Path, call: str) -> None:
        place.registry.publish("demo", bundle)
        place.write("demo/1/MODEL_CARD.md", b"# forged")
        with pytest.raises(BundleError, match=r"demo/1: MODEL_CARD\.md has 8 bytes"):
            getattr(place.registry, call)("demo")
        place.write("demo/1/extra.json", b"{}")
        with pytest.raises(BundleError, match=r"extra\.json is not in the manifest"):
            getattr(place.registry, call)("demo")
        place.write("demo/1/metrics.json", b"{}")
        with pytest.raises(BundleError, match=r"metrics\.json has 2 bytes"):
            place.registry.show("demo")

    def test_foreign_files_are_passed_over(self, place: Place, bundle: Path) -> None:
        place.registry.publish("demo", bundle)
        place.write("README.md", b"ours")
        place.write("demo/notes.txt", b"ours")
        place.filesystem.create_dir(f"{place.root}/Not A Model/1", recursive=True)
        place.write(f"Not A Model/1/{MANIFEST}", b"{}")
        assert place.registry.names() == ["demo"]
        assert place.registry.publish("demo", bundle) == 2


class TestOpening:
    @pytest.mark.parametrize("url", ["nope://x/y", "file:relative"])
    def test_a_url_that_cannot_be_opened(self, url: str) -> None:
        with pytest.raises(ConfigError, match=r"cannot open the registry at .* Use a folder, or a URL"):
            Registry(url)

    def test_no_message_shows_credentials(self) -> None:
        with pytest.raises(ConfigError) as caught:
            Registry("nope://key:sesame@host/path?token=sesame")
        assert "nope://host/path" in str(caught.value)
        assert "sesame" not in str(caught.value)

    def test_reading_makes_no_folder(self, tmp_path: Path) -> None:
        assert Registry(tmp_path / "none").names() == []
        with pytest.raises(NotFound):
            Registry(tmp_path / "none").resolve("demo")
        assert not (tmp_path / "none").exists()

    def test_a_root_that_is_a_file(self, tmp_path: Path, bundle: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(BundleError, match="cannot list"):
            Registry(tmp_path / "file").names()
        with pytest.raises(BundleError, match=r"cannot publish 'demo'.*exists.*/file"):
            Registry(tmp_path / "file").publish("demo", bundle)
