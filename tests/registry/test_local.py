"""Several processes, dead processes and full disks, on a local folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fingan.errors import BundleError
from fingan.files import TEMPORARY, locked
from fingan.registry import Registry, read_bundle, write_bundle
from tests.registry.helpers import make_bundle, unprivileged

WRITERS = Path(__file__).with_name("writers.py")


def run_writers(repository: Path, *arguments: object) -> Any:
    command = [sys.executable, str(WRITERS), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def test_eight_processes_get_eight_versions(repository: Path, tmp_path: Path, bundle: Path) -> None:
    root = tmp_path / "registry"
    assert run_writers(repository, "many", root, bundle, 8) == [0] * 8
    registry = Registry(root)
    assert registry.versions("demo") == list(range(1, 9))
    for version in registry.versions("demo"):
        assert registry.verify(f"demo:{version}") == read_bundle(bundle).manifest
    assert not list(root.glob(f"{TEMPORARY}*"))


@pytest.mark.chaos
def test_killed_publishers_leave_no_half_version(repository: Path, tmp_path: Path, bundle: Path) -> None:
    root = tmp_path / "registry"
    outcome = run_writers(repository, "kill", root, bundle, 40, 20261122)
    assert outcome["failures"] == []
    assert outcome["leftovers"] >= 5, "hardly a publisher was killed in the act: the test proves nothing"
    registry = Registry(root)
    for version in registry.versions("demo"):
        registry.verify(f"demo:{version}")
    newest = registry.versions("demo")[-1]
    assert registry.publish("demo", bundle) > newest
    assert sorted(path.name for path in root.iterdir()) == [".lock", "demo"]


def test_the_leftovers_of_the_dead_are_deleted_those_of_the_living_kept(tmp_path: Path, bundle: Path) -> None:
    root = tmp_path / "registry"
    registry = Registry(root)
    registry.publish("demo", bundle)
    registry.set_alias("demo", "live", 1)
    (root / f"{TEMPORARY}1").mkdir()
    (root / f"{TEMPORARY}1" / "schema.json").write_bytes(b"{")
    (root / "demo" / "aliases" / f"{TEMPORARY}2").write_bytes(b"1")
    with locked(root / ".lock", shared=True):  # another publisher is at work
        assert registry.publish("demo", bundle) == 2
        assert (root / f"{TEMPORARY}1").exists()
        assert registry.aliases("demo") == {"live": 1}
    assert registry.publish("demo", bundle) == 3
    assert not (root / f"{TEMPORARY}1").exists()
    assert not (root / "demo" / "aliases" / f"{TEMPORARY}2").exists()


@pytest.fixture
def group_folder() -> Iterator[Path]:
    """A folder that every user may write in; those of pytest are its user's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def test_several_users_publish_in_one_folder(group_folder: Path) -> None:
    """What one user made, the others may read, not write, as the usual umask has it."""
    bundle = make_bundle(group_folder / "bundle")
    root = group_folder / "registry"
    root.mkdir()
    root.chmod(0o777)
    assert Registry(root).publish("demo", bundle) == 1
    (root / ".lock").chmod(0o444)
    with unprivileged():
        assert Registry(root).publish("other", bundle) == 1
        with (
            locked(root / ".lock", wait=False),
            pytest.raises(BlockingIOError),
            locked(root / ".lock", wait=False),
        ):
            pass
    assert Registry(root).names() == ["demo", "other"]


def test_without_locks_it_publishes_and_deletes_nothing(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    root = tmp_path / "registry"
    root.mkdir()
    (root / f"{TEMPORARY}1").mkdir()
    assert Registry(root).publish("demo", bundle) == 1
    assert (root / f"{TEMPORARY}1").exists()


def test_a_claimed_number_is_skipped(tmp_path: Path, bundle: Path) -> None:
    registry = Registry(tmp_path / "registry")
    registry.publish("demo", bundle)
    (tmp_path / "registry" / "demo" / "2").mkdir()  # its publisher died between claim and rename
    assert registry.versions("demo") == [1]
    assert registry.publish("demo", bundle) == 3


@pytest.mark.parametrize(
    ("remove", "number"),
    [
        (lambda root: Registry(root).remove("demo"), 3),
        (lambda root: shutil.rmtree(root / "demo"), 1),  # by hand: nothing is left that knows the numbers
    ],
    ids=["removed", "deleted"],
)
def test_a_model_removed_in_the_midst_of_a_publish(
    tmp_path: Path,
    bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    remove: Callable[[Path], None],
    number: int,
) -> None:
    registry = Registry(tmp_path / "registry")
    registry.publish("demo", bundle)
    registry.publish("demo", bundle)
    rename, calls = os.rename, []

    def interrupted(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == 1:
            remove(tmp_path / "registry")
        rename(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    assert registry.publish("demo", bundle) == number
    assert registry.versions("demo") == [number]


def test_a_folder_in_a_version_and_links_are_removed_with_it(tmp_path: Path, bundle: Path) -> None:
    registry, version = Registry(tmp_path / "registry"), tmp_path / "registry" / "demo" / "1"
    registry.publish("demo", bundle)
    (version / "notes" / "old").mkdir(parents=True)
    (version / "link").symlink_to(bundle)
    registry.remove("demo:1")
    assert not list(version.iterdir())
    assert read_bundle(bundle).manifest


def test_files_larger_than_allowed_leave_nothing(repository: Path, tmp_path: Path) -> None:
    bundle, root = tmp_path / "bundle", tmp_path / "registry"
    write_bundle(bundle, {}, {"generator": {"w": np.zeros(100_000)}})
    messages = run_writers(repository, "full", root, bundle, 65_536)
    assert len(messages) == 2
    for message in messages:
        assert "File too large (800," in message
        assert "generator.safetensors" in message
    assert Registry(root).names() == []
    assert sorted(path.name for path in root.rglob("*")) == [".lock"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "registry"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.chaos
def test_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    write_bundle(bundle, {}, {"generator": {"w": np.zeros(50_000)}})
    registry = Registry(small_disk / "registry")
    assert [registry.publish("demo", bundle) for _ in range(2)] == [1, 2]
    with pytest.raises(BundleError, match=r"No space left on device \(400,.*Free space there"):
        registry.publish("demo", bundle)
    with pytest.raises(BundleError, match="No space left on device"):
        write_bundle(small_disk / "saved", {}, {"generator": {"w": np.zeros(50_000)}})
    assert registry.versions("demo") == [1, 2]
    assert not list((small_disk / "registry").glob(f"{TEMPORARY}*"))
    assert sorted(path.name for path in small_disk.iterdir()) == ["registry"]
    registry.remove("demo:1")
    assert registry.publish("demo", bundle) == 3
    registry.verify("demo:3")


def test_a_read_only_registry(tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "registry"))

    registry = Registry(tmp_path / "registry")
    registry.publish("demo", bundle)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(BundleError, match=r"cannot publish 'demo'.*Permission denied.*you may use it"):
        registry.publish("demo", bundle)
    registry.verify("demo")


class TestRaces:
    """What the other process does between two system calls, one case at a time."""

    def publish(self, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> int:
        rename, calls = os.rename, []

        def fail_once(source: Path, target: Path) -> None:
            calls.append(target)
            if len(calls) == 1:
                raise error
            rename(source, target)

        monkeypatch.setattr(os, "rename", fail_once)
        return Registry(tmp_path / "registry").publish("demo", bundle)

    def test_a_taken_number_is_left_to_its_owner(
        self, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.publish(tmp_path, bundle, monkeypatch, FileExistsError(17, "File exists")) == 2

    def test_it_gives_up_in_the_end(
        self, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fingan.registry.local.ATTEMPTS", 1)
        with pytest.raises(BundleError, match="no free number"):
            self.publish(tmp_path, bundle, monkeypatch, FileExistsError(17, "File exists"))
        assert Registry(tmp_path / "registry").names() == []

    def test_a_vanished_temporary_is_an_error_not_a_loop(
        self, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def vanish(source: Path, _: Path) -> None:
            shutil.rmtree(source)
            raise FileNotFoundError(2, "No such file or directory", str(source))

        monkeypatch.setattr(os, "rename", vanish)
        with pytest.raises(BundleError, match=r"cannot publish 'demo'.*No such file"):
            Registry(tmp_path / "registry").publish("demo", bundle)

    def test_a_lock_that_fails_is_an_error(
        self, tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        registry = Registry(tmp_path / "registry")
        registry.publish("demo", bundle)

        def fail(*_: object) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr("fcntl.flock", fail)
        with pytest.raises(BundleError, match="Input/output error"):
            registry.publish("demo", bundle)
        with pytest.raises(BundleError, match=r"cannot write .*/live: Input/output error"):
            registry.set_alias("demo", "live", 1)
