from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fingan.files import (
    TEMPORARY,
    FileEntry,
    atomic_directory,
    atomic_path,
    atomic_write_bytes,
    check_manifest,
    locked,
    manifest_of,
    open_regular,
    remove_temporaries,
    sha256_file,
    write_new,
)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def free(lock: Path, *, shared: bool = False) -> bool:
    try:
        with locked(lock, shared=shared, wait=False):
            return True
    except BlockingIOError:
        return False


class TestAtomicWriteBytes:
    def test_replaces_the_content(self, tmp_path: Path) -> None:
        path = tmp_path / "LATEST"
        atomic_write_bytes(path, b"1")
        atomic_write_bytes(path, b"2")
        assert path.read_bytes() == b"2"
        assert names(tmp_path) == {"LATEST"}

    def test_a_failure_leaves_the_old_content_and_nothing_else(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "LATEST"
        atomic_write_bytes(path, b"1")

        def fail(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match=r"No space left on device \(3 bytes\)") as caught:
            atomic_write_bytes(path, b"new")
        assert str(caught.value.filename).startswith(str(tmp_path))
        assert path.read_bytes() == b"1"
        assert names(tmp_path) == {"LATEST"}

    def test_replaces_a_link_rather_than_following_it(self, tmp_path: Path) -> None:
        (tmp_path / "victim").write_bytes(b"precious")
        (tmp_path / "link").symlink_to("victim")
        atomic_write_bytes(tmp_path / "link", b"new")
        assert (tmp_path / "victim").read_bytes() == b"precious"
        assert not (tmp_path / "link").is_symlink()


class TestAtomicPath:
    def test_any_writer_may_write_it(self, tmp_path: Path) -> None:
        path = tmp_path / "report.html"
        path.write_text("old")
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
        assert path.read_text() == "new"
        assert names(tmp_path) == {"report.html"}

    def test_an_error_or_a_file_never_written_leaves_the_old_one(self, tmp_path: Path) -> None:
        path = tmp_path / "report.html"
        path.write_text("old")
        with pytest.raises(KeyboardInterrupt), atomic_path(path) as temporary:  # noqa: PT012
            temporary.write_text("half")
            raise KeyboardInterrupt
        with pytest.raises(FileNotFoundError), atomic_path(path):
            pass
        assert path.read_text() == "old"
        assert names(tmp_path) == {"report.html"}


class TestAtomicDirectory:
    def test_appears_whole_with_the_permissions_of_the_umask(self, tmp_path: Path) -> None:
        target = tmp_path / "run" / "step-1"
        with atomic_directory(target) as temporary:
            (temporary / "inner").mkdir()
            (temporary / "inner" / "a").write_bytes(b"1")
            assert not target.exists()
        (tmp_path / "plain").mkdir()
        assert (target / "inner" / "a").read_bytes() == b"1"
        assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
        assert names(target.parent) == {"step-1"}

    @pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
    def test_vanishes_on_any_error(self, tmp_path: Path, error: type[BaseException]) -> None:
        with pytest.raises(error), atomic_directory(tmp_path / "x") as temporary:  # noqa: PT012
            (temporary / "a").write_bytes(b"1")
            raise error
        assert names(tmp_path) == set()

    def test_never_replaces_anything_but_an_empty_folder(self, tmp_path: Path) -> None:
        target = tmp_path / "x"
        target.mkdir()
        with atomic_directory(target) as temporary:
            (temporary / "a").write_bytes(b"1")
        with pytest.raises(FileExistsError, match="exists already"), atomic_directory(target):
            pass
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(FileExistsError), atomic_directory(tmp_path / "file"):
            pass
        (tmp_path / "dangling").symlink_to("nowhere")
        with pytest.raises(FileExistsError), atomic_directory(tmp_path / "dangling"):
            pass

    def test_the_second_of_two_writers_loses_whole(self, tmp_path: Path) -> None:
        target = tmp_path / "x"
        with pytest.raises(FileExistsError), atomic_directory(target) as slow:  # noqa: PT012
            (slow / "a").write_bytes(b"slow")
            with atomic_directory(target) as fast:
                (fast / "a").write_bytes(b"fast")
        assert (target / "a").read_bytes() == b"fast"
        assert names(tmp_path) == {"x"}


class TestManifest:
    def test_finds_every_difference(self, tmp_path: Path) -> None:
        for name in ("a", "b", "c", "d"):
            (tmp_path / name).write_bytes(name.encode() * 10)
        entries = manifest_of(tmp_path)
        assert entries["a"] == FileEntry.of(b"a" * 10)
        assert check_manifest(tmp_path, entries) == []
        (tmp_path / "a").unlink()
        (tmp_path / "b").write_bytes(b"b" * 9)
        (tmp_path / "c").write_bytes(b"c" * 9 + b"C")
        (tmp_path / "d").unlink()
        (tmp_path / "d").symlink_to("c")
        (tmp_path / "e").write_bytes(b"")
        (tmp_path / "manifest.json").write_bytes(b"{}")
        problems = check_manifest(tmp_path, entries)
        assert [problem.split()[0] for problem in problems] == ["a", "e", "b", "c", "d"]
        assert problems[0] == "a is missing"
        assert problems[1] == "e is not in the manifest"
        assert problems[2] == "b has 9 bytes, its manifest says 10"
        assert "sha256" in problems[3]
        assert "cannot be read" in problems[4]

    def test_sha256_of_the_standard(self, tmp_path: Path) -> None:
        (tmp_path / "abc").write_bytes(b"abc")  # FIPS 180-2, appendix B.1
        expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert sha256_file(tmp_path / "abc") == expected

    def test_refuses_what_is_no_plain_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="is not a plain file"):
            open_regular(tmp_path / "pipe")
        with pytest.raises(OSError, match="is not a plain file"):
            manifest_of(tmp_path)


class TestLock:
    def test_excludes_and_shares(self, tmp_path: Path) -> None:
        path = tmp_path / "lock"
        with locked(path, shared=True), locked(path, shared=True, wait=False):
            assert not free(path)
        assert free(path)
        with locked(path, wait=False):
            assert not free(path)
            assert not free(path, shared=True)

    def test_is_not_made_through_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "lock").symlink_to("elsewhere")
        with pytest.raises(OSError, match="symbolic links"), locked(tmp_path / "lock"):
            pass
        assert not (tmp_path / "elsewhere").exists()


def test_write_new_never_overwrites(tmp_path: Path) -> None:
    write_new(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "a", b"2")
    assert (tmp_path / "a").read_bytes() == b"1"


def test_remove_temporaries_touches_nothing_else(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_bytes(b"1")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / f"{TEMPORARY}link").symlink_to(outside)
    (folder / f"{TEMPORARY}dir").mkdir()
    (folder / f"{TEMPORARY}dir" / "a").write_bytes(b"1")
    (folder / f"{TEMPORARY}file").write_bytes(b"1")
    (folder / "kept").write_bytes(b"1")
    remove_temporaries(folder)
    assert names(folder) == {"kept"}
    assert names(outside) == {"precious"}
