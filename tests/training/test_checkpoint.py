"""Checkpoints are whole or absent, and a damaged one is found out."""

import logging
import resource
import shutil
from contextlib import contextmanager

import pytest

from fingan.errors import CheckpointCorrupt
from fingan.training import load_newest, save_checkpoint
from fingan.training.checkpoint import list_checkpoints, load_checkpoint, verify_checkpoint
from tests.training.toys import digest, make_run, make_state, settings

FILES = ("state.safetensors", "progress.json", "manifest.json")


@pytest.fixture(scope="module")
def run():
    run = make_run(settings("training.steps=20"))
    run.train()
    return run


def save(run, folder, step, keep=3):
    run.state.progress.step = step
    return save_checkpoint(folder, run.state, keep)


def names(folder):
    return [p.name for p in list_checkpoints(folder)]


def test_a_round_trip_is_exact(run, tmp_path):
    path = save(run, tmp_path, 20)
    fresh = make_state(settings())
    assert load_newest(tmp_path, fresh) == (path, [])
    assert digest(fresh.tensors()) == digest(run.state.tensors())
    assert fresh.progress == run.state.progress
    assert path.name == "step-000000020"
    assert sorted(p.name for p in path.iterdir()) == sorted(FILES)


def test_the_newest_are_kept(run, tmp_path):
    for step in (20, 40, 60, 80, 1_000_000):
        save(run, tmp_path, step)
    assert names(tmp_path) == ["step-000000060", "step-000000080", "step-001000000"]
    save(run, tmp_path, 1_000_020, keep=1)
    assert names(tmp_path) == ["step-001000020"]


def test_a_step_that_is_written_again_replaces_the_old_one(run, tmp_path):
    save(run, tmp_path, 20, keep=1)
    run.state.progress.best_score = 0.123
    path = save(run, tmp_path, 20, keep=1)
    fresh = make_state(settings())
    assert load_newest(tmp_path, fresh)[0] == path
    assert fresh.progress.best_score == 0.123
    assert len(list_checkpoints(tmp_path)) == 1
    run.state.progress.best_score = None


def test_what_lies_ahead_of_a_fallen_back_run_goes(run, tmp_path):
    for step in (20, 40, 60):
        save(run, tmp_path, step)
    path = save(run, tmp_path, 45, keep=2)
    assert names(tmp_path) == ["step-000000040", path.name]
    assert save(run, tmp_path, 30, keep=1).exists()
    assert names(tmp_path) == ["step-000000030"]


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 0x10
    path.write_bytes(data)


def zero(path):
    path.write_bytes(bytes(path.stat().st_size))


def empty(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [truncate, flip, zero, empty, lambda path: path.unlink()])
def test_damage_falls_back_to_the_one_before_and_says_so(run, tmp_path, caplog, name, damage):
    older = save(run, tmp_path, 20)
    newest = save(run, tmp_path, 40)
    damage(newest / name)
    fresh = make_state(settings())
    with caplog.at_level(logging.WARNING):
        path, problems = load_newest(tmp_path, fresh)
    assert path == older
    assert fresh.progress.step == 20
    assert len(problems) == 1
    assert "step-000000040" in problems[0]
    assert name in problems[0]
    assert "step-000000040" in caplog.text

    damage(older / name)
    with pytest.raises(CheckpointCorrupt, match=r"no checkpoint in .* is valid.*delete the folder"):
        load_newest(tmp_path, make_state(settings()))


def test_an_extra_file_is_damage_too(run, tmp_path):
    path = save(run, tmp_path, 20)
    (path / "more.bin").write_bytes(b"x")
    with pytest.raises(CheckpointCorrupt, match=r"more\.bin is not in the manifest"):
        verify_checkpoint(path)


@pytest.mark.parametrize("document", ["[]", "{}", '{"a": 1}', '{"a": {"size": 1}}', "null", "\xff"])
def test_a_manifest_of_another_form_is_damage(run, tmp_path, document):
    path = save(run, tmp_path, 20)
    (path / "manifest.json").write_bytes(document.encode("latin-1"))
    with pytest.raises(CheckpointCorrupt):
        verify_checkpoint(path)


def test_another_architecture_is_named_and_not_loaded(run, tmp_path):
    path = save(run, tmp_path, 20)
    with pytest.raises(CheckpointCorrupt, match="does not fit this configuration"):
        load_checkpoint(path, make_state(settings("network.width=16")))


def test_no_folder_and_an_empty_one_hold_no_checkpoint(tmp_path):
    state = make_state(settings())
    assert load_newest(tmp_path / "absent", state) == (None, [])
    assert load_newest(tmp_path, state) == (None, [])


def test_what_a_killed_writer_left_is_no_checkpoint_and_is_cleared(run, tmp_path):
    older = save(run, tmp_path, 20)
    shutil.copytree(older, tmp_path / ".tmp-0123456789abcdef")
    (tmp_path / ".tmp-0123456789abcdef" / FILES[0]).write_bytes(b"half")
    assert load_newest(tmp_path, make_state(settings()))[0] == older
    save(run, tmp_path, 40)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-000000020", "step-000000040"]


@contextmanager
def small_disk():
    """No file may grow beyond 16 kB, which a write reports as a full disk would.

    Not a fixture: the test's own report goes to standard output, which may be a longer file.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk_leaves_the_earlier_checkpoint(run, tmp_path):
    older = save(run, tmp_path, 20)
    with small_disk(), pytest.raises(OSError, match=r"state\.safetensors \([\d,]+ bytes\)"):
        save(run, tmp_path, 40)
    assert names(tmp_path) == [older.name]
    assert [p.name for p in tmp_path.iterdir()] == [older.name]
    assert load_newest(tmp_path, make_state(settings()))[0] == older
