"""Names that are paths, and links that lead out of a registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from fingan.errors import BundleError, ConfigError
from fingan.registry import Ref, Registry
from tests.registry.helpers import make_bundle

NAMES = [
    "", ".", "..", "../x", "a/b", "/etc", "..%2f", "a\0b", "a\n", "a ", "A", "é", "\u0430bc", "-a", "_a",
    ".tmp-1", "a\\b", "a" * 65, "x" * 10_000, "a:b:c",
]  # fmt: skip


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry(tmp_path / "registry")
    registry.publish("demo", make_bundle(tmp_path / "b"))
    return registry


@pytest.mark.parametrize("name", NAMES)
def test_no_name_becomes_a_path(registry: Registry, tmp_path: Path, name: str) -> None:
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    calls = [
        lambda: registry.publish(name, tmp_path / "b"),
        lambda: registry.resolve(name),
        lambda: registry.resolve(f"demo:{name}"),
        lambda: registry.fetch(Ref(name, 1)),
        lambda: registry.versions(name),
        lambda: registry.aliases(name),
        lambda: registry.set_alias(name, "live", 1),
        lambda: registry.set_alias("demo", name, 1),
        lambda: registry.remove_alias("demo", name),
        lambda: registry.remove(name),
        lambda: registry.show(f"{name}:1"),
    ]
    for call in calls:
        with pytest.raises(ConfigError) as caught:
            call()
        assert len(str(caught.value)) < 300
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("selector", ["0", "-1", "01", "00", "٣", "9999999999", "1 "])
def test_no_version_becomes_a_path(registry: Registry, selector: str) -> None:
    with pytest.raises(ConfigError):
        registry.resolve(f"demo:{selector}")


class TestLinks:
    def test_a_linked_model_is_refused(self, registry: Registry, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (tmp_path / "registry" / "linked").symlink_to(outside)
        assert registry.names() == ["demo"]
        for call in (
            lambda: registry.publish("linked", tmp_path / "b"),
            lambda: registry.resolve("linked"),
            lambda: registry.remove("linked"),
        ):
            with pytest.raises(BundleError, match="linked is a symbolic link"):
                call()
        assert list(outside.iterdir()) == []

    def test_a_linked_version_does_not_exist(self, registry: Registry, tmp_path: Path) -> None:
        (tmp_path / "registry" / "demo" / "7").symlink_to(tmp_path / "b")
        assert registry.versions("demo") == [1]
        assert registry.publish("demo", tmp_path / "b") == 8

    def test_a_linked_folder_of_aliases_is_refused(self, registry: Registry, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        (tmp_path / "registry" / "demo" / "aliases").symlink_to(tmp_path / "outside")
        with pytest.raises(BundleError, match="aliases is a symbolic link"):
            registry.set_alias("demo", "live", 1)
        with pytest.raises(BundleError, match="aliases is a symbolic link"):
            registry.publish("demo", tmp_path / "b")

    def test_a_linked_file_of_a_published_version(self, registry: Registry, tmp_path: Path) -> None:
        path = tmp_path / "registry" / "demo" / "1" / "schema.json"
        path.rename(tmp_path / "schema.json")
        path.symlink_to(tmp_path / "schema.json")
        with pytest.raises(BundleError, match=r"schema\.json"):
            registry.fetch("demo:1")

    def test_the_root_itself_may_be_a_link(self, registry: Registry, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "registry")
        assert Registry(tmp_path / "link").publish("demo", tmp_path / "b") == 2
