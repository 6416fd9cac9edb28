"""The loop: plans, validations, roll-backs, resumption, and what it tells the outside."""

import json
import math

import pytest
import torch

from fingan.errors import TrainingDiverged
from fingan.training import Run
from tests.training import golden
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


class Scores:
    """Validations with scores that are known beforehand."""

    def __init__(self, *scores):
        self.scores, self.steps, self.run = list(scores), [], None

    def __call__(self, network):
        self.steps.append(self.run.state.progress.step)
        return self.scores[len(self.steps) - 1]


def scored_run(scores, *overrides, **more):
    validate = Scores(*scores)
    run = make_run(settings(*overrides), validate=validate, **more)
    validate.run = run
    return run, validate


def test_golden_curve():
    """The losses of 50 steps are what they were. Regenerate: `python -m tests.training.golden`."""
    wanted = json.loads(golden.FILE.read_text(encoding="utf-8"))
    found = golden.curve()
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        assert found[name] == pytest.approx(values, abs=1e-6), name


def test_a_run_is_a_function_of_its_seed():
    results = [best_of(make_run(settings(f"seed={seed}")).train()) for seed in (3, 3, 4)]
    assert results[0] == results[1] != results[2]


def test_steps_are_kept_and_reported():
    hooks = Recorder()
    result = make_run(settings("training.steps=50"), hooks=hooks).train()
    assert (result.reason, result.steps, result.best_step, result.score) == ("finished", 50, 50, None)
    assert [u.step for u in hooks.updates] == [20, 40, 50]
    assert all(u.planned == 50 for u in hooks.updates)
    last = hooks.updates[-1]
    assert last.remaining == 0.0
    assert last.rows_per_second > 0
    assert 0 <= last.terms["accuracy"] <= 1
    assert last.terms["weight_norm"] > 0
    assert result.seconds > 0
    assert result.rollbacks == 0


def test_window_means_are_means_of_the_window():
    """Also over a last window that is shorter than the others."""
    hooks = Recorder()
    run = make_run(settings("training.steps=50", "objective.penalty=none"), hooks=hooks)
    steps, step = [], run._stepper.step

    def recorded(*arguments):
        steps.append(step(*arguments))
        return steps[-1]

    run._stepper.step = recorded
    run.train()
    for update, (first, last) in zip(hooks.updates, [(0, 20), (20, 40), (40, 50)], strict=True):
        losses = [float(r.terms["generator_loss"]) for r in steps[first:last]]
        assert update.terms["generator_loss"] == pytest.approx(sum(losses) / len(losses))


def test_the_best_validation_is_kept():
    run, validate = scored_run([3.0, 1.0, 2.0], "training.validations=3")
    averages = []
    validate_all, validate.averages = validate.__call__, averages
    run.validate = lambda network: (averages.append(digest(network.state_dict())), validate_all(network))[1]
    result = run.train()
    assert validate.steps == [20, 40, 60]
    assert (result.score, result.best_step, result.steps) == (1.0, 40, 60)
    assert best_of(result) == averages[1]
    scores = [(u.score, u.best) for u in run.hooks.updates]
    assert scores == [(3.0, 3.0), (1.0, 1.0), (2.0, 1.0)]


def test_looks_are_told_by_their_numbers():
    run, validate = scored_run([3.0, 1.0, 2.0], looks=(0.1, 1 / 3, 2 / 3))
    run.train()
    assert [u.look for u in run.hooks.updates] == [2, 3, 0]
    assert validate.steps == [20, 40, 60]


def test_a_score_that_is_no_number_is_never_the_best():
    run, _ = scored_run([math.nan, 2.0, math.nan], "training.validations=3")
    result = run.train()
    assert (result.score, result.best_step) == (2.0, 40)
    run, _ = scored_run([math.nan] * 3, "training.validations=3")
    result = run.train()
    assert (result.score, result.best_step) == (None, 60)
    assert best_of(result) == digest(run.state.average.state_dict())


def test_patience_stops_early():
    run, validate = scored_run(
        [2.0, 1.0, 1.5, 1.2, 0.1], "training.steps=200", "training.validations=10", "training.patience=2"
    )
    result = run.train()
    assert (result.reason, result.steps, result.best_step) == ("early stop", 80, 40)
    assert len(validate.steps) == 4


def test_a_user_who_stops_keeps_the_best():
    hooks = Recorder(stop_at=40)
    run, _ = scored_run([1.0, 2.0], "training.steps=400", "training.validations=20", hooks=hooks)
    result = run.train()
    assert (result.reason, result.steps, result.best_step, result.score) == ("interrupted", 40, 20, 1.0)


def test_a_user_who_stops_before_any_validation_gets_one():
    run, validate = scored_run(
        [1.0], "training.steps=400", "training.validations=1", hooks=Recorder(stop_at=20)
    )
    result = run.train()
    assert (result.reason, result.steps, result.score, validate.steps) == ("interrupted", 20, 1.0, [20])


class Clock:
    """Goes a tenth of a second for every step of the run."""

    def __init__(self):
        self.run = None

    def __call__(self):
        return 0.0 if self.run is None else 0.125 * self.run.state.progress.step


def test_a_time_budget_is_kept():
    clock, hooks = Clock(), Recorder()
    config = settings("training.steps=null", "training.time_budget=20s", "training.validations=4")
    run = make_run(config, hooks=hooks, clock=clock, validate=weights_score)
    clock.run = run
    result = run.train()
    assert result.reason == "time budget"
    assert 150 <= result.steps <= 160
    assert hooks.updates[0].planned == pytest.approx(20 + 140 * 0.9, abs=1)
    assert sum("validated" in e for e in hooks.events) in (3, 4)
    assert result.rows_per_second == pytest.approx(62 / 0.125)


def test_rows_of_all_batches_of_a_step_are_counted():
    clock, hooks = Clock(), Recorder()
    run = make_run(settings("objective.discriminator_steps=3"), hooks=hooks, clock=clock)
    clock.run = run
    assert run.train().rows_per_second == pytest.approx(3 * 62 / 0.125)
    assert hooks.updates[-1].rows_per_second == pytest.approx(3 * 62 / 0.125)


# Roll-back.


def nan_weight(run, batch, step, attempt):
    if step == 30 and attempt == 0:
        next(run.state.generator.parameters()).data[0, 0] = math.nan
    return batch


def nan_average(run, batch, step, attempt):
    if step == 30 and attempt == 0:
        next(run.state.average.parameters()).data[0, 0] = math.inf
    return batch


@pytest.mark.parametrize("tamper", [nan_batch, nan_weight, nan_average])
def test_what_is_not_finite_is_rolled_back(tamper):
    hooks = Recorder()
    config = settings("checkpoint.every_steps=20", "training.validations=3")
    run = make_run(config, hooks=hooks, tamper=tamper, validate=weights_score)
    seen = []
    inner = run.source._tamper
    run.source._tamper = lambda r, b, s, a: (seen.append((s, a)), inner(r, b, s, a))[1]
    result = run.train()
    assert (result.steps, result.rollbacks, result.reason) == (60, 1, "finished")
    assert run.state.progress.rate_scale == 0.5
    assert [e for e in hooks.events if "rolled" in e] == ["rolled back: non-finite, validated"]
    assert all(torch.isfinite(t).all() for t in result.weights.values())
    assert seen[20] == (20, 0)
    assert seen[-1] == (59, 1)
    assert [pair for pair in seen if pair[1] == 1] == [(s, 1) for s in range(20, 60)]


def test_a_roll_back_returns_to_the_very_state():
    states = []

    def watch(run, batch, step, attempt):
        if step == 20:
            states.append(digest(run.state.tensors()))
        return nan_batch(run, batch, step, attempt)

    make_run(settings("checkpoint.every_steps=20"), tamper=watch).train()
    assert len(states) == 2
    assert states[0] == states[1]


def always_nan(run, batch, step, attempt):
    if step >= 30:
        batch.rows[0, 0] = math.nan
    return batch


def test_it_gives_up_after_the_allowed_roll_backs():
    run = make_run(settings("health.max_rollbacks=2", "checkpoint.every_steps=20"), tamper=always_nan)
    with pytest.raises(
        TrainingDiverged, match=r"non-finite at step 30 after 2 roll-backs; try a lower training\.lr"
    ):
        run.train()
    assert run.state.progress.rate_scale == 0.25


@pytest.mark.parametrize("override", ["health.on_nonfinite=stop", "health.max_rollbacks=0"])
def test_it_may_stop_at_once(override):
    run = make_run(settings(override), tamper=nan_batch)
    with pytest.raises(TrainingDiverged, match="at step 30 after 0 roll-backs"):
        run.train()


def saturate(run, batch, step, attempt):
    """A generator that stays far off while the discriminator learns."""
    if step == 0:
        run.first = {k: v.clone() for k, v in run.state.generator.state_dict().items()}
    run.state.generator.load_state_dict(run.first)
    run.state.generator.trunk.last["numbers"].bias.data.fill_(20.0)
    return batch


def explode(run, batch, step, attempt):
    if step == 110:
        run.state.generator.trunk.last["numbers"].bias.register_hook(lambda gradient: gradient * 1e9)
    return batch


def vanish(run, batch, step, attempt):
    if step == 60:
        for parameter in run.state.generator.parameters():
            parameter.register_hook(lambda gradient: gradient * 0.0)
    return batch


@pytest.mark.parametrize(
    ("tamper", "name", "overrides"),
    [
        (collapse, "collapsed", ()),
        (saturate, "saturated", ()),
        (saturate, "saturated", ("objective.name=minimax", "objective.penalty=none")),
        (explode, "exploding", ()),
        (vanish, "vanishing", ()),
    ],
)
def test_planted_pathologies_are_found_within_200_steps(tamper, name, overrides):
    config = settings("training.steps=400", "health.on_nonfinite=stop", *overrides)
    with pytest.raises(TrainingDiverged, match=f"training is {name}"):
        (run := make_run(config, tamper=tamper)).train()
    assert run.state.progress.step <= 200


def test_a_roll_back_goes_behind_the_first_signs(tmp_path):
    """Windows between the first sign and its diagnosis are neither kept nor returned to."""

    def late(run, batch, step, attempt):
        return collapse(run, batch, step, attempt) if step >= 65 and attempt == 0 else batch

    hooks = Recorder()
    config = settings("training.steps=160", "checkpoint.every_steps=20", "training.validations=8")
    run = make_run(config, tamper=late, hooks=hooks, validate=weights_score, checkpoints=tmp_path)
    result = run.train()
    assert [u.step for u in hooks.updates] == [20, 40, 60, 80, 100, 120, 80, 100, 120, 140, 160]
    assert [e for e in hooks.events if "rolled" in e] == ["rolled back: collapsed, validated"]
    assert [int(p.name[-3:]) for p in hooks.saved] == [20, 40, 60, 80, 100, 120, 140, 160]
    # What was the best among the ill is forgotten with its score.
    run.state.average.load_state_dict(result.weights)
    assert weights_score(run.state.average) == result.score


def test_without_validation_the_last_sound_average_is_kept():
    """What collapses in the last window is not what the run leaves."""
    averages = []

    def late(run, batch, step, attempt):
        if step == 60:
            averages.append(digest(run.state.average.state_dict()))
        return collapse(run, batch, step, attempt) if step >= 60 else batch

    result = make_run(settings("training.steps=80", "training.validations=4"), tamper=late).train()
    assert (result.steps, result.best_step, result.rollbacks) == (80, 60, 0)
    assert [best_of(result)] == averages


def test_without_validation_states_are_kept_as_often_as_with_it(monkeypatch):
    kept = []
    keep = Run._keep_good
    monkeypatch.setattr(Run, "_keep_good", lambda run: (kept.append(run.state.progress.step), keep(run))[1])
    for validate in (None, weights_score):
        make_run(settings("training.steps=160", "training.validations=2"), validate=validate).train()
    assert kept == 2 * [0, 80, 160]


def test_an_untampered_run_is_healthy():
    hooks = Recorder()
    make_run(settings("training.steps=300"), hooks=hooks).train()
    assert not hooks.events
