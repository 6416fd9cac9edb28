"""Resuming and checkpoints of a run: bit-equal continuation, plans, full disks, peers that differ."""

import pytest

from fingan.errors import CheckpointCorrupt
from fingan.training import Alone, load_newest
from fingan.training.checkpoint import list_checkpoints, step_of
from tests.training.toys import (
    Recorder,
    best_of,
    collapse,
    digest,
    make_run,
    nan_batch,
    settings,
    weights_score,
)

RESUMABLE = ("checkpoint.every_steps=20", "training.validations=3")


class Killed(Exception):
    """The process is gone."""


def kill_at(target):
    def tamper(run, batch, step, attempt):
        if step == target:
            raise Killed
        return batch

    return tamper


def resumed(folder, *overrides, **more):
    run = make_run(settings(*RESUMABLE, *overrides), checkpoints=folder, validate=weights_score, **more)
    assert load_newest(folder, run.state)[0] is not None
    return run


@pytest.mark.parametrize("overrides", [(), ("compute.precision=fp32", "objective.penalty=exact")])
@pytest.mark.parametrize("stop", ["killed", "interrupted"])
def test_resuming_is_bit_equal(tmp_path, stop, overrides):
    """60 steps at once, or cut at 30 (or by the user at 40) and continued: the same in every tensor."""
    config = settings(*RESUMABLE, *overrides)
    whole = make_run(config, validate=weights_score)
    wanted = whole.train()
    if stop == "killed":
        with pytest.raises(Killed):
            make_run(config, checkpoints=tmp_path, validate=weights_score, tamper=kill_at(30)).train()
    else:
        hooks = Recorder(stop_at=40)
        make_run(config, checkpoints=tmp_path, validate=weights_score, hooks=hooks).train()
    hooks = Recorder()
    run = resumed(tmp_path, *overrides, hooks=hooks)
    assert run.state.progress.step == (20 if stop == "killed" else 40)
    result = run.train()
    assert digest(run.state.tensors()) == digest(whole.state.tensors())
    assert best_of(result) == best_of(wanted)
    assert (result.score, result.best_step) == (wanted.score, wanted.best_step)
    assert result.reason == "finished"
    assert result.steps == 60
    old = [u for u in whole.hooks.updates if u.step > 20 + 20 * (stop != "killed")]
    assert [(u.step, u.score, u.best, u.terms) for u in hooks.updates] == [
        (u.step, u.score, u.best, u.terms) for u in old
    ]


def test_resuming_a_finished_run_takes_no_step(tmp_path):
    first = make_run(settings(*RESUMABLE), checkpoints=tmp_path, validate=weights_score)
    wanted = first.train()
    result = resumed(tmp_path, tamper=kill_at(60)).train()
    assert (result.reason, best_of(result), result.score) == ("finished", best_of(wanted), wanted.score)


def test_resuming_from_the_one_before_a_torn_checkpoint_is_bit_equal(tmp_path):
    wanted = make_run(settings(*RESUMABLE), checkpoints=tmp_path, validate=weights_score)
    wanted.train()
    torn = list_checkpoints(tmp_path)[-1]
    (torn / "state.safetensors").write_bytes(b"")
    run = resumed(tmp_path)
    assert run.state.progress.step == 40
    run.train()
    assert digest(run.state.tensors()) == digest(wanted.state.tensors())
    assert load_newest(tmp_path, run.state)[1] == []


def test_a_roll_back_is_resumed_as_one(tmp_path):
    config = settings(*RESUMABLE, "training.steps=80")
    whole = make_run(config, tamper=nan_batch, validate=weights_score)
    whole.train()
    cut = make_run(config, tamper=nan_batch, validate=weights_score, checkpoints=tmp_path, hooks=Recorder(60))
    cut.train()
    run = resumed(tmp_path, "training.steps=80", tamper=nan_batch)
    assert (run.state.progress.attempt, run.state.progress.rate_scale) == (1, 0.5)
    run.train()
    assert digest(run.state.tensors()) == digest(whole.state.tensors())


@pytest.mark.parametrize("every", [20, 500])
def test_who_stops_amid_the_first_signs_goes_on_from_before_them(tmp_path, every):
    """What lies on disk is the last sound state, whether or not it was written at its time."""
    overrides = ("training.steps=160", "training.validations=8", f"checkpoint.every_steps={every}")

    def late(run, batch, step, attempt):
        return collapse(run, batch, step, attempt) if step >= 65 and attempt == 0 else batch

    config = settings(*overrides)
    whole = make_run(config, tamper=late, validate=weights_score)
    wanted = whole.train()
    hooks = Recorder(stop_at=100)
    cut = make_run(config, tamper=late, validate=weights_score, checkpoints=tmp_path, hooks=hooks)
    stopped = cut.train()
    assert (stopped.reason, stopped.steps) == ("interrupted", 100)
    assert step_of(list_checkpoints(tmp_path)[-1]) == 60
    run = make_run(config, tamper=late, validate=weights_score, checkpoints=tmp_path)
    load_newest(tmp_path, run.state)
    assert run.state.progress.elapsed == cut.state.progress.elapsed
    result = run.train()
    assert (result.rollbacks, result.reason) == (1, "finished")
    assert digest(run.state.tensors()) == digest(whole.state.tensors())
    assert best_of(result) == best_of(wanted)


def test_checkpoints_follow_the_plan(tmp_path):
    hooks = Recorder()
    run = make_run(
        settings("training.steps=130", "checkpoint.every_steps=50", "checkpoint.keep=2"),
        checkpoints=tmp_path,
        hooks=hooks,
    )
    run.train()
    # At the first window's end past each multiple of 50, and at the end.
    assert [p.name[-3:] for p in hooks.saved] == ["060", "100", "130"]
    assert [p.name[-3:] for p in list_checkpoints(tmp_path)] == ["100", "130"]


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hooks = Recorder()
    make_run(settings("checkpoint.every_steps=20"), hooks=hooks).train()
    assert hooks.saved == [None] * 3
    assert not list(tmp_path.iterdir())


def test_a_full_disk_costs_the_checkpoint_and_not_the_run(tmp_path, monkeypatch):
    from fingan.training import loop

    save, calls = loop.save_checkpoint, []

    def full(folder, state, keep):
        calls.append(state.progress.step)
        if len(calls) == 2:
            raise OSError(28, "No space left on device", str(folder))
        return save(folder, state, keep)

    monkeypatch.setattr(loop, "save_checkpoint", full)
    hooks = Recorder()
    result = make_run(settings(*RESUMABLE), checkpoints=tmp_path, hooks=hooks).train()
    assert result.reason == "finished"
    assert calls == [20, 40, 60]
    assert [e for e in hooks.events if "No space left" in e]
    assert str(tmp_path) in hooks.events[0]
    assert hooks.saved[1] is None
    assert hooks.saved[2] is not None


class OtherStart(Alone):
    """A second worker whose checkpoint lies elsewhere."""

    rank, world = 1, 2

    def broadcast_(self, tensor):
        return tensor.add_(1.0) if tensor.numel() == 2 else tensor


def test_workers_that_start_apart_refuse_to_train():
    run = make_run(settings(), reducer=OtherStart())
    with pytest.raises(CheckpointCorrupt, match="must lie on storage that all workers share"):
        run.train()
